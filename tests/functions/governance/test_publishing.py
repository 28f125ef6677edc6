"""A version of the policy, from its two approvals to the moment at which it takes effect, and what keeps it back."""

from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import erasure, policies, tlog
from astra.notices import campaigns
from astra.policies import campaign_of
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from astra.staff import Role
from cli import processors
from governance.policies import PublishPolicy, WithdrawPolicy, publish_policy, take_effect, withdraw_policy
from governance.schedule import review
from notices.campaign_requests import (
    After,
    ResumeCampaign,
    SendCampaign,
    StopCampaign,
    resume_campaign,
    send_campaign,
    stop_campaign,
)
from tests.announcing import SUMMARY, Board, in_force, publication, stored, tell_everybody, text_of, titles, work
from tests.colleagues import Team, logged
from tests.functions.erasure.boundaries import Boundaries, Crash, Mishap, crash

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def notice(platform: Platform[Any]) -> None:
    """The notice period of production."""
    settings = platform.settings.model_copy(update={"policy_notice_days": 30, "transfer_waiting_days": 30})
    platform.__dict__["settings"] = settings


@pytest.fixture
def board(platform: Platform[Any], team: Team) -> Board:
    return Board(platform, team)


def refusal(platform: Platform[Any], board: Board, form: Any, handler: Any = publish_policy) -> HttpsError:
    with pytest.raises(HttpsError) as refused:
        handler(platform, board.priya.call(form))
    return refused.value


def test_a_material_version_waits_until_everybody_has_been_told(
    platform: Platform[Any], team: Team, board: Board
) -> None:
    ada = team.customer()
    version = board.publish()
    fields = stored(platform, version)
    assert (fields["effectiveAt"], fields["state"], fields["lastUpdated"]) == (None, "announced", version)
    assert fields["text"] == text_of(version)
    due = fields["announcedFor"]
    platform.clock.now = due + 9 * DAY  # type: ignore[attr-defined]
    take_effect(platform)
    assert in_force(platform) == policies.FIRST, "nothing without an effectiveAt is in force, however late it is"
    tell_everybody(platform, campaign_of(version))
    assert in_force(platform) == policies.FIRST
    take_effect(platform)
    late = platform.clock()
    assert stored(platform, version)["effectiveAt"] == late
    assert in_force(platform) == version
    assert in_force(platform, late - timedelta(microseconds=1)) == policies.FIRST
    assert any("changes on" in title for title in titles(ada))
    [notice] = [one for one in ada.notices() if one["campaign"] == campaign_of(version)]
    assert SUMMARY in notice["body"]


def test_one_that_is_told_in_time_takes_effect_when_it_was_said_to(platform: Platform[Any], board: Board) -> None:
    version = board.publish()
    tell_everybody(platform, campaign_of(version))
    due = stored(platform, version)["announcedFor"]
    for _ in range(2):
        review(platform)
        assert stored(platform, version)["effectiveAt"] == due
        platform.clock.step(hours=1)  # type: ignore[attr-defined]
    assert in_force(platform, due - timedelta(microseconds=1)) == policies.FIRST
    assert in_force(platform, due) == version
    assert len(logged(platform, tlog.Action.POLICY_DATED)) == 1


def test_what_is_logged_has_the_hash_and_nothing_that_was_written_by_hand(
    platform: Platform[Any], board: Board
) -> None:
    version = board.publish()
    entries = logged(platform, tlog.Action.POLICY_ANNOUNCED)
    done, proposed = sorted(entries, key=lambda entry: str(entry["record"]["state"]))
    assert (proposed["record"]["state"], done["record"]["state"]) == ("proposed", "done")
    assert done["record"]["approvers"] == [board.priya.subject, board.cleo.subject]
    assert done["record"]["sha256"] == stored(platform, version)["sha256"]
    assert SUMMARY not in repr([proposed, done])
    assert board.priya.uid not in repr([proposed, done])


