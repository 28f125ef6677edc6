"""Codes by e-mail: who gets one, what it opens, and what nobody learns by asking."""

import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import firebase_admin
import pytest
from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

import unlocking
from accounts import before_sign_in
from astra import erasure, limits, policy
from astra.callables import Call, parse
from astra.platform import Platform
from local.stack import Stack
from tests.functions.signup.conftest import AWAY, HOME, Member, enrol
from tests.people import settle

Join = Callable[..., Member]
ELSEWHERE = "198.51.100.0/24"


@pytest.fixture
def platform(platform: Platform[Any]) -> Iterator[Platform[Any]]:
    """Over a project of its own, where accounts can be made without a blocking function."""
    settle(platform, f"demo-{secrets.token_hex(6)}")
    yield platform
    firebase_admin.delete_app(platform.app)


@pytest.fixture
def ada(platform: Platform[Any], join: Join) -> Member:
    """Locked to HOME, with an account."""
    member = join(consents={"terms": True, "ipLock": True})
    auth.create_user(uid=member.uid, email=member.email, app=platform.app)
    return member


class Tasks:
    """A queue that keeps its tasks."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def hint(self, job: str) -> None:
        self.jobs.append(job)


def ask(platform: Platform[Any], email: str) -> None:
    tasks: Any = Tasks()
    assert unlocking.send_code(platform, tasks, Call(parse(unlocking.SendCode, {"email": email}))) == {}
    [job] = tasks.jobs
    unlocking.deliver(platform, job)


def letters(stack: Stack, email: str) -> list[Any]:
    return [letter for letter in stack.mail.messages if letter.recipients == (email,)]


def code(stack: Stack, email: str) -> str:
    """The one in the latest letter to an address."""
    found = re.search(r"\b\d{8}\b", letters(stack, email)[-1].message.get_content())
    assert found
    return found[0]


def use(platform: Platform[Any], email: str, code: str, **more: Any) -> None:
    form = parse(unlocking.Unlock, {"email": email, "code": code} | more)
    assert unlocking.unlock(platform, Call(form, network=ELSEWHERE)) == {}


def refused(platform: Platform[Any], email: str, code: str) -> str:
    with pytest.raises(HttpsError) as refusal:
        use(platform, email, code)
    assert refusal.value.code is FunctionsErrorCode.PERMISSION_DENIED
    return str(refusal.value.message)


def test_a_code_moves_the_lock_to_where_one_is_now(stack: Stack, platform: Platform[Any], ada: Member) -> None:
    ask(platform, ada.email.upper())
    use(platform, ada.email, code(stack, ada.email))
    before_sign_in(platform, ada.asked(AWAY))
    with pytest.raises(HttpsError):
        before_sign_in(platform, ada.asked(HOME))
    assert ada.fields()["ipLock"] is True, "a code lets somebody in, and turns nothing off"


def test_a_code_is_good_once(stack: Stack, platform: Platform[Any], ada: Member) -> None:
    ask(platform, ada.email)
    good = code(stack, ada.email)
    use(platform, ada.email, good)
    assert "no longer good" in refused(platform, ada.email, good)


def test_only_the_latest_code_counts_and_only_for_ten_minutes(
    stack: Stack, platform: Platform[Any], ada: Member
) -> None:
    ask(platform, ada.email)
    first = code(stack, ada.email)
    ask(platform, ada.email)
    second = code(stack, ada.email)
    if first != second:
        refused(platform, ada.email, first)
    platform.clock.step(minutes=10)  # type: ignore[attr-defined]
    refused(platform, ada.email, second)


def test_after_five_wrong_codes_the_right_one_is_wrong_too(stack: Stack, platform: Platform[Any], ada: Member) -> None:
    ask(platform, ada.email)
    good = code(stack, ada.email)
    for number in range(5):
        refused(platform, ada.email, f"{(int(good) + number + 1) % 10**8:08}")
    refused(platform, ada.email, good)


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
    use(platform, ada.email, code(stack, ada.email), policyVersion=policy.FIRST)
    before_sign_in(platform, ada.asked(AWAY))


@pytest.mark.parametrize("email", ["nobody@example.com", "not-an-address@", "ⓐ@example.com"])
def test_an_address_without_an_account_gets_the_same_answer_and_no_letter(
    stack: Stack, platform: Platform[Any], email: str
) -> None:
    if email.endswith("@"):
        with pytest.raises(HttpsError):
            parse(unlocking.SendCode, {"email": email})
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
    kept = platform.db.collection(unlocking.CODES).document(platform.pseudonyms.of_email(ada.email)).get().to_dict()
    assert kept is not None
    assert kept["uid"] is None


def test_an_erasure_that_begins_between_asking_and_sending_stops_the_letter(
    stack: Stack, platform: Platform[Any], ada: Member
) -> None:
    tasks: Any = Tasks()
    unlocking.send_code(platform, tasks, Call(parse(unlocking.SendCode, {"email": ada.email})))
    erasure.begin(platform, ada.uid, platform.clock())
    unlocking.deliver(platform, tasks.jobs[0])
    assert letters(stack, ada.email) == []


def test_the_code_itself_is_kept_nowhere(stack: Stack, platform: Platform[Any], ada: Member) -> None:
    ask(platform, ada.email)
    kept = platform.db.collection(unlocking.CODES).document(platform.pseudonyms.of_email(ada.email)).get().to_dict()
    assert code(stack, ada.email) not in repr(kept)
    assert ada.email not in repr(kept)


def test_an_address_is_written_to_five_times_an_hour_at_the_most(platform: Platform[Any]) -> None:
    email = f"{secrets.token_hex(8)}@example.com"
    for _ in range(5):
        ask(platform, email)
    with pytest.raises(HttpsError) as refusal:
        ask(platform, email)
    assert refusal.value.code is FunctionsErrorCode.RESOURCE_EXHAUSTED


def test_where_requests_can_not_be_counted_no_code_is_sent(
    stack: Stack, platform: Platform[Any], ada: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_listens = limits.Limits(limits.connect("redis://127.0.0.1:9/0"), platform.pseudonyms)
    monkeypatch.setitem(platform.__dict__, "limits", nobody_listens)
    with pytest.raises(HttpsError) as refusal:
        ask(platform, ada.email)
    assert refusal.value.code is FunctionsErrorCode.UNAVAILABLE
    assert letters(stack, ada.email) == []


def test_an_enrolment_is_no_account(stack: Stack, platform: Platform[Any]) -> None:
    email = enrol(platform)
    ask(platform, email)
    assert letters(stack, email) == []
