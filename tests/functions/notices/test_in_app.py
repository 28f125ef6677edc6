"""A campaign in the application: everybody of the cohort is told, once, whatever happens."""

import hashlib
import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from google.api_core.exceptions import AlreadyExists
from hypothesis import given
from hypothesis import strategies as st

from astra.datamap.table import DATA_MAP
from astra.notices import campaigns, inbox, messages
from astra.notices.campaigns import Audience, Campaign, Channel, State
from astra.notices.inbox import Kind
from astra.runtime import cursors
from astra.runtime.platform import Platform
from breach import texts as breach_texts
from notices import cohort
from notices import in_app as notices_in_app
from tests.functions.erasure.boundaries import Boundaries, Mishap, crash
from tests.functions.notices.crowd import FACTS, STAFF, Crowd


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices_in_app, "_MAX_PAGE_MEMBERS", 10)


def test_everybody_is_told_once_and_the_campaign_is_complete(crowd: Crowd) -> None:
    crowd.come(25)
    crowd.announce(canary=False)
    crowd.work()
    assert crowd.told() == crowd.uids
    [notice] = crowd.notices(crowd.uids[0])
    assert notice["name"] == notice["campaign"] == crowd.name
    assert notice["title"] == "Our Security & Privacy Policy changes on 1 January 2027"
    assert "We say more about <cookies> & such." in notice["body"]
    campaign = crowd.campaign()
    assert (campaign["state"], campaign["count"], campaign["counts"]) == ("complete", 25, {"told": 25, "gone": 0})
    assert campaigns.completed_at(crowd.db, crowd.name) == campaign["completedAt"] == crowd.platform.clock()


