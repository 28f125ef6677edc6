"""What comes back of a notice."""

import base64
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import HttpsError
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from astra.notices.campaigns import Channel
from astra.runtime import webhooks
from astra.runtime.callables import Call, Caller
from notices import reports
from tests.functions.breach.crowd import Crowd
from tests.functions.breach.post_office import PostOffice


class Server:
    """The mail server that reports to us."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd, self.platform = crowd, crowd.platform

    def key(self, uid: str) -> str:
        return f"<{self.platform.pseudonyms.of_delivery(uid, self.crowd.name)}@astra-engineering.co>"

    def report(self, body: Any, *, age: timedelta = timedelta(0), secret: str = "", method: str = "POST") -> int:
        """Answers the status of the answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        at = str(int((self.platform.clock() - age).timestamp()))
        key = webhooks.key_of(secret or self.platform.settings.bounce_secret.get_secret_value())
        signature = base64.b64encode(hmac.digest(key, f"msg_1.{at}.".encode() + content, "sha256")).decode()
        headers = {"Webhook-Id": "msg_1", "Webhook-Timestamp": at, "Webhook-Signature": f"v1a,x v1,{signature}"}
        made = EnvironBuilder(method=method, data=content, headers=headers).get_environ()
        request: Any = Request(made)
        return reports.bounced(self.platform, request).status_code


@pytest.fixture
def server(crowd: Crowd, office: PostOffice) -> Server:
    """Two people have each had a letter."""
    crowd.come(2)
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.finish()
    assert crowd.told() == []
    return Server(crowd)


def test_a_bounce_becomes_a_notice_once(server: Server, crowd: Crowd) -> None:
    first, second = crowd.uids
    for _ in range(2):
        assert server.report({"messageId": server.key(first), "status": "5.1.1"}) == 204
    assert crowd.told() == [first]
    assert [crowd.rows()[uid]["state"] for uid in crowd.uids] == ["bounced", "accepted"]
    # Played back, an earlier report changes nothing.
    assert server.report({"messageId": server.key(first), "status": "2.0.0"}) == 204
    assert crowd.rows()[first]["state"] == "bounced"
    assert second not in crowd.told()


def test_a_delivery_is_noted_and_a_delay_is_not(server: Server, crowd: Crowd) -> None:
    [uid, _] = crowd.uids
    assert server.report({"messageId": server.key(uid).strip("<>"), "status": "4.4.7"}) == 204
    assert crowd.rows()[uid]["state"] == "accepted"
    assert server.report({"messageId": server.key(uid).partition("@")[0], "status": "2.1.5"}) == 204
    assert crowd.rows()[uid]["state"] == "delivered"
    assert server.report({"messageId": server.key(uid), "status": "5.2.1"}) == 204
    assert (crowd.rows()[uid]["state"], crowd.told()) == ("bounced", [uid])


@pytest.mark.parametrize("message", ["<" + "0" * 64 + "@astra-engineering.co>", "<x@y.example>", ""])
def test_what_is_no_letter_of_ours_is_taken_and_forgotten(server: Server, crowd: Crowd, message: str) -> None:
    assert server.report({"messageId": message, "status": "5.1.1"}) == 204
    assert crowd.told() == []


def test_a_report_without_the_secret_or_from_another_time_changes_nothing(server: Server, crowd: Crowd) -> None:
    bounce = {"messageId": server.key(crowd.uids[0]), "status": "5.1.1"}
    assert server.report(bounce, secret=f"whsec_{base64.b64encode(bytes(32)).decode()}") == 401
    assert server.report(bounce, age=timedelta(minutes=6)) == 401
    assert server.report(bounce, age=-timedelta(minutes=6)) == 401
    assert server.report(bounce, method="GET") == 405
    assert server.report(b"x" * 70_000) == 413
    assert server.report(b"") in (400, 411)
    assert crowd.told() == []
    assert server.report(bounce, age=timedelta(minutes=4)) == 204


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        {"messageId": 1, "status": "5.1.1"},
        {"messageId": "x"},
        {"messageId": "x", "status": "no"},
    ],
)
def test_what_is_no_report_is_refused(server: Server, body: Any) -> None:
    assert server.report(body) == 400


def test_headers_that_are_missing_or_odd_are_refused(server: Server) -> None:
    now, secret = server.platform.clock(), server.platform.settings.bounce_secret.get_secret_value()
    whole = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": "v1,AAAA"}
    odd = [{}, whole, whole | {"webhook-timestamp": "9" * 11}, whole | {"webhook-timestamp": "²"}]
    odd += [whole | {"webhook-signature": ""}, whole | {"webhook-signature": "v1,é"}]
    for headers in odd:
        with pytest.raises(webhooks.Unverified):
            webhooks.verify(headers, b"{}", secret, now)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!", "AAAA", "whsec_" + base64.b64encode(bytes(8)).decode()])
def test_what_is_no_secret_is_none(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        webhooks.key_of(secret)


def call(crowd: Crowd, uid: str, name: str) -> Call[reports.SeeNotice]:
    return Call(reports.SeeNotice(id=name), Caller(uid, crowd.platform.clock(), "token"))


def test_what_was_seen_first_stays_seen_then(crowd: Crowd, office: PostOffice, clock: Any) -> None:
    [uid, _] = crowd.come(2)
    crowd.announce(Channel.IN_APP, Channel.EMAIL, canary=False)
    crowd.finish()
    first = clock()
    for _ in range(2):
        assert reports.see_notice(crowd.platform, call(crowd, uid, crowd.name)) == {}
        clock.step(hours=1)
    assert crowd.notices(uid)[0]["seenAt"] == crowd.rows()[uid]["seenAt"] == first
    assert not any("seenAt" in one for other in crowd.uids if other != uid for one in crowd.notices(other))


def test_nobody_sees_what_is_not_theirs_nor_while_they_are_erased(crowd: Crowd) -> None:
    told, untold = crowd.come(2)
    crowd.announce()
    crowd.work()
    assert crowd.told() == [told]
    for uid, said in ((untold, "no notice"), (told, "being deleted")):
        with pytest.raises(HttpsError) as refusal:
            reports.see_notice(crowd.platform, call(crowd, uid, crowd.name))
        assert said in refusal.value.message
        crowd.leave(told)
    assert "seenAt" not in crowd.notices(told)[0]