def test_one_person_publishes_nothing_however_often(platform: Platform[Any], board: Board) -> None:
    form = publication(platform)
    for _ in range(3):
        assert publish_policy(platform, board.priya.call(form))["state"] == "proposed"
    assert stored(platform, form.version) == {}
    assert not campaigns.reference(platform.db, campaign_of(form.version)).get().exists


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.SECURITY])
def test_other_roles_neither_propose_nor_confirm(platform: Platform[Any], team: Team, board: Board, role: Role) -> None:
    form = publication(platform)
    publish_policy(platform, board.priya.call(form))
    with pytest.raises(HttpsError) as refused:
        publish_policy(platform, team.hire(role).call(form))
    assert refused.value.code is FunctionsErrorCode.PERMISSION_DENIED
    assert stored(platform, form.version) == {}


@pytest.mark.parametrize("changed", ["text", "effectiveAt", "summary", "material"])
def test_what_the_second_one_changed_is_another_proposal(platform: Platform[Any], board: Board, changed: str) -> None:
    form = publication(platform)
    others = {
        "text": text_of(form.version, "\nWe sell everything."),
        "effectiveAt": form.effectiveAt + DAY,
        "summary": f"{SUMMARY} Or not.",
        "material": False,
    }
    publish_policy(platform, board.priya.call(form))
    answer = publish_policy(platform, board.cleo.call(form.model_copy(update={changed: others[changed]})))
    assert answer["state"] == "proposed"
    assert stored(platform, form.version) == {}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": "2026-02-30", "text": text_of("2026-02-28")}, "version"),
        ({"version": "2027-01-01"}, "of a day to come"),
        ({"version": "next", "text": text_of("2026-02-28")}, "version"),
        ({"text": "Last updated: Nov 25, 2026\n" + 300 * "x"}, "does not say whom data is shared with"),
        ({"text": text_of("2026-11-24")}, 'needs one line "Last updated: Nov 25, 2026"'),
        ({"text": text_of("2026-11-24")}, 'it says "Nov 24, 2026"'),
        ({"text": text_of("2026-11-25", "\nLast updated: Nov 25, 2026\n")}, "has 2 lines"),
        ({"text": text_of("2026-11-25").replace("\n", "\r\n")}, "text"),
        ({"text": text_of("2026-11-25") + "\ud800"}, "text"),
        ({"effectiveAt": "2026-11-25T11:59:59Z"}, "too soon"),
        ({"effectiveAt": "2026-12-25T11:59:59Z"}, "at the earliest 2026-12-25T12:00:01Z"),
        ({"effectiveAt": "2026-11-25T11:59:59Z", "material": False}, "too soon"),
        ({"effectiveAt": "tomorrow"}, "effectiveAt"),
        ({"summary": "short"}, "summary"),
        ({"summary": "two\nlines of it"}, "summary"),
        ({"material": 1}, "material"),
        ({"force": True}, "is not a field"),
    ],
)
def test_what_is_wrong_is_named(
    platform: Platform[Any], board: Board, changes: dict[str, Any], says: str, clock: Any
) -> None:
    shift = timedelta(hours=12)
    clock.now = clock.now.replace(year=2026, month=11, day=25, hour=0, minute=0, second=0, microsecond=0) + shift
    with pytest.raises(HttpsError) as refused:
        publish_policy(platform, board.priya.call(publication(platform, **changes)))
    assert refused.value.code is FunctionsErrorCode.INVALID_ARGUMENT
    assert says in refused.value.message


def test_a_month_may_be_written_out(platform: Platform[Any], board: Board) -> None:
    version = f"{platform.clock():%Y-%m-%d}"
    day = policies.dated(version)
    written = text_of(version).replace(f"{day:%b %d, %Y}", f"{day:%B} {day.day}, {day.year}")
    assert board.publish(text=written) == version


def test_a_version_is_published_once_and_its_name_means_one_text_for_good(
    platform: Platform[Any], board: Board
) -> None:
    version = board.publish()
    again = refusal(platform, board, publication(platform))
    assert (again.code, "this very text" in again.message) == (FunctionsErrorCode.ALREADY_EXISTS, True)
    other = refusal(platform, board, publication(platform, text=text_of(version, "\nMore.")))
    assert "another text" in other.message
    board.withdraw(version)
    assert refusal(platform, board, publication(platform)).code is FunctionsErrorCode.ALREADY_EXISTS
    assert board.publish(version=f"{version}.2", text=text_of(version)) == f"{version}.2"


