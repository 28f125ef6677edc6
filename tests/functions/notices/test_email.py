"""Letters of a campaign to a real SMTP server: whom they reach, and what becomes of those that reach nobody."""

import secrets
from datetime import timedelta
from typing import Any

import pytest

from astra import jobs
from astra.notices import campaigns, deliveries
from astra.notices.campaigns import Channel, State
from astra.notices.inbox import Kind
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import Limits, connect
from notices import dispatch, email, in_app
from tests.functions.erasure.boundaries import Boundaries, Mishap, crash
from tests.functions.notices.crowd import Crowd
from tests.functions.notices.post_office import PostOffice


def mailboxes(crowd: Crowd, *names: str) -> list[str]:
    """People whose addresses begin so."""
    uids = crowd.come(len(names))
    for uid, name in zip(uids, names, strict=True):
        crowd.profile(uid).update({"email": f"{name}.{uid}@example.com"})
    return uids


def test_a_letter_has_a_text_a_page_and_a_name_of_its_own(crowd: Crowd, office: PostOffice) -> None:
    [uid] = crowd.come(1)
    crowd.announce(Channel.IN_APP, Channel.EMAIL)
    crowd.finish()
    [letter] = office.messages
    assert letter.recipients == (f"{uid}@example.com",)
    assert letter.message["Subject"] == "Our Security & Privacy Policy changes on 1 January 2027"
    assert letter.message["Auto-Submitted"] == "auto-generated"
    text, page = letter.message.iter_parts()
    assert (text.get_content_type(), page.get_content_type()) == ("text/plain", "text/html")
    assert "We say more about <cookies> & such." in text.get_content()
    assert "We say more about &lt;cookies&gt; &amp; such." in page.get_content()
    key = crowd.platform.pseudonyms.of_delivery(uid, crowd.name)
    assert letter.message["Message-ID"] == f"<{key}@astra-engineering.co>"
    assert uid not in letter.message["Message-ID"]
    assert crowd.rows()[uid]["state"] == "accepted"
    assert crowd.told() == [uid]
    assert crowd.campaign()["counts"] == {"told": 1, "gone": 0, "accepted": 1}


def test_one_connection_carries_a_page_of_letters(crowd: Crowd, office: PostOffice) -> None:
    crowd.come(30)
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.finish()
    assert office.recipients() == sorted(f"{uid}@example.com" for uid in crowd.uids)
    assert crowd.told() == []
    assert crowd.state() is State.COMPLETE
    assert crowd.campaign()["counts"] == {"queued": 30, "gone": 0, "accepted": 30}


def test_a_mailbox_that_is_not_there_becomes_a_notice(crowd: Crowd, office: PostOffice) -> None:
    nobody, spam, _ = mailboxes(crowd, "nobody", "spam", "well")
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.finish()
    rows = crowd.rows()
    assert [rows[uid]["state"] for uid in (nobody, spam)] == ["bounced", "bounced"]
    assert [rows[uid]["code"] for uid in (nobody, spam)] == [550, 554]
    assert crowd.told() == sorted([nobody, spam])
    assert set(office.refused.values()) == {1}, "nobody asks twice"
    assert crowd.campaign()["counts"] == {"queued": 3, "gone": 0, "accepted": 1, "bounced": 2}


def test_a_full_mailbox_is_tried_again_later_each_time_and_becomes_a_notice(crowd: Crowd, office: PostOffice) -> None:
    full, well = mailboxes(crowd, "full", "well")
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.send()
    began = crowd.platform.clock()
    assert (crowd.rows()[full]["state"], crowd.rows()[full]["code"]) == ("queued", 452)
    assert (crowd.rows()[well]["state"], crowd.state()) == ("accepted", State.RUNNING)
    crowd.finish()
    assert crowd.rows()[full]["state"] == "failed"
    assert list(office.refused.values()) == [email._MAX_ATTEMPTS]
    assert crowd.platform.clock() - began >= timedelta(seconds=2**7 - 1)
    assert crowd.told() == [full]
    assert crowd.state() is State.COMPLETE


