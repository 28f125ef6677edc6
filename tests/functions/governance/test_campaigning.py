"""What staff do about campaigns: two people send and resume, one stops, all look."""

from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import HttpsError

from astra import tlog
from astra.notices import campaigns, inbox
from astra.notices.campaigns import Channel, State
from astra.notices.inbox import Kind
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from astra.staff import Role
from notices import campaign_requests, dispatch
from tests.colleagues import Person, Team, logged
from tests.functions.breach.crowd import FACTS, Crowd

HANDLERS = {
    "send": (campaign_requests.send_campaign, campaign_requests.SendCampaign),
    "stop": (campaign_requests.stop_campaign, campaign_requests.StopCampaign),
    "resume": (campaign_requests.resume_campaign, campaign_requests.ResumeCampaign),
    "preview": (campaign_requests.preview_campaign, campaign_requests.PreviewCampaign),
}


@pytest.fixture
def crowd(platform: Platform[Any], team: Team) -> Crowd:
    """Two hundred customers and two of the staff: the first hundredth are three."""
    crowd = Crowd(platform)
    crowd.come(200)
    return crowd


@pytest.fixture
def pair(team: Team) -> tuple[Person, Person]:
    return team.hire(Role.PRIVACY), team.hire(Role.SECURITY)


def refused(words: str, who: Person, what: str, **fields: Any) -> None:
    """It is refused, with a message that has these words."""
    with pytest.raises(HttpsError) as refusal:
        ask(who, what, **fields)
    assert words in refusal.value.message


def ask(who: Person, what: str, **fields: Any) -> dict[str, Any]:
    handler, shape = HANDLERS[what]
    return handler(who.platform, who.call(parse(shape, fields)))


def test_two_people_start_it_and_two_let_it_go_on(crowd: Crowd, pair: tuple[Person, Person]) -> None:
    crowd.announce(approvers=())
    first, second = pair
    for state, told in ((State.PROPOSED, 3), (State.WAITING, 202)):
        asked = {"name": crowd.name, "state": state.value}
        assert ask(first, "send", **asked)["state"] == "proposed"
        assert ask(first, "send", **asked)["state"] == "proposed", "the same person twice is one"
        crowd.work()
        assert crowd.state() is state
        assert ask(second, "send", **asked)["state"] == "done"
        refused("look again", first, "send", **asked)
        crowd.work()
        assert len(crowd.told()) == told
    assert crowd.state() is State.COMPLETE
    [started] = logged(crowd.platform, tlog.Action.CAMPAIGN_STARTED)
    assert started["record"] == {
        "campaign": crowd.name,
        "canary": True,
        "approvers": [first.subject, second.subject],
    }
    [done] = logged(crowd.platform, tlog.Action.CAMPAIGN_COMPLETED)
    counts = {"told": 202, "gone": 0}
    root = crowd.campaign()["root"]
    assert done["record"] == {"campaign": crowd.name, "count": 202, "counts": counts, "root": root}


@pytest.mark.parametrize("when", [State.CANARY, State.WAITING, State.RUNNING])
def test_one_stops_it_at_once_and_two_let_it_go_on(crowd: Crowd, pair: tuple[Person, Person], when: State) -> None:
    first, second = pair
    crowd.announce(canary=when is not State.RUNNING)
    if when is State.WAITING:
        crowd.work()
    assert crowd.state() is when
    before = crowd.told()
    crowd.platform.clock.now += timedelta(hours=1)  # type: ignore[attr-defined]
    assert ask(first, "stop", name=crowd.name)["state"] == "done"
    crowd.work()
    assert (crowd.state(), crowd.told()) == (State.STOPPED, before)
    refused("not under way", second, "stop", name=crowd.name)
    assert ask(first, "resume", name=crowd.name)["state"] == "proposed"
    crowd.work()
    assert (crowd.state(), crowd.told()) == (State.STOPPED, before)
    assert ask(second, "resume", name=crowd.name)["state"] == "done"
    reached = crowd.campaign()["goingFrom"]["members"]
    assert (crowd.campaign()["goingSince"], reached) == (crowd.platform.clock(), len(before)), (
        "what it waited is not its pace"
    )
    crowd.work()
    assert crowd.state() is (State.COMPLETE if when is State.RUNNING else State.WAITING)
    assert len(crowd.told()) == (202 if when is State.RUNNING else 3)
    refused("not stopped", first, "resume", name=crowd.name)


def sign_up(crowd: Crowd) -> str:
    """One more, who is told on the way in what `pending` says."""
    now, [uid], batch = crowd.platform.clock(), crowd.come(1), crowd.db.batch()
    for name, notice in campaigns.pending(crowd.db, now):
        inbox.write(batch, crowd.db, uid, name, notice, now, campaign=name)
    batch.commit()
    return uid


def pause(crowd: Crowd, pair: tuple[Person, Person]) -> list[str]:
    """Stop it for two hours, with some who sign up a moment before, meanwhile and afterwards. Answers those who did
    meanwhile."""
    clock: Any = crowd.platform.clock
    clock.step(seconds=1)
    sign_up(crowd)
    clock.step(seconds=1)
    ask(pair[0], "stop", name=crowd.name)
    meanwhile = []
    for _ in range(2):
        meanwhile.append(sign_up(crowd))
        clock.step(hours=1)
        crowd.work()
    assert not set(meanwhile) & set(crowd.told())
    for person in pair:
        ask(person, "resume", name=crowd.name)
    clock.step(seconds=1)
    sign_up(crowd)
    return meanwhile