def test_a_version_is_newer_and_later_than_all_before(platform: Platform[Any], board: Board) -> None:
    board.publish()
    assert "must be later" in refusal(platform, board, publication(platform, days_ago=1)).message
    second = f"{platform.clock():%Y-%m-%d}.2"
    same_moment = publication(platform, version=second)
    assert "later than that of the version before" in refusal(platform, board, same_moment).message


def test_what_is_not_material_takes_effect_without_notices_and_carries_nothing_along(
    platform: Platform[Any], team: Team, board: Board
) -> None:
    ada, soon = team.customer(), (platform.clock() + timedelta(hours=1)).isoformat()
    version = board.publish(material=False, effectiveAt=soon)
    assert not campaigns.reference(platform.db, campaign_of(version)).get().exists
    assert ada.notices() == []
    platform.clock.step(hours=2)  # type: ignore[attr-defined]
    assert in_force(platform) == version
    waiting = board.publish(version=f"{version}.2", text=text_of(version, "\nWe sell everything."))
    later = (platform.clock() + 40 * DAY).isoformat()
    third = publication(platform, version=f"{version}.3", material=False, effectiveAt=later)
    error = refusal(platform, board, third)
    assert (error.code, waiting in error.message) == (FunctionsErrorCode.FAILED_PRECONDITION, True)
    tell_everybody(platform, campaign_of(waiting))
    take_effect(platform)
    board.decide(publish_policy, third)
    platform.clock.step(days=41)  # type: ignore[attr-defined]
    assert in_force(platform) == f"{version}.3"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_announced_versions_the_newer_one_stands(
    platform: Platform[Any], board: Board, order: tuple[int, int]
) -> None:
    """In whichever order their notices are complete."""
    day = f"{platform.clock():%Y-%m-%d}"
    versions = [board.publish()]
    later = (platform.clock() + 60 * DAY).isoformat()
    versions.append(board.publish(version=f"{day}.2", text=text_of(day), effectiveAt=later))
    tell_everybody(platform, campaign_of(versions[order[0]]))
    take_effect(platform)
    platform.clock.step(days=70)  # type: ignore[attr-defined]
    if order == (1, 0):
        assert in_force(platform) == versions[1]
        take_effect(platform)
        assert stored(platform, versions[0])["state"] == "superseded", "its notices no longer matter"
        work(platform, campaign_of(versions[0]))
        assert campaigns.reference(platform.db, campaign_of(versions[0])).get().get("state") == "stopped"
    else:
        tell_everybody(platform, campaign_of(versions[1]))
    for _ in range(2):
        take_effect(platform)
    assert in_force(platform) == versions[1]
    assert in_force(platform, platform.clock() + 900 * DAY) == versions[1]
    expected = ["published", "published"] if order == (0, 1) else ["superseded", "published"]
    assert [stored(platform, version)["state"] for version in versions] == expected


def test_two_that_are_complete_at_the_same_moment_take_effect_in_their_order(
    platform: Platform[Any], board: Board
) -> None:
    first, day = board.publish(), f"{platform.clock():%Y-%m-%d}"
    later = (platform.clock() + 32 * DAY).isoformat()
    second = board.publish(version=f"{day}.2", text=text_of(day), effectiveAt=later)
    for version in (second, first):
        tell_everybody(platform, campaign_of(version))
    platform.clock.step(days=40)  # type: ignore[attr-defined]
    take_effect(platform)
    assert stored(platform, first)["effectiveAt"] == stored(platform, second)["effectiveAt"]
    assert in_force(platform) == second


def test_a_withdrawn_version_never_takes_effect_and_people_are_told(
    platform: Platform[Any], team: Team, board: Board
) -> None:
    ada, version = team.customer(), board.publish()
    tell_everybody(platform, campaign_of(version))
    take_effect(platform)
    form = WithdrawPolicy(version=version, reason="It was wrong.")
    for _ in range(2):
        assert withdraw_policy(platform, board.priya.call(form))["state"] == "proposed"
    assert stored(platform, version)["state"] == "published", "one person withdraws nothing either"
    board.withdraw(version)
    tell_everybody(platform, f"{campaign_of(version)}-withdrawn")
    platform.clock.step(days=90)  # type: ignore[attr-defined]
    take_effect(platform)
    assert in_force(platform) == policies.FIRST
    assert "does not change as announced" in " ".join(titles(ada))
    assert refusal(platform, board, form, withdraw_policy).code is FunctionsErrorCode.ALREADY_EXISTS


