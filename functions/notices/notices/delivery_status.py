"""Delivery status: the end of an e-mail, and the notice in the application if it failed.

A letter that was refused for good or too often becomes a notice in the same transaction, if it can be written at all.
A report that comes late, twice or out of order changes nothing: each state comes after some others alone.
"""

import logging
from datetime import datetime
from typing import Any, Final

from google.cloud import firestore

from astra.notices import inbox, messages
from astra.notices.campaigns import CAMPAIGNS
from astra.notices.deliveries import DeliveryState
from astra.notices.inbox import Kind
from astra.notices.messages import Letter
from astra.runtime import log
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings

_AFTER: Final = {
    DeliveryState.ACCEPTED: (DeliveryState.QUEUED,),
    DeliveryState.DELIVERED: (DeliveryState.QUEUED, DeliveryState.ACCEPTED),
    DeliveryState.BOUNCED: (DeliveryState.QUEUED, DeliveryState.ACCEPTED, DeliveryState.DELIVERED),
    DeliveryState.FAILED: (DeliveryState.QUEUED,),
    DeliveryState.GONE: (DeliveryState.QUEUED,),
}
_UNREACHED: Final = (DeliveryState.BOUNCED, DeliveryState.FAILED)


def person_of(row: firestore.DocumentReference) -> str:
    """The account id of whose row it is."""
    return str(row.path.split("/")[1])


def letter_of(row: dict[str, Any], campaign: dict[str, Any]) -> Letter:
    """What somebody is told: what the campaign tells everybody, and what is theirs alone."""
    return messages.render(Kind(row.get("kind") or campaign["kind"]), campaign.get("facts", {}) | row["facts"])


def settle(
    platform: Platform[Settings], row: firestore.DocumentReference, state: DeliveryState, code: int | None = None
) -> bool:
    """Write that a letter is now `state`, after SMTP's reply `code`. Answers whether it is news: of a row that has gone
    with its person it is none."""
    db, now, uid = platform.db, platform.clock(), person_of(row)
    instead = (
        (inbox.reference(db, uid, row.id), db.document(CAMPAIGNS, row.id), *inbox.reads(platform, uid))
        if state in _UNREACHED
        else ()
    )

    def body(transaction: firestore.Transaction) -> bool:
        stored, *others = fetch(db, row, *instead, transaction=transaction)
        fields = stored.to_dict()
        if fields is None or fields["state"] not in _AFTER[state]:
            return False
        if others:
            notice, campaign, *person = others
            if not notice.exists and inbox.reachable(person[0], person[1]):
                _tell(transaction, platform, row, fields, campaign.to_dict() or {}, now)
        changes = {"state": state.value, "nextRunAt": None, "settledAt": now}
        transaction.update(row, changes | ({"code": code} if code else {}))
        return True

    return transact(db, body)


def _tell(
    transaction: firestore.Transaction,
    platform: Platform[Settings],
    row: firestore.DocumentReference,
    fields: dict[str, Any],
    campaign: dict[str, Any],
    now: datetime,
) -> None:
    """In the application. What can't be written at all must not keep back everybody else: a person must look."""
    try:
        told = letter_of(fields, campaign).notice
    except (LookupError, ValueError) as error:
        log.failure(log.Event.FAILED, error, severity=logging.CRITICAL)
        return
    inbox.write(transaction, platform.db, person_of(row), row.id, told, now, campaign=fields["campaign"])
