"""Who signs up while a version of the policy is announced, or takes effect; and what can be agreed to, and when."""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import policies, staff
from astra.notices import campaigns
from astra.policies import campaign_of
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from governance.policies import publish_policy, take_effect
from signup.blocking import before_create, before_sign_in
from signup.profile import AcceptPolicy, UpdateProfile, accept_policy, update_profile
from tests.announcing import Board, in_force, publication, stored, tell_everybody, text_of
from tests.colleagues import Team
from tests.functions.signup.conftest import Member, enrol

Join = Callable[..., Member]
GRACE = timedelta(days=30)


@pytest.fixture
def platform(platform: Platform[Any]) -> Platform[Any]:
    """A platform on which a policy is announced 30 days ahead."""
    platform.__dict__["settings"] = platform.settings.model_copy(update={"policy_notice_days": 30})
    return platform


@pytest.fixture
def board(platform: Platform[Any]) -> Board:
    return Board(platform, Team(platform))


def notices(member: Member) -> list[str]:
    return sorted(notice.id for notice in member.profile.collection("notices").get())


def settled(platform: Platform[Any], version: str) -> None:
    """Everybody is told, and the version has its time."""
    tell_everybody(platform, campaign_of(version))
    take_effect(platform)


def accept(platform: Platform[Any], member: Member, version: str) -> None:
    accept_policy(platform, member.call(parse(AcceptPolicy, {"policyVersion": version})))


def refusal(ask: Callable[[], object]) -> str:
    with pytest.raises(HttpsError) as refused:
        ask()
    assert refused.value.code is FunctionsErrorCode.FAILED_PRECONDITION
    return str(refused.value.message)


def agreed(member: Member) -> list[str]:
    return [event["policyVersion"] for event in member.receipt("terms")["events"]]


def test_who_signs_up_after_the_announcement_is_told_in_the_sign_up_itself(
    platform: Platform[Any], board: Board, join: Join
) -> None:
    early = join()
    version = board.publish()
    settled(platform, version)
    platform.clock.step(days=10)  # type: ignore[attr-defined]
    late = join()
    assert late.fields()["policyVersion"] == policies.FIRST
    assert notices(early) == notices(late) == [campaign_of(version)]
    [said] = {
        repr(member.profile.collection("notices").document(campaign_of(version)).get().get("body"))
        for member in (early, late)
    }
    assert "Acme Mail" in said


def test_a_version_that_takes_effect_while_the_form_is_filled_in_is_told_and_waited_for(
    platform: Platform[Any], board: Board
) -> None:
    version = board.publish()
    settled(platform, version)
    due = stored(platform, version)["effectiveAt"]
    platform.clock.now = due - timedelta(minutes=5)  # type: ignore[attr-defined]
    member = Member(platform, secrets.token_hex(14), enrol(platform))
    platform.clock.now = due + timedelta(minutes=9)  # type: ignore[attr-defined]
    before_create(platform, member.asked())
    assert in_force(platform) == version
    assert (member.fields()["policyVersion"], agreed(member)) == (policies.FIRST, [policies.FIRST])
    assert notices(member) == [campaign_of(version)]
    for now, let_in in ((due, True), (due + GRACE - timedelta(seconds=1), True), (due + GRACE, False)):
        platform.clock.now = now  # type: ignore[attr-defined]
        if let_in:
            before_sign_in(platform, member.asked())
        else:
            assert version in refusal(lambda: before_sign_in(platform, member.asked()))
    accept(platform, member, version)
    before_sign_in(platform, member.asked())


def test_who_has_agreed_to_a_version_is_told_of_it_no_more(platform: Platform[Any], board: Board, join: Join) -> None:
    version = board.publish()
    settled(platform, version)
    platform.clock.now = stored(platform, version)["effectiveAt"] + timedelta(minutes=1)  # type: ignore[attr-defined]
    assert version in refusal(join)
    assert notices(join(policyVersion=version)) == []
    platform.clock.step(days=1)  # type: ignore[attr-defined]
    assert campaigns.pending(platform.db, platform.clock()) == []