@pytest.mark.parametrize("when", [State.CANARY, State.WAITING, State.RUNNING])
def test_who_signs_up_while_it_is_stopped_is_told_of_nothing_until_it_goes_on(
    crowd: Crowd, pair: tuple[Person, Person], when: State
) -> None:
    crowd.announce(canary=when is not State.RUNNING, newcomers_until=campaigns.UNSETTLED)
    dispatch.notify(crowd.platform, crowd.hints, f"{crowd.name}/opening", timedelta())  # type: ignore[arg-type]
    if when is State.WAITING:
        crowd.work()
    assert crowd.state() is when
    crowd.platform.clock.step(minutes=1)  # type: ignore[attr-defined]
    meanwhile = pause(crowd, pair)
    crowd.finish()
    if when is not State.RUNNING:
        assert crowd.state() is State.WAITING
        assert not set(meanwhile) & set(crowd.told()), "they are no first members"
        for person in pair:
            ask(person, "send", name=crowd.name, state="waiting")
        crowd.finish()
    assert crowd.state() is State.COMPLETE
    assert crowd.told() == sorted([*crowd.uids, *(person.uid for person in pair)]), "each once"
    assert (crowd.campaign()["count"], crowd.campaign()["counts"]) == (204, {"told": 204, "gone": 0})


def test_stopped_again_it_still_gives_each_one_notice_and_one_letter(crowd: Crowd, pair: tuple[Person, Person]) -> None:
    crowd.announce(Channel.IN_APP, Channel.EMAIL, canary=False, newcomers_until=campaigns.UNSETTLED)
    dispatch.notify(crowd.platform, crowd.hints, f"{crowd.name}/opening", timedelta())  # type: ignore[arg-type]
    meanwhile = pause(crowd, pair)
    meanwhile += pause(crowd, pair)
    crowd.leave(meanwhile[0])
    crowd.finish()
    assert crowd.state() is State.COMPLETE
    assert crowd.told() == sorted({*crowd.uids, *(person.uid for person in pair)} - {meanwhile[0]})
    counts = {"told": 205, "gone": 0, "accepted": 205}
    assert (crowd.campaign()["count"], crowd.campaign()["counts"]) == (205, counts)
    assert set(meanwhile[1:]) <= set(crowd.rows())


def test_stopped_before_its_members_were_counted_it_counts_who_came_meanwhile(
    crowd: Crowd, pair: tuple[Person, Person]
) -> None:
    crowd.announce(canary=False, newcomers_until=campaigns.UNSETTLED)
    pause(crowd, pair)
    crowd.finish()
    assert crowd.told() == sorted([*crowd.uids, *(person.uid for person in pair)])
    assert crowd.state() is State.COMPLETE


def test_letters_of_the_first_members_go_out_while_it_waits(crowd: Crowd, pair: tuple[Person, Person]) -> None:
    crowd.announce(Channel.EMAIL)
    crowd.finish()
    assert crowd.state() is State.WAITING
    assert {row["state"] for row in crowd.rows().values()} == {"accepted"}
    assert len(crowd.rows()) <= 3
    assert all(job["nextRunAt"] is None for job in crowd.jobs().values()), "nothing asks again and again"


def test_what_is_stuck_goes_on_with_the_rest(crowd: Crowd, pair: tuple[Person, Person]) -> None:
    crowd.announce(canary=False)
    opening = crowd.db.document("campaigns", crowd.name, "shards", "opening")
    opening.update({"state": "stuck", "nextRunAt": None, "attempts": 12})
    crowd.work()
    assert crowd.told() == []
    ask(pair[0], "stop", name=crowd.name)
    for person in pair:
        ask(person, "resume", name=crowd.name)
    crowd.work()
    assert crowd.state() is State.COMPLETE


def test_a_list_that_is_open_is_not_sent(crowd: Crowd, pair: tuple[Person, Person]) -> None:
    batch, now = crowd.db.batch(), crowd.platform.clock()
    campaigns.gather(batch, crowd.db, crowd.name, campaigns.Campaign(Kind.POLICY_CHANGE, FACTS), now)
    campaigns.enlist(batch, crowd.platform, crowd.uids[0], crowd.name, {})
    batch.commit()
    refused("not closed", pair[0], "send", name=crowd.name, state="proposed")
    campaigns.freeze(crowd.db, crowd.name, now)
    for person in pair:
        ask(person, "send", name=crowd.name, state="proposed")
    crowd.work()
    assert (crowd.state(), crowd.told()) == (State.COMPLETE, crowd.uids[:1])


def test_who_may_do_what(crowd: Crowd, team: Team) -> None:
    support, customer = team.hire(Role.SUPPORT), team.customer()
    crowd.announce()
    for what, fields in (("send", {"state": "proposed"}), ("resume", {})):
        refused("role", support, what, name=crowd.name, **fields)
    for what, fields in (("stop", {"name": crowd.name}), ("preview", {"kind": "policy-change", "facts": FACTS})):
        refused("staff", customer, what, **fields)
        assert ask(support, what, **fields)["state"] == "done"
    refused("no campaign", support, "stop", name="unheard-of")


def test_a_preview_is_what_would_be_sent_and_the_log_does_not_repeat_it(crowd: Crowd, team: Team) -> None:
    support = team.hire(Role.SUPPORT)
    shown = ask(support, "preview", kind="policy-change", facts=FACTS)
    assert shown["title"] == "Our Security & Privacy Policy changes on 1 January 2027"
    assert "<cookies>" in shown["text"]
    assert "&lt;cookies&gt;" in shown["html"]
    [entry] = logged(crowd.platform, tlog.Action.CAMPAIGN_PREVIEWED)
    assert "cookies" not in str(entry["record"])
    refused("summary", support, "preview", kind="policy-change", facts={**FACTS, "summary": None} | {"x": "y"})
    missing = {name: fact for name, fact in FACTS.items() if name != "url"}
    refused("url", support, "preview", kind="policy-change", facts=missing)
    refused("no template", support, "preview", kind="staff", facts={})
