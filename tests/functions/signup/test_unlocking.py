"""Codes by e-mail: who gets one, what it opens, and what nobody learns by asking."""

import re
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import erasure, policies
from astra.runtime import rate_limits
from astra.runtime.callables import Call, parse
from astra.runtime.platform import Platform
from local.stack import Stack
from signup import unlock
from signup.blocking import before_sign_in
from tests.functions.signup.conftest import AWAY, HOME, Member, enrol

Join = Callable[..., Member]
ELSEWHERE = "198.51.100.0/24"


@pytest.fixture
def ada(platform: Platform[Any], join: Join) -> Member:
    """Locked to HOME, with an account."""
    member = join(consents={"terms": True, "ipLock": True})
    auth.create_user(uid=member.uid, email=member.email, app=platform.app)
    return member


class Tasks:
    """A queue that keeps its tasks."""

    def __init__(self, *, down: bool = False) -> None:
        self.jobs: list[tuple[str, str]] = []
        self._down = down

    def hint(self, job: str, uid: str) -> bool:
        self.jobs.append((job, uid))
        return not self._down


def ask(platform: Platform[Any], email: str, network: str = ELSEWHERE) -> None:
    tasks: Any = Tasks()
    form = parse(unlock.SendCode, {"email": email})
    assert unlock.send_code(platform, tasks, Call(form, network=network)) == {}
    [job] = tasks.jobs
    unlock.deliver(platform, *job)


def letters(stack: Stack, email: str) -> list[Any]:
    return [letter for letter in stack.mail.messages if letter.recipients == (email,)]


def code(stack: Stack, email: str) -> str:
    """The one in the latest letter to an address."""
    found = re.search(r"\b\d{8}\b", letters(stack, email)[-1].message.get_content())
    assert found
    return found[0]


def use(platform: Platform[Any], email: str, code: str, **more: Any) -> None:
    form = parse(unlock.Unlock, {"email": email, "code": code} | more)
    assert unlock.unlock(platform, Call(form, network=ELSEWHERE)) == {}


def refused(platform: Platform[Any], email: str, code: str) -> str:
    with pytest.raises(HttpsError) as refusal:
        use(platform, email, code)
    assert refusal.value.code is FunctionsErrorCode.PERMISSION_DENIED
    return str(refusal.value.message)


def test_a_code_moves_the_lock_to_where_one_is_now(stack: Stack, platform: Platform[Any], ada: Member) -> None:
    ask(platform, ada.email.upper())
    use(platform, ada.email, code(stack, ada.email))
    for _ in range(2):
        before_sign_in(platform, ada.asked(AWAY))
    with pytest.raises(HttpsError):
        before_sign_in(platform, ada.asked(HOME))
    assert ada.fields()["ipLock"] is True, "a code lets somebody in, and turns nothing off"


def test_a_lock_that_a_code_opened_is_shut_again_if_nobody_comes(
    stack: Stack, platform: Platform[Any], ada: Member
) -> None:
    ask(platform, ada.email)
    use(platform, ada.email, code(stack, ada.email))
    platform.clock.step(minutes=10)  # type: ignore[attr-defined]
    for address in (HOME, AWAY):
        with pytest.raises(HttpsError):
            before_sign_in(platform, ada.asked(address))


def test_a_code_is_good_once(stack: Stack, platform: Platform[Any], ada: Member) -> None:
    ask(platform, ada.email)
    good = code(stack, ada.email)
    use(platform, ada.email, good)
    assert "no longer good" in refused(platform, ada.email, good)


def test_a_code_is_good_for_ten_minutes_whoever_asks_for_others_meanwhile(
    stack: Stack, platform: Platform[Any], ada: Member
) -> None:
    ask(platform, ada.email)
    first = code(stack, ada.email)
    platform.clock.step(minutes=5)  # type: ignore[attr-defined]
    ask(platform, ada.email, "203.0.113.0/24")
    second = code(stack, ada.email)
    platform.clock.step(minutes=4, seconds=59)  # type: ignore[attr-defined]
    use(platform, ada.email, first)
    ask(platform, ada.email)
    third = code(stack, ada.email)
    platform.clock.step(minutes=10)  # type: ignore[attr-defined]
    for late in (second, third):
        refused(platform, ada.email, late)


def test_a_crowd_of_codes_leaves_five_good_ones(stack: Stack, platform: Platform[Any], ada: Member) -> None:
    for number in range(6):
        ask(platform, ada.email, f"10.{number}.0.0/24")
    kept = platform.db.collection(unlock.CODES).document(platform.pseudonyms.of_email(ada.email)).get()
    assert len(kept.get("codes")) == 5
    use(platform, ada.email, code(stack, ada.email))


def test_who_guesses_shuts_nobody_out_but_may_not_go_on_for_ever(
    stack: Stack, platform: Platform[Any], ada: Member
) -> None:
    ask(platform, ada.email)
    good = code(stack, ada.email)
    wrong = f"{(int(good) + 1) % 10**8:08}"
    for _ in range(20):
        refused(platform, ada.email, wrong)
    use(platform, ada.email, good)
    ask(platform, ada.email)
    kept = platform.db.collection(unlock.CODES).document(platform.pseudonyms.of_email(ada.email))
    kept.update({"tries": 99})
    good = code(stack, ada.email)
    refused(platform, ada.email, f"{(int(good) + 1) % 10**8:08}")
    refused(platform, ada.email, good)