def test_an_announced_version_may_be_accepted_early_is_remembered_and_nobody_goes_back(
    platform: Platform[Any], board: Board, join: Join
) -> None:
    member, version = join(), board.publish()
    for accepted in (version, version, policies.FIRST):
        accept(platform, member, accepted)
    assert agreed(member) == [policies.FIRST, version]
    assert member.receipt("terms")["policySha256"] == stored(platform, version)["sha256"]
    update_profile(platform, member.call(parse(UpdateProfile, {"electronicNotices": True})))
    assert member.receipt("electronicNotices")["policyVersion"] == version
    settled(platform, version)
    platform.clock.now = stored(platform, version)["effectiveAt"] + 2 * GRACE  # type: ignore[attr-defined]
    before_sign_in(platform, member.asked())
    assert agreed(member) == [policies.FIRST, version]


def test_who_agreed_early_to_what_was_withdrawn_is_let_in_and_asked_again(
    platform: Platform[Any], board: Board, join: Join
) -> None:
    member, version = join(), board.publish()
    accept(platform, member, version)
    board.withdraw(version)
    platform.clock.step(days=90)  # type: ignore[attr-defined]
    before_sign_in(platform, member.asked())
    optional = member.call(parse(UpdateProfile, {"electronicNotices": True}))
    assert "agree to it first" in refusal(lambda: update_profile(platform, optional))
    assert policies.FIRST in refusal(lambda: accept(platform, join(), version))
    accept(platform, member, policies.FIRST)
    assert member.fields()["policyVersion"] == policies.FIRST
    assert agreed(member) == [policies.FIRST, version, policies.FIRST]


def test_a_newer_one_is_asked_for_even_if_one_that_was_withdrawn_had_been_accepted(
    platform: Platform[Any], board: Board, join: Join
) -> None:
    member, version = join(), board.publish()
    accept(platform, member, version)
    board.withdraw(version)
    second = board.publish(version=f"{version}.2", text=text_of(version))
    settled(platform, second)
    platform.clock.now = stored(platform, second)["effectiveAt"] + GRACE  # type: ignore[attr-defined]
    assert second in refusal(lambda: before_sign_in(platform, member.asked()))


def test_changes_that_are_not_material_keep_nobody_out(platform: Platform[Any], board: Board, join: Join) -> None:
    member = join()
    version = board.publish(material=False, effectiveAt=(platform.clock() + timedelta(hours=1)).isoformat())
    platform.clock.step(days=90)  # type: ignore[attr-defined]
    assert in_force(platform) == version
    before_sign_in(platform, member.asked())
    accept(platform, member, version)
    before_sign_in(platform, member.asked())
    second = board.publish(version=f"{platform.clock():%Y-%m-%d}", text=text_of(f"{platform.clock():%Y-%m-%d}"))
    settled(platform, second)
    platform.clock.step(days=90)  # type: ignore[attr-defined]
    assert second in refusal(lambda: before_sign_in(platform, member.asked()))


def test_whoever_signs_up_at_the_moment_of_the_announcement_is_told_too(platform: Platform[Any], board: Board) -> None:
    """By the campaign, if their profile was there first, or by their sign-up."""
    form = publication(platform)
    publish_policy(platform, board.priya.call(form))
    members = [Member(platform, secrets.token_hex(14), enrol(platform)) for _ in range(8)]
    with ThreadPoolExecutor(5) as pool:
        coming = [pool.submit(before_create, platform, member.asked()) for member in members[:4]]
        published = pool.submit(publish_policy, platform, board.cleo.call(form))
        coming += [pool.submit(before_create, platform, member.asked()) for member in members[4:]]
        for done in (published, *coming):
            done.result()
    tell_everybody(platform, campaign_of(form.version))
    assert [notices(member) for member in members] == [[campaign_of(form.version)]] * len(members)


def test_staff_without_a_profile_hold_nothing_up(platform: Platform[Any], board: Board) -> None:
    board.priya.profile.delete()
    version = board.publish()
    settled(platform, version)
    assert stored(platform, version)["state"] == "published"
    assert staff.reference(platform.db, board.priya.uid).get().exists