def test_many_ranges_tell_everybody_once(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("astra.notices.deliveries.MAX_MEMBERS_OF_ONE_JOB", 5)
    monkeypatch.setattr("astra.notices.deliveries._JOB_MEMBERS", 8)
    crowd.come(60)
    crowd.announce(canary=False)
    crowd.work()
    assert len(crowd.jobs()) > 5
    assert crowd.told() == crowd.uids
    assert crowd.campaign()["counts"] == {"told": 60, "gone": 0}


def test_a_campaign_of_nobody_is_complete(crowd: Crowd) -> None:
    crowd.announce()
    crowd.work()
    assert (crowd.state(), crowd.campaign()["count"]) == (State.COMPLETE, 0)


def test_of_a_name_there_is_one_campaign(crowd: Crowd) -> None:
    crowd.announce()
    with pytest.raises(AlreadyExists):
        crowd.announce()


@pytest.mark.parametrize("approvers", [(), STAFF[:1], (STAFF[0], STAFF[0])])
def test_one_person_sends_nothing_to_many(crowd: Crowd, approvers: tuple[str, ...]) -> None:
    crowd.come(3)
    crowd.announce(approvers=approvers)
    crowd.work()
    assert (crowd.state(), crowd.told(), crowd.jobs()) == (State.PROPOSED, [], {})


def test_the_first_hundredth_is_told_and_the_rest_waits(crowd: Crowd) -> None:
    crowd.come(120)
    crowd.announce()
    crowd.work()
    assert crowd.state() is State.WAITING
    assert crowd.told() == crowd.uids[:2]
    assert campaigns.completed_at(crowd.db, crowd.name) is None


def test_the_root_is_that_of_those_who_were_told(crowd: Crowd) -> None:
    crowd.come(25)
    crowd.leave(crowd.uids[7])
    crowd.announce(canary=False)
    crowd.work()
    root = "0" * 64
    for uid in crowd.uids[:7] + crowd.uids[8:]:
        root = hashlib.sha256(bytes.fromhex(root + crowd.platform.pseudonyms.of_uid(uid))).hexdigest()
    assert crowd.campaign()["root"] == hashlib.sha256(bytes.fromhex(root)).hexdigest()
    assert crowd.campaign()["counts"] == {"told": 24, "gone": 1}


def test_the_cohort_is_frozen_and_newcomers_are_told_on_their_way_in(crowd: Crowd, clock: Any) -> None:
    crowd.come(12)
    crowd.announce(newcomers_until=clock() + timedelta(days=30))
    crowd.work()
    clock.step(seconds=1)
    [newcomer] = crowd.come(1)
    batch = crowd.db.batch()
    for name, notice in campaigns.pending(crowd.db, clock()):
        inbox.write(batch, crowd.db, newcomer, name, notice, clock(), campaign=name)
    batch.commit()
    assert crowd.told() == sorted([crowd.uids[0] if crowd.uids[0] != newcomer else crowd.uids[1], newcomer])
    assert crowd.campaign()["count"] == 12
    clock.step(days=30)
    assert campaigns.pending(crowd.db, clock()) == []


def test_what_is_only_proposed_is_told_to_nobody_on_their_way_in(crowd: Crowd, clock: Any) -> None:
    crowd.announce(approvers=(), newcomers_until=clock() + timedelta(days=30))
    assert campaigns.pending(crowd.db, clock()) == []


def test_who_leaves_while_it_is_under_way_is_told_nothing_more(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The members were read before: the page finds the tombstone."""
    crowd.come(25)
    crowd.announce(canary=False)
    read = cohort.Everybody._read

    def and_then_one_leaves(self: Any, *args: Any) -> Any:
        found = read(self, *args)
        crowd.leave(crowd.uids[14])
        return found

    monkeypatch.setattr(cohort.Everybody, "_read", and_then_one_leaves)
    crowd.work()
    assert crowd.told() == crowd.uids[:14] + crowd.uids[15:]
    assert crowd.campaign()["counts"] == {"told": 24, "gone": 1}


def test_who_has_left_altogether_is_counted_as_gone(crowd: Crowd) -> None:
    crowd.come(120)
    crowd.announce()
    crowd.work()
    assert crowd.state() is State.WAITING
    crowd.profile(crowd.uids[100]).delete()
    campaigns.reference(crowd.db, crowd.name).update({"state": "running"})
    opening = crowd.jobs()["opening"]
    batch = crowd.db.batch()
    notices_in_app.deliveries.open_ranges(
        batch, campaigns.reference(crowd.db, crowd.name), 120, opening["cursor"], crowd.platform.clock()
    )
    batch.commit()
    crowd.work()
    assert crowd.campaign()["counts"] == {"told": 119, "gone": 1}


def test_who_is_frozen_is_told_in_the_application_alone(crowd: Crowd) -> None:
    crowd.come(3)
    crowd.profile(crowd.uids[1]).update({"state": "frozen"})
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.work()
    assert crowd.told() == [crowd.uids[1]]
    assert sorted(crowd.rows()) == [crowd.uids[0], crowd.uids[2]]


def test_a_second_worker_tells_nobody_twice(crowd: Crowd) -> None:
    """Both have the same task; whoever has the lease alone writes, and counts."""
    crowd.come(40)
    crowd.announce(canary=False)
    tasks = [threading.Thread(target=crowd.task, args=("opening",)) for _ in range(4)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    crowd.finish()
    assert crowd.told() == crowd.uids
    assert crowd.campaign()["counts"] == {"told": 40, "gone": 0}


def test_a_crash_at_any_request_costs_nobody_a_notice_and_gives_nobody_two(
    crowd: Crowd, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boundaries = Boundaries(monkeypatch)
    crowd.come(12)
    moment, struck = 0, True
    while struck:
        moment += 1
        crowd.name = f"policy-{moment}"
        crowd.announce(canary=False)
        for after in (False, True):
            with boundaries.armed(Mishap(moment, after, crash)):
                crowd.task("opening")
                struck = boundaries._mishap is None
            clock.step(minutes=6)  # the dead worker's lease ends
        crowd.finish()
        assert crowd.campaign()["counts"] == {"told": 12, "gone": 0}, moment
        assert (
            sorted(uid for uid in crowd.uids for one in crowd.notices(uid) if one["name"] == crowd.name) == crowd.uids
        )
    assert moment > 8


def test_stopped_it_tells_nobody_from_that_moment(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd.come(40)
    crowd.announce(canary=False)
    page = notices_in_app.Telling.page
    seen: list[str] = []

    def and_stop_after_two(self: Any, job: dict[str, Any]) -> Any:
        seen.append(job.get("cursor", ""))
        if len(seen) == 4:  # one freezes the cohort
            campaigns.reference(crowd.db, crowd.name).update({"state": "stopped", "stoppedIn": "running"})
        return page(self, job)

    monkeypatch.setattr(notices_in_app.Telling, "page", and_stop_after_two)
    crowd.work()
    crowd.platform.clock.step(hours=1)  # type: ignore[attr-defined]
    crowd.work()
    assert crowd.told() == crowd.uids[:20]
    assert all(job["nextRunAt"] is None for job in crowd.jobs().values())


def test_nothing_outside_their_own_documents_names_anybody(crowd: Crowd, platform: Platform[Any]) -> None:
    crowd.come(120)
    crowd.announce(Channel.IN_APP, Channel.EMAIL)
    for _ in range(2):
        crowd.work()
        found = [crowd.campaign(), *crowd.jobs().values()]
        text = json.dumps(found, default=str)
        assert not [uid for uid in crowd.uids if uid in text]
        assert "example.com" not in text
        campaigns.reference(crowd.db, crowd.name).update({"state": "running"})


@pytest.mark.parametrize(
    ("audience", "channels"),
    [
        (Audience.EVERYBODY, [Channel.IN_APP]),
        (Audience.EVERYBODY, [Channel.IN_APP, Channel.EMAIL]),
        (Audience.LISTED, [Channel.IN_APP, Channel.EMAIL]),
    ],
)
def test_a_page_is_light_enough_to_be_committed_whatever_is_told_and_how(
    monkeypatch: pytest.MonkeyPatch, audience: Audience, channels: list[Channel]
) -> None:
    monkeypatch.setattr(notices_in_app, "_MAX_PAGE_MEMBERS", 1_000)
    texts = ("whatHappened", "weAreDoing", "youCanDo", "reach")
    at = dict.fromkeys(("since", "until", "discovered"), "2027-01-01T00:00:00Z")
    short, long = (
        {**at, "reference": "s1", **dict.fromkeys(texts, text)} for text in ("Nothing.", "\N{PANDA FACE}" * 3000)
    )
    own = {"elements": breach_texts.elements([entry.name for entry in DATA_MAP])}
    campaign = {"kind": Kind.BREACH.value, "audience": audience, "channels": channels, "facts": long}
    each = len(messages.render(Kind.BREACH, long | own).notice.body.encode())
    assert 10 <= notices_in_app._size(campaign) <= 8 * 1024 * 1024 // each
    assert notices_in_app._size(campaign | {"facts": short}) >= 400
    assert len(own["elements"].encode()) <= notices_in_app._MAX_OWN_FACTS_BYTES


@given(st.lists(st.text("abAB01", min_size=1, max_size=8), min_size=1, max_size=30, unique=True), st.integers(1, 30))
def test_a_cursor_lies_between_two_ids(uids: list[str], most: int) -> None:
    uids = sorted(uids)
    taken, cursor = cursors.cut(uids[: most + 1], most)
    assert 0 < taken <= most
    if cursor is None:
        assert taken == len(uids[: most + 1])
    else:
        assert uids[taken - 1] < cursor <= uids[taken]
        assert cursor not in uids or all(cursors.cut(uids[: most + 1], each)[1] in uids for each in range(1, taken + 1))


@pytest.mark.parametrize("in_app", [True, False])
def test_a_list_is_told_what_is_each_ones_own(crowd: Crowd, clock: Any, in_app: bool) -> None:
    crowd.come(14)
    gone, [*listed] = crowd.uids[0], crowd.uids[:12]
    channels = (Channel.IN_APP,) if in_app else (Channel.EMAIL,)
    common = {name: FACTS[name] for name in ("version", "effectiveAt", "url")}
    batch = crowd.db.batch()
    campaigns.gather(
        batch,
        crowd.db,
        crowd.name,
        Campaign(Kind.POLICY_CHANGE, common, channels, {"summary": "what is yours"}),
        clock(),
        STAFF,
        canary=False,
    )
    for uid in listed:
        campaigns.enlist(batch, crowd.platform, uid, crowd.name, {"summary": f"about you, {uid}"})
    batch.commit()
    crowd.leave(gone)
    crowd.work()
    assert (crowd.told(), crowd.state()) == ([], State.PROPOSED), "its list is open"
    for _ in range(2):
        campaigns.freeze(crowd.db, crowd.name, clock())
    crowd.work()
    assert crowd.campaign()["count"] == 12
    assert crowd.rows()[gone]["state"] == "gone"
    if in_app:
        assert crowd.told() == listed[1:]
        assert all(f"about you, {uid}" in crowd.notices(uid)[0]["body"] for uid in listed[1:])
        assert {row["state"] for row in crowd.rows().values()} == {"gone", "delivered"}
        assert (crowd.state(), crowd.campaign()["counts"]) == (State.COMPLETE, {"told": 11, "gone": 1})
    else:
        assert (crowd.told(), crowd.state()) == ([], State.RUNNING)