def test_a_queue_that_is_down_is_told_alike_to_everybody(platform: Platform[Any], ada: Member) -> None:
    for email in (ada.email, "nobody@example.com"):
        down: Any = Tasks(down=True)
        with pytest.raises(HttpsError) as refusal:
            unlock.send_code(platform, down, Call(parse(unlock.SendCode, {"email": email})))
        assert refusal.value.code is FunctionsErrorCode.UNAVAILABLE


def test_a_code_of_one_account_is_none_of_another(
    stack: Stack, platform: Platform[Any], ada: Member, join: Join
) -> None:
    bob = join()
    auth.create_user(uid=bob.uid, email=bob.email, app=platform.app)
    for member in (ada, bob):
        ask(platform, member.email)
    refused(platform, bob.email, code(stack, ada.email))


def test_a_code_accepts_a_policy_for_who_can_not_sign_in_without(
    stack: Stack, platform: Platform[Any], ada: Member
) -> None:
    ada.profile.update({"policyVersion": "2020-01-01"})
    ask(platform, ada.email)
    with pytest.raises(HttpsError):
        use(platform, ada.email, code(stack, ada.email), policyVersion="never-published")
    use(platform, ada.email, code(stack, ada.email), policyVersion=policies.FIRST)
    before_sign_in(platform, ada.asked(AWAY))


@pytest.mark.parametrize("email", ["nobody@example.com", "not-an-address@", "ⓐ@example.com", "\u212aate@example.com"])
def test_an_address_without_an_account_gets_the_same_answer_and_no_letter(
    stack: Stack, platform: Platform[Any], email: str
) -> None:
    if email.endswith("@") or not email.isascii():
        with pytest.raises(HttpsError):
            parse(unlock.SendCode, {"email": email})
        return
    ask(platform, email)
    assert letters(stack, email) == []
    assert "no longer good" in refused(platform, email, "00000000")


def test_somebody_who_is_being_erased_gets_no_letter_and_leaves_no_trace(
    stack: Stack, platform: Platform[Any], ada: Member
) -> None:
    erasure.begin(platform, ada.uid, platform.clock())
    ask(platform, ada.email)
    assert letters(stack, ada.email) == []
    kept = platform.db.collection(unlock.CODES).document(platform.pseudonyms.of_email(ada.email)).get()
    assert not kept.exists


def test_an_erasure_that_begins_between_asking_and_sending_stops_the_letter(
    stack: Stack, platform: Platform[Any], ada: Member
) -> None:
    tasks: Any = Tasks()
    unlock.send_code(platform, tasks, Call(parse(unlock.SendCode, {"email": ada.email})))
    erasure.begin(platform, ada.uid, platform.clock())
    unlock.deliver(platform, *tasks.jobs[0])
    assert letters(stack, ada.email) == []


def test_the_code_itself_is_kept_nowhere(stack: Stack, platform: Platform[Any], ada: Member) -> None:
    ask(platform, ada.email)
    kept = platform.db.collection(unlock.CODES).document(platform.pseudonyms.of_email(ada.email)).get().to_dict()
    assert code(stack, ada.email) not in repr(kept)
    assert ada.email not in repr(kept)
    assert ada.uid not in repr(kept)


def test_an_address_is_written_to_twenty_times_an_hour_at_the_most(platform: Platform[Any]) -> None:
    email = f"{secrets.token_hex(8)}@example.com"
    for number in range(20):
        ask(platform, email, f"10.{number}.0.0/24")
    with pytest.raises(HttpsError) as refusal:
        ask(platform, email, "10.99.0.0/24")
    assert refusal.value.code is FunctionsErrorCode.RESOURCE_EXHAUSTED


def test_a_network_asks_five_times_an_hour_at_the_most_for_one_address(platform: Platform[Any]) -> None:
    email = f"{secrets.token_hex(8)}@example.com"
    for _ in range(5):
        ask(platform, email)
    with pytest.raises(HttpsError) as refusal:
        ask(platform, email)
    assert refusal.value.code is FunctionsErrorCode.RESOURCE_EXHAUSTED
    ask(platform, email, "10.1.0.0/24")


def test_where_requests_can_not_be_counted_no_code_is_sent(
    stack: Stack, platform: Platform[Any], ada: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_listens = rate_limits.Limits(rate_limits.connect("redis://127.0.0.1:9/0"), platform.pseudonyms)
    monkeypatch.setitem(platform.__dict__, "limits", nobody_listens)
    with pytest.raises(HttpsError) as refusal:
        ask(platform, ada.email)
    assert refusal.value.code is FunctionsErrorCode.UNAVAILABLE
    assert letters(stack, ada.email) == []


def test_an_enrolment_is_no_account(stack: Stack, platform: Platform[Any]) -> None:
    email = enrol(platform)
    ask(platform, email)
    assert letters(stack, email) == []