def test_a_server_that_is_away_is_nobodys_fault(crowd: Crowd, office: PostOffice) -> None:
    crowd.come(3)
    office.shut()
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.send()
    waits = []
    for _ in range(6):
        due = [job["nextRunAt"] for name, job in crowd.jobs().items() if name.startswith("mail") and job.get("downs")]
        waits.append(min(due) - crowd.platform.clock())
        crowd.platform.clock.now = max(due)  # type: ignore[attr-defined]
        crowd.work()
    assert waits[-1] > 8 * waits[0]
    assert {row["attempts"] for row in crowd.rows().values()} == {0}
    assert crowd.told() == []
    office.open()
    crowd.finish()
    assert len(office.messages) == 3
    assert crowd.campaign()["counts"] == {"queued": 3, "gone": 0, "accepted": 3}


def test_a_server_that_closes_is_as_good_as_away(crowd: Crowd, office: PostOffice) -> None:
    crowd.come(2)
    office.is_closing = True
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.send()
    assert {row["attempts"] for row in crowd.rows().values()} == {0}
    office.is_closing = False
    crowd.finish()
    assert len(office.messages) == 2


def test_a_server_that_takes_few_letters_over_one_connection_gets_them_over_many(
    crowd: Crowd, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LANES", 1)
    crowd.come(5)
    office.most = 2
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.send()
    assert len(office.messages) == 5
    assert len(office.connections) == 3
    assert crowd.jobs()["mail-0"].get("downs", 0) == 0


@pytest.mark.parametrize("name", ["closing", "dropping", "tarpit"])
def test_one_mailbox_at_which_the_connection_ends_is_in_nobodys_way(
    crowd: Crowd, office: PostOffice, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LANES", 1)
    monkeypatch.setattr(email.notices_smtp, "_TIMEOUT_SECONDS", 0.2)
    office.delay = 0.6
    *tried, _, _ = mailboxes(crowd, name, name, "well", "well")
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.send()
    assert len(office.messages) == 2, "the others have theirs"
    assert {crowd.rows()[uid]["attempts"] for uid in tried} <= {1, 2}
    assert crowd.jobs()["mail-0"].get("downs", 0) == 0
    crowd.finish()
    rows = crowd.rows()
    assert [(rows[uid]["state"], rows[uid]["code"]) for uid in tried] == [("failed", 421)] * 2
    assert crowd.told() == sorted(tried)
    assert set(office.refused.values()) == {email._MAX_ATTEMPTS}
    assert crowd.campaign()["counts"] == {"queued": 4, "gone": 0, "accepted": 2, "failed": 2}


def test_a_server_that_thinks_long_about_a_letter_is_sent_it_once(
    crowd: Crowd, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email.notices_smtp, "_TIMEOUT_SECONDS", 0.2)
    office.delay = 0.6
    [slow] = mailboxes(crowd, "slow")
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.finish()
    assert (len(office.messages), crowd.rows()[slow]["state"]) == (1, "accepted")


def test_a_server_that_thinks_for_ever_is_sent_a_letter_so_many_times(
    crowd: Crowd, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LANES", 1)
    monkeypatch.setattr(email, "_ANSWER_TIMEOUT", timedelta(seconds=0.2))
    office.delay = 0.6
    slow, _ = mailboxes(crowd, "slow", "well")
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.finish()
    assert set(office.keys().values()) == {1, email._MAX_ATTEMPTS}
    assert (crowd.rows()[slow]["state"], crowd.told()) == ("failed", [slow])


def test_a_letter_has_all_of_its_time_before_its_claim_and_its_lanes_lease_end() -> None:
    assert email._SENDING_TIMEOUT + timedelta(minutes=1) <= email._CLAIM_DURATION < jobs._LEASE_DURATION


def test_a_letter_that_can_not_be_written_is_in_nobodys_way(crowd: Crowd, office: PostOffice, clock: Any) -> None:
    """Its template has learned to ask for a fact since it was queued."""
    poison, well = crowd.come(2)
    facts = {"erasesAt": "2027-02-01T00:00:00Z", "lastActiveAt": "2025-02-01T00:00:00Z"}
    for uid in (poison, well):
        batch = crowd.db.batch()
        campaigns.tell(batch, crowd.platform, uid, "inactivity-1", Kind.INACTIVITY, facts, clock(), [Channel.EMAIL])
        batch.commit()
        clock.step(seconds=1)
    row = deliveries.row_of(crowd.db, poison, "inactivity-1")
    row.update({"facts": {}})
    crowd.work()
    assert office.recipients() == [f"{well}@example.com"]
    assert (crowd.rows()[poison]["state"], crowd.rows()[poison]["attempts"]) == ("queued", 1)
    for _ in range(email._MAX_ATTEMPTS):
        clock.step(hours=5)
        crowd.work()
    assert (crowd.rows()[poison]["state"], crowd.told()) == ("failed", [])
    lane = crowd.db.document("rounds", deliveries.LETTERS).get().to_dict() or {}
    assert lane["state"] == "running"


def test_a_domain_gets_no_more_than_so_many_a_minute(crowd: Crowd, office: PostOffice, platform: Platform[Any]) -> None:
    domain = f"{secrets.token_hex(6)}.example"
    for uid in crowd.come(7):
        crowd.profile(uid).update({"email": f"{uid}@{domain}"})
    [elsewhere] = crowd.come(1, email=f"ada@other.{domain}")
    platform.__dict__["settings"] = platform.settings.model_copy(update={"letters_a_minute": 3})
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.send()
    assert len([one for one in office.recipients() if one.endswith(f"@{domain}")]) == 3
    assert crowd.rows()[elsewhere]["state"] == "accepted", "others don't wait for it"
    waiting = [row for row in crowd.rows().values() if row["state"] == "queued"]
    assert {(row["attempts"], row["deferred"]) for row in waiting} == {(0, 1)}
    platform.__dict__["settings"] = platform.settings.model_copy(update={"letters_a_minute": 1000})
    crowd.finish()
    assert len(office.messages) == 8


def test_while_nobody_counts_no_letter_goes_out(crowd: Crowd, office: PostOffice, platform: Platform[Any]) -> None:
    crowd.come(3)
    counting, dead = platform.limits, Limits(connect("redis://127.0.0.1:1/0"), platform.pseudonyms)
    platform.__dict__["limits"] = dead
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.send()
    assert office.messages == []
    assert {(row["attempts"], row["deferred"]) for row in crowd.rows().values()} == {(0, 1)}
    platform.__dict__["limits"] = counting
    crowd.finish()
    assert len(office.messages) == 3


@pytest.mark.parametrize(
    "address", [None, "", "no-address", "eve@", "@example.com", "eve@exa mple.com", "eve@x.example\r\nBcc: b@x.example"]
)
def test_what_is_no_address_becomes_a_notice(crowd: Crowd, office: PostOffice, address: str | None) -> None:
    [uid] = crowd.come(1, email=address)
    crowd.announce(Channel.EMAIL)
    crowd.finish()
    assert (office.messages, crowd.told(), crowd.rows()[uid]["state"]) == ([], [uid], "bounced")


def test_who_leaves_before_their_letter_gets_none(crowd: Crowd, office: PostOffice) -> None:
    uids = crowd.come(3)
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.task("opening")
    crowd.leave(uids[1])
    crowd.profile(uids[2]).delete()
    crowd.finish()
    assert office.recipients() == [f"{uids[0]}@example.com"]
    assert [crowd.rows()[uid]["state"] for uid in uids] == ["accepted", "gone", "gone"]
    assert crowd.told() == []
    assert crowd.state() is State.COMPLETE


def test_a_row_that_went_with_its_person_is_no_failure(
    crowd: Crowd, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are erased between the moment in which their letter is sent and that in which it is recorded."""
    [uid] = crowd.come(1)
    crowd.announce(Channel.EMAIL, canary=False)
    deliver = email.notices_smtp.deliver

    def and_they_go(smtp: Any, letter: Any) -> None:
        deliver(smtp, letter)
        deliveries.row_of(crowd.db, uid, crowd.name).delete()

    monkeypatch.setattr(email.notices_smtp, "deliver", and_they_go)
    crowd.finish()
    assert (crowd.rows(), crowd.state()) == ({}, State.COMPLETE)


def test_stopped_no_letter_goes_out_but_the_one_under_way(
    crowd: Crowd, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LANES", 1)
    crowd.come(6)
    crowd.announce(Channel.EMAIL, canary=False)
    campaign = campaigns.reference(crowd.db, crowd.name)
    deliver = email.notices_smtp.deliver

    def and_stop_at_the_second(smtp: Any, letter: Any) -> None:
        if len(office.messages) == 1:
            campaign.update({"state": "stopped", "stoppedIn": "running"})
        deliver(smtp, letter)

    monkeypatch.setattr(email.notices_smtp, "deliver", and_stop_at_the_second)
    crowd.finish()
    assert len(office.messages) == 2
    rows = [row for row in crowd.rows().values() if row["state"] == "queued"]
    assert [row["attempts"] for row in rows] == [0] * 4
    assert all(job["nextRunAt"] is None for job in crowd.jobs().values())


def test_two_workers_of_a_lane_send_each_letter_once(crowd: Crowd, office: PostOffice) -> None:
    """The second one comes when the first has lost its lease, but not its letters."""
    crowd.come(6)
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.task("opening")
    for name in ("mail-0", "mail-1", "mail-2", "mail-3"):
        first, second = (email.Mailing(crowd.platform, f"{crowd.name}/{name}", _of(crowd)) for _ in range(2))
        claimed = email.transact(crowd.db, first._claim)
        assert email.transact(crowd.db, second._claim) == []
        first._give_back(claimed)
    crowd.finish()
    assert set(office.keys().values()) == {1}
    assert len(office.messages) == 6


def test_a_claim_that_has_run_out_sends_nothing(crowd: Crowd, office: PostOffice, clock: Any) -> None:
    crowd.come(1)
    crowd.announce(Channel.EMAIL, canary=False)
    crowd.task("opening")
    [lane] = {row["lane"] for row in crowd.rows().values()}
    late = email.Mailing(crowd.platform, lane, _of(crowd))
    [claimed] = email.transact(crowd.db, late._claim)
    clock.step(minutes=5)
    url = crowd.platform.settings.smtp_url.get_secret_value()
    with email.notices_smtp.connected(url) as smtp, pytest.raises(email._Stopped):
        late._send(smtp, claimed)
    assert office.messages == []


def _of(crowd: Crowd) -> Any:
    return campaigns.reference(crowd.db, crowd.name)


def test_a_crash_at_any_request_repeats_one_letter_at_most_under_the_same_name(
    crowd: Crowd, office: PostOffice, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LANES", 1)
    boundaries = Boundaries(monkeypatch)
    crowd.come(3)
    moment, struck, repeated = 0, True, 0
    while struck:
        moment += 1
        crowd.name, office.messages[:] = f"policy-{moment}", []
        crowd.announce(Channel.EMAIL, canary=False)
        crowd.task("opening")
        for after in (False, True):
            with boundaries.armed(Mishap(moment, after, crash)):
                crowd.task("mail-0")
                struck = boundaries._mishap is None
            assert crowd.state() is not State.COMPLETE or crowd.is_terminal()
            clock.step(minutes=6)
        crowd.finish()
        assert crowd.campaign()["counts"] == {"queued": 3, "gone": 0, "accepted": 3}, moment
        keys = office.keys()
        assert len(keys) == 3, "whoever got two got the same one twice"
        assert sum(keys.values()) <= 5, "two crashes, each one letter at most"
        repeated += sum(keys.values()) - 3
    assert moment > 15
    assert repeated, "there is such a moment: between sending and recording"


def test_a_letter_to_one_person_needs_no_campaign(crowd: Crowd, office: PostOffice, clock: Any) -> None:
    [uid, nobody] = mailboxes(crowd, "well", "nobody")
    facts = {"erasesAt": "2027-02-01T00:00:00Z", "lastActiveAt": "2025-02-01T00:00:00Z"}
    for who in (uid, nobody):
        batch = crowd.db.batch()
        campaigns.tell(batch, crowd.platform, who, "inactivity-1", Kind.INACTIVITY, facts, clock(), [Channel.EMAIL])
        batch.commit()
    crowd.work()
    crowd.work()
    [letter] = office.messages
    assert letter.message["Subject"] == "Your account will be deleted on 1 February 2027"
    assert crowd.told() == [nobody]
    clock.step(hours=1)
    batch = crowd.db.batch()
    channels = [Channel.IN_APP, Channel.EMAIL]
    campaigns.tell(batch, crowd.platform, uid, "inactivity-2", Kind.INACTIVITY, facts, clock(), channels)
    batch.commit()
    crowd.work()
    assert len(office.messages) == 2
    assert [one["name"] for one in crowd.notices(uid)] == ["inactivity-2"]


def test_a_letter_to_one_person_does_not_wait_for_one_that_was_put_off(
    crowd: Crowd, office: PostOffice, clock: Any
) -> None:
    facts = {"erasesAt": "2027-02-01T00:00:00Z", "lastActiveAt": "2025-02-01T00:00:00Z"}
    full, well = mailboxes(crowd, "full", "well")
    for who in (full, well):
        batch = crowd.db.batch()
        campaigns.tell(batch, crowd.platform, who, "inactivity-1", Kind.INACTIVITY, facts, clock(), [Channel.EMAIL])
        batch.commit()
        crowd.work()
    assert crowd.rows()[full]["nextRunAt"] > clock()
    assert office.recipients() == [f"well.{well}@example.com"]


def test_a_task_that_comes_twice_while_a_letter_is_put_off_leaves_no_other_task(
    crowd: Crowd, office: PostOffice, clock: Any
) -> None:
    class Kept:
        def __init__(self) -> None:
            self.hints: list[tuple[str, Any]] = []

        def hint(self, job: str, at: Any = None) -> None:
            self.hints.append((job, at))

    facts = {"erasesAt": "2027-02-01T00:00:00Z", "lastActiveAt": "2025-02-01T00:00:00Z"}
    full, well = mailboxes(crowd, "full", "well")
    queue = Kept()
    for who, runs in ((full, 1), (well, 2)):
        batch = crowd.db.batch()
        campaigns.tell(batch, crowd.platform, who, "inactivity-1", Kind.INACTIVITY, facts, clock(), [Channel.EMAIL])
        batch.commit()
        for _ in range(4):
            dispatch.notify(crowd.platform, queue, "letters", timedelta(minutes=1))  # type: ignore[arg-type]
            assert queue.hints == [("letters", crowd.rows()[full]["nextRunAt"])] * runs
    assert office.recipients() == [f"well.{well}@example.com"]
    assert crowd.db.document("rounds/letters").get().get("fence") == 2, "it was claimed when something was due"


def test_a_lane_does_not_wait_for_what_was_put_off_while_there_is_more_to_come(
    crowd: Crowd, office: PostOffice, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_app, "_MAX_PAGE_MEMBERS_WITH_ROWS", 1)
    monkeypatch.setattr(deliveries, "LANES", 1)
    full, well = mailboxes(crowd, "full", "well")
    crowd.announce(Channel.EMAIL, canary=False)
    for job in ("opening", "opening", "mail-0"):  # frozen; the first is told of; their letter is put off
        dispatch.notify(crowd.platform, crowd.hints, f"{crowd.name}/{job}", timedelta())  # type: ignore[arg-type]
    row, later = deliveries.row_of(crowd.db, full, crowd.name), clock() + timedelta(hours=4)
    row.update({"nextRunAt": later})
    crowd.task("mail-0")
    assert crowd.jobs()["mail-0"]["nextRunAt"] == clock() + crowd.platform.settings.retry_delay
    crowd.task("opening")
    clock.step(seconds=2)
    crowd.task("mail-0")
    assert crowd.rows()[well]["state"] == "accepted"
    assert crowd.jobs()["mail-0"]["nextRunAt"] == later


def test_letters_to_single_people_wait_for_a_server_too(crowd: Crowd, office: PostOffice, clock: Any) -> None:
    [uid] = crowd.come(1)
    office.shut()
    facts = {"erasesAt": "2027-02-01T00:00:00Z", "lastActiveAt": "2025-02-01T00:00:00Z"}
    batch = crowd.db.batch()
    campaigns.tell(batch, crowd.platform, uid, "inactivity-1", Kind.INACTIVITY, facts, clock(), [Channel.EMAIL])
    batch.commit()
    crowd.work()
    office.open()
    clock.step(hours=1)
    crowd.work()
    assert len(office.messages) == 1
