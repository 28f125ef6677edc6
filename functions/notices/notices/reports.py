"""Reports: bounces from the mail server, and notices marked as seen."""

import json
import re
from http import HTTPStatus
from typing import Annotated, Any, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from flask import Request, Response
from google.cloud import firestore
from pydantic import AfterValidator, StringConstraints, ValidationError

from astra.erasure import change_gate
from astra.erasure.change_gate import Bar
from astra.notices import deliveries, inbox
from astra.notices.deliveries import DELIVERIES, DeliveryState
from astra.runtime import log, webhooks
from astra.runtime.account_id import is_account_id
from astra.runtime.callables import Answer, Call, Shape
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import Limit, TooMany
from astra.runtime.settings import RedisSettings

from notices import delivery_status
from notices.settings import BounceSettings

_KEY: Final = re.compile(r"<?([0-9a-f]{64})(@[^@\s<>]{1,255})?>?")
_BY_CLASS: Final = {"2": DeliveryState.DELIVERED, "5": DeliveryState.BOUNCED}
_NETWORK_LIMIT: Final = Limit(6_000)
_MAX_REPORT_BYTES: Final = 65536


def _name(value: str) -> str:
    if not is_account_id(value):  # the last part of the path that begins with one: the same rule
        raise ValueError("is no notice's name")
    return value


class SeeNotice(Shape):
    """Which of the caller's own notices they have seen."""

    id: Annotated[str, AfterValidator(_name)]


class Report(Shape):
    """What became of a letter: `status` is an enhanced status code of RFC 3463, 5.1.1 for no such mailbox."""

    messageId: Annotated[str, StringConstraints(max_length=400)]
    status: Annotated[str, StringConstraints(pattern=r"^[245]\.[0-9]{1,3}\.[0-9]{1,3}$")]


def see_notice(platform: Platform[RedisSettings], call: Call[SeeNotice]) -> Answer:
    """Note that the caller has seen a notice, once."""
    db, now, uid, name = platform.db, platform.clock(), call.caller.uid, call.data.id
    reads = (*change_gate.reads(platform, uid), inbox.reference(db, uid, name), deliveries.row_of(db, uid, name))

    def body(transaction: firestore.Transaction) -> bool:
        tombstone, profile, held, *rows = fetch(db, *reads, transaction=transaction)
        # Staff need no profile.
        changes, even_if = {"notices", "deliveries"}, {Bar.NO_PROFILE}
        change_gate.refuse(tombstone, profile, held, now, changes=changes, even_if=even_if)
        found = [stored for stored in rows if stored.exists]
        for stored in found:
            if (stored.to_dict() or {}).get("seenAt") is None:
                transaction.update(stored.reference, {"seenAt": now})
        return bool(found)

    if not transact(db, body):
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "You have no notice of this name.")
    return {}


def bounced(platform: Platform[BounceSettings], request: Request) -> Response:
    """POST `{"messageId", "status"}`, signed after Standard Webhooks: a letter has bounced, or was delivered.

    204 for everything that is genuine, also for what is old news or about no letter of ours: its sender need not, and
    shall not, know which. Repeated, it changes nothing; see `delivery_status`.
    """
    try:
        platform.limits.admit_network(request, "bounced", _NETWORK_LIMIT)
        return Response(status=_taken(platform, request))
    except TooMany as many:
        return Response(status=HTTPStatus.TOO_MANY_REQUESTS, headers=many.headers)
    except Exception as error:  # noqa: BLE001  (the boundary of the function: no message may get out)
        log.failure(log.Event.FAILED, error)
        return Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)


def _taken(platform: Platform[BounceSettings], request: Request) -> HTTPStatus:
    if request.method != "POST":
        return HTTPStatus.METHOD_NOT_ALLOWED
    if request.content_length is None:
        return HTTPStatus.LENGTH_REQUIRED
    if request.content_length > _MAX_REPORT_BYTES:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    body, secret = request.get_data(), platform.settings.bounce_secret.get_secret_value()
    try:
        webhooks.verify({name.lower(): value for name, value in request.headers}, body, secret, platform.clock())
        report = Report.model_validate(json.loads(body))
    except webhooks.Unverified:
        return HTTPStatus.UNAUTHORIZED
    except (ValidationError, ValueError, RecursionError):
        return HTTPStatus.BAD_REQUEST
    key, state = _KEY.fullmatch(report.messageId), _BY_CLASS.get(report.status[0])
    if key and state:
        row: Any
        with_key = firestore.FieldFilter("key", "==", key[1])
        for row in platform.db.collection_group(DELIVERIES).where(filter=with_key).select([]).limit(1).get():
            if delivery_status.settle(platform, row.reference, state):
                log.write(log.Event.MAIL_SETTLED, bounced=state is DeliveryState.BOUNCED)
    return HTTPStatus.NO_CONTENT