@pytest.mark.parametrize("stopped", [False, True])
def test_of_a_withdrawn_version_nobody_is_told_any_more(
    platform: Platform[Any], team: Team, board: Board, stopped: bool
) -> None:
    ada, version = team.customer(), board.publish()
    name = campaign_of(version)
    if stopped:
        stop_campaign(platform, board.priya.call(StopCampaign(name=name)))
    board.withdraw(version)
    work(platform, name)
    assert campaigns.reference(platform.db, name).get().get("state") == "stopped"
    assert "for good" in refusal(platform, board, ResumeCampaign(name=name), resume_campaign).message
    tell_everybody(platform, f"{name}-withdrawn")
    assert ["does not change" in title for title in titles(ada)] == [True]


def test_what_everybody_was_told_stays_complete_when_it_is_withdrawn(platform: Platform[Any], board: Board) -> None:
    version = board.publish()
    tell_everybody(platform, campaign_of(version))
    board.withdraw(version)
    fields = campaigns.reference(platform.db, campaign_of(version)).get().to_dict() or {}
    assert (fields["state"], fields["newcomersUntil"]) == ("complete", None)


def test_with_a_canary_its_notices_wait_for_two_people(platform: Platform[Any], board: Board) -> None:
    version = board.publish(canary=True)
    name = campaign_of(version)
    work(platform, name)
    campaign = campaigns.reference(platform.db, name)
    assert (campaign.get().get("state"), campaign.get().get("canary")) == ("waiting", True)
    board.decide(send_campaign, SendCampaign(name=name, state=After.CANARY))
    tell_everybody(platform, name)
    platform.clock.step(days=40)  # type: ignore[attr-defined]
    take_effect(platform)
    assert in_force(platform) == version
    later = (platform.clock() + 60 * DAY).isoformat()
    quiet = publication(platform, material=False, canary=True, effectiveAt=later)
    assert "canary" in refusal(platform, board, quiet).message


def test_only_the_newest_is_withdrawn_and_only_before_it_takes_effect(platform: Platform[Any], board: Board) -> None:
    first, day = board.publish(), f"{platform.clock():%Y-%m-%d}"
    later = (platform.clock() + 60 * DAY).isoformat()
    second = board.publish(version=f"{day}.2", text=text_of(day), effectiveAt=later)
    form = WithdrawPolicy(version=first, reason="It was wrong.")
    assert second in refusal(platform, board, form, withdraw_policy).message
    board.withdraw(second)
    tell_everybody(platform, campaign_of(first))
    platform.clock.step(days=50)  # type: ignore[attr-defined]
    take_effect(platform)
    assert "has taken effect" in refusal(platform, board, form, withdraw_policy).message
    unknown = WithdrawPolicy(version="2024-01-01", reason="It was wrong.")
    assert refusal(platform, board, unknown, withdraw_policy).code is FunctionsErrorCode.NOT_FOUND


