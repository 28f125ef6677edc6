"""Who is let in, and from where."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import erasure, policies
from astra.accounts import activity, tombstones
from astra.runtime.platform import Platform
from signup.blocking import Asked, before_create, before_sign_in
from tests.functions.signup.conftest import AWAY, HOME, Member, enrol

Join = Callable[..., Member]
V4_MAPPED = f"::ffff:{HOME}"


def refusal(platform: Platform[Any], member: Member, **asked: Any) -> HttpsError:
    with pytest.raises(HttpsError) as refused:
        before_sign_in(platform, member.asked(**asked))
    return refused.value


@pytest.mark.parametrize("uid", ["ada lovelace", "ada\nlovelace", "a" * 129])
def test_an_account_whose_id_no_request_may_come_from_gets_no_profile(platform: Platform[Any], uid: str) -> None:
    with pytest.raises(HttpsError) as refused:
        before_create(platform, Asked(uid, enrol(platform), HOME))
    assert refused.value.code is FunctionsErrorCode.PERMISSION_DENIED
    assert not platform.db.document("users", uid).get().exists


@pytest.mark.parametrize("address", [HOME, "192.0.2.200", V4_MAPPED])
def test_a_lock_lets_in_from_the_same_network_however_its_address_is_written(
    platform: Platform[Any], join: Join, address: str
) -> None:
    member = join(consents={"terms": True, "ipLock": True})
    assert member.fields()["ipLock"] is True
    before_sign_in(platform, member.asked(address))


@pytest.mark.parametrize("address", [AWAY, "192.0.3.7", "2001:db8::1", "", None, "unknown"])
def test_a_lock_keeps_out_from_anywhere_else_and_says_what_to_do(
    platform: Platform[Any], join: Join, address: str | None
) -> None:
    member = join(consents={"terms": True, "ipLock": True})
    error = refusal(platform, member, address=address)
    assert error.code is FunctionsErrorCode.PERMISSION_DENIED
    assert "code by e-mail" in error.message
    before_sign_in(platform, member.asked(HOME))


def test_without_a_lock_anywhere_is_home_and_no_network_is_kept(platform: Platform[Any], join: Join) -> None:
    member = join()
    before_sign_in(platform, member.asked(AWAY))
    assert member.profile.collection("locks").get() == []


def test_two_people_of_one_network_can_not_be_linked_by_it(join: Join) -> None:
    ada, bob = join(consents={"terms": True, "ipLock": True}), join(consents={"terms": True, "ipLock": True})
    networks = {member.profile.collection("locks").document("network").get().get("network") for member in (ada, bob)}
    assert len(networks) == 2


@pytest.fixture
def newer(platform: Platform[Any]) -> Iterator[tuple[str, datetime]]:
    """A policy that comes into force in a day, by this test's clock, which is years ahead of every other's."""
    platform.clock.step(days=3650)  # type: ignore[attr-defined]
    at, version = platform.clock() + timedelta(days=1), f"later-{platform.clock():%H%M%S%f}"
    stored = platform.db.document(f"policies/{version}")
    stored.set({"version": version, "sha256": "1" * 64, "effectiveAt": at})
    yield version, at
    stored.delete()


def test_a_new_policy_shuts_out_who_has_not_accepted_it_but_only_after_its_grace(
    platform: Platform[Any], newer: tuple[str, datetime], join: Join
) -> None:
    version, at = newer
    member = join()
    days = platform.settings.policy_grace_days
    for now in (at - timedelta(seconds=1), at, at + timedelta(days=days) - timedelta(seconds=1)):
        platform.clock.now = now  # type: ignore[attr-defined]
        before_sign_in(platform, member.asked())
    platform.clock.now = at + timedelta(days=days)  # type: ignore[attr-defined]
    error = refusal(platform, member)
    assert error.code is FunctionsErrorCode.FAILED_PRECONDITION
    assert version in error.message
    member.profile.update({"policyVersion": version})
    before_sign_in(platform, member.asked())


def test_a_version_that_nobody_published_is_no_acceptance(platform: Platform[Any], join: Join) -> None:
    member = join()
    member.profile.update({"policyVersion": "9999-01-01"})
    assert policies.FIRST in refusal(platform, member).message


def test_staff_sign_in_without_a_profile_and_nobody_else_does(platform: Platform[Any]) -> None:
    stranger = Member(platform, "nobody-here", "nobody@example.com")
    before_sign_in(platform, stranger.asked(role="security"))
    assert "not active" in refusal(platform, stranger).message


def test_staff_who_are_being_erased_stay_out(platform: Platform[Any]) -> None:
    gone = Member(platform, "once-staff", "gone@example.com")
    tombstone = tombstones.reference(platform.db, platform.pseudonyms.of_uid(gone.uid))
    tombstone.set({"erasedAt": platform.clock()})
    assert "being deleted" in refusal(platform, gone, role="cto").message


def test_a_profile_follows_the_address_of_its_account(platform: Platform[Any], join: Join) -> None:
    member = join()
    before_sign_in(platform, member.asked())
    assert member.requests() == []
    before_sign_in(platform, member.asked(email="new@example.com"))
    assert member.fields()["email"] == "new@example.com"
    [request] = member.requests()
    assert (request["kind"], request["state"], request["fields"]) == ("rectification", "done", ["email"])
    assert "example.com" not in repr(request)


def test_who_signs_up_has_been_here(platform: Platform[Any], join: Join) -> None:
    member = join()
    assert member.fields()["inactivity"] == activity.seen(platform.settings, platform.clock())


def test_a_sign_in_is_noted_once_a_day(platform: Platform[Any], join: Join) -> None:
    member = join()
    written = member.profile.get().update_time
    platform.clock.step(hours=23)  # type: ignore[attr-defined]
    before_sign_in(platform, member.asked())
    assert member.profile.get().update_time == written, "signing in costs no write"
    platform.clock.step(hours=1)  # type: ignore[attr-defined]
    before_sign_in(platform, member.asked())
    assert member.fields()["inactivity"]["seenAt"] == platform.clock()


def test_a_profile_from_before_and_one_that_was_warned_are_noted_at_once(platform: Platform[Any], join: Join) -> None:
    for noted in (None, {**activity.seen(platform.settings, platform.clock()), "warnings": 1}):
        member = join()
        member.profile.update({"inactivity": noted})
        before_sign_in(platform, member.asked())
        assert member.fields()["inactivity"] == activity.seen(platform.settings, platform.clock())


def test_who_knows_the_password_and_is_refused_for_now_has_been_here_too(platform: Platform[Any], join: Join) -> None:
    member = join(consents={"terms": True, "ipLock": True})
    platform.clock.step(days=800)  # type: ignore[attr-defined]
    refusal(platform, member, address=AWAY)
    assert member.fields()["inactivity"]["seenAt"] == platform.clock()


def test_who_is_frozen_or_leaving_has_not(platform: Platform[Any], join: Join) -> None:
    for state in ("frozen", "erasing"):
        member = join()
        member.profile.update({"state": state})
        before = member.fields()
        platform.clock.step(days=800)  # type: ignore[attr-defined]
        refusal(platform, member)
        assert member.fields() == before


def test_an_erasure_that_begins_just_before_a_sign_in_is_noted_refuses_it(
    platform: Platform[Any], join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = join()
    platform.clock.step(days=800)  # type: ignore[attr-defined]
    real = activity.is_news

    def late(*given: Any) -> bool:
        assert erasure.begin(platform, member.uid, platform.clock())
        return real(*given)

    monkeypatch.setattr(activity, "is_news", late)
    assert "being deleted" in refusal(platform, member).message
    assert member.fields()["state"] == "erasing"


def test_a_profile_that_changes_just_then_is_looked_at_again(
    platform: Platform[Any], join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, real, times = join(), activity.seen, [0]
    platform.clock.step(days=800)  # type: ignore[attr-defined]

    def late(*given: Any) -> Any:
        times[0] += 1
        if times[0] == 1:
            member.profile.update({"name": "Ada King"})
        return real(*given)

    monkeypatch.setattr(activity, "seen", late)
    before_sign_in(platform, member.asked())
    assert (member.fields()["name"], member.fields()["inactivity"]["seenAt"]) == ("Ada King", platform.clock())