def test_completion_and_withdrawal_at_the_same_moment_leave_one_of_the_two(
    platform: Platform[Any], board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The withdrawal is committed while `take_effect` has begun and not yet read."""
    version = board.publish()
    tell_everybody(platform, campaign_of(version))
    form = WithdrawPolicy(version=version, reason="It says what we did not mean.")
    withdraw_policy(platform, board.priya.call(form))
    boundaries = Boundaries(monkeypatch)

    def strike(_store: str) -> None:
        with boundaries.armed(None):
            withdraw_policy(platform, board.cleo.call(form))

    with boundaries.armed(Mishap(1, after=True, strike=strike, method="run_query", outside=True)):
        take_effect(platform)
    assert (stored(platform, version)["state"], stored(platform, version)["effectiveAt"]) == ("withdrawn", None)


def test_wherever_a_process_dies_a_version_takes_effect_once_and_whole(
    platform: Platform[Any], board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    boundaries = Boundaries(monkeypatch)
    form = publication(platform)
    publish_policy(platform, board.priya.call(form))
    for after in (False, True):
        for at in range(1, 60):
            with boundaries.armed(Mishap(at, after=after, strike=crash)):
                try:
                    publish_policy(platform, board.cleo.call(form))
                except Crash:
                    pass
                except HttpsError as error:
                    assert error.code is FunctionsErrorCode.ALREADY_EXISTS
                calls = boundaries.calls
            document = stored(platform, form.version)
            campaign = campaigns.reference(platform.db, campaign_of(form.version)).get()
            assert bool(document) == campaign.exists, "both or neither"
            if at > calls:
                break
    assert stored(platform, form.version)["state"] == "announced"
    tell_everybody(platform, campaign_of(form.version))
    for after in (False, True):
        for at in range(1, 30):
            with boundaries.armed(Mishap(at, after=after, strike=crash)):
                take_effect(platform)
                if boundaries.calls < at:
                    break
    assert stored(platform, form.version)["effectiveAt"] == form.effectiveAt
    assert len(logged(platform, tlog.Action.POLICY_DATED)) == 1


def test_who_is_being_erased_is_not_waited_for(platform: Platform[Any], team: Team, board: Board) -> None:
    ada, version = team.customer(), board.publish()
    erasure.begin(platform, ada.uid, platform.clock())
    tell_everybody(platform, campaign_of(version))
    assert ada.notices() == []


def test_a_policy_that_takes_effect_opens_a_review_and_the_register_follows_it(
    platform: Platform[Any], board: Board
) -> None:
    processors.seed(platform.db, platform.clock())
    review(platform)
    material = platform.db.document("rounds/review").get().get("material")
    version = f"{platform.clock():%Y-%m-%d}"
    fewer = text_of(version).replace("Firebase, Vercel, Redis Cloud and Replicate", "Firebase, Vercel and Redis Cloud")
    board.publish(text=fewer)
    tell_everybody(platform, campaign_of(version))
    platform.clock.step(days=32)  # type: ignore[attr-defined]
    review(platform)
    assert in_force(platform) == version
    assert platform.db.document("rounds/review").get().get("material") != material
    assert platform.db.collection("reviews").get()
    names = {stored.id for stored in platform.db.collection("findings").get()}
    assert "not-named-by-policy.Replicate" in names


def test_a_security_policy_takes_effect_as_said_and_who_works_here_is_told(
    platform: Platform[Any], team: Team, board: Board
) -> None:
    ada, at = team.customer(), platform.clock() + timedelta(hours=1)
    version = f"security-{platform.clock():%Y-%m-%d}"
    text = f"Employee Security Policy\nVersion: {version}\n{300 * 'Be careful. '}"
    form = parse(
        PublishPolicy,
        {"version": version, "text": text, "effectiveAt": at.isoformat(), "material": True, "summary": SUMMARY},
    )
    wrong = form.model_copy(update={"text": text.replace(version, "security-2020-01-01")})
    assert f'needs the line "Version: {version}"' in refusal(platform, board, wrong).message
    board.decide(publish_policy, form)
    assert ada.notices() == []
    assert any(version in title for title in titles(board.priya))
    platform.clock.step(hours=2)  # type: ignore[attr-defined]
    assert policies.current(platform.db, platform.clock(), policies.SECURITY).version == version
    assert refusal(platform, board, publication(platform)).code is FunctionsErrorCode.FAILED_PRECONDITION
    board.priya.accept()
    publish_policy(platform, board.priya.call(publication(platform)))


def test_what_has_no_time_is_not_found_by_a_query_for_what_is_in_force(platform: Platform[Any]) -> None:
    document = platform.db.document("policies/2099-01-01")
    document.set({"version": "2099-01-01", "sha256": "0" * 64, "effectiveAt": None})
    assert in_force(platform, platform.clock() + 90_000 * DAY) == policies.FIRST
    assert [one.version for one in policies.versions(platform.db)] == [policies.FIRST, "2099-01-01"]
