"""From the evidence to the notices: what each is told, by whose approval, once, whatever dies on the way."""

import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import jinja2
import pytest
from flask import Flask, Request
from google.cloud import firestore

from astra import erasure, tlog
from astra.accounts import honeytokens
from astra.erasure import legal_holds
from astra.notices import campaigns, messages
from astra.notices.campaigns import State
from breach import texts
from breach.detection.watch import watch
from breach.response import deadline_alarms, notice_page
from local import audit_log
from local.stack import Stack
from notices import dispatch
from tests.colleagues import logged
from tests.functions.breach.crowd import BUDGET, Crowd
from tests.functions.breach.desk import SAID, THIEF, Desk, refused

SERVICE = "uploads-functions@demo-astra.iam.gserviceaccount.com"
#: How many people the whole path is gone for: BREACH_PEOPLE=50000 takes some ten minutes.
PEOPLE = int(os.environ.get("BREACH_PEOPLE", "60"))
#: With more people no letters are sent: for each page of them the emulator looks through all, which takes it hours.
MOST_LETTERS = 1_000


@pytest.fixture
def counted(desk: Desk, crowd: Crowd) -> str:
    """An incident of three people, of whom one lost their images too. Counted, and described."""
    crowd.come(3, jurisdiction="DE")
    at = desk.clock() - timedelta(hours=1)
    desk.happened(*(audit_log.read(at, SERVICE, f"users/{uid}") for uid in crowd.uids))
    desk.happened(
        audit_log.object_read(at, SERVICE, f"images/{crowd.uids[0]}/ring-0001"),
        audit_log.read(at, SERVICE, f"keys/{crowd.uids[0]}", database="vault"),
        audit_log.decrypted(at, SERVICE),
    )
    name = desk.report()
    desk.confirm(name, serviceAccounts=[SERVICE.replace("demo-astra", str(desk.platform.app.project_id))])
    desk.gather(name)
    desk.describe(name)
    return name


def test_each_is_told_exactly_what_was_theirs_in_the_application_and_by_letter(
    desk: Desk, crowd: Crowd, counted: str, stack: Stack
) -> None:
    desk.send(counted, crowd)
    heads = ("What Happened", "What Information Was Involved", "What We Are Doing", "What You Can Do")
    for uid in crowd.uids:
        [notice] = crowd.notices(uid)
        body = notice["body"]
        assert notice["title"] == "Notice of Data Breach"
        places = [body.index(head) for head in (*heads, "For More Information")]
        assert places == sorted(places)
        assert "name, e-mail address, settings" in body
        assert ("- images\n" in body) == (uid == crowd.uids[0])
        assert SAID["contact"] in body
        [letter] = [one for one in stack.mail.messages if f"{uid}@example.com" in one.recipients]
        assert letter.message["Subject"] == "Notice of Data Breach"
        text = str(letter.message.get_body(("plain",)).get_content())  # type: ignore[union-attr]
        html = str(letter.message.get_body(("html",)).get_content())  # type: ignore[union-attr]
        for said in (text, html):
            assert "What Information Was Involved" in said
            assert not re.search(r"https?://|href=|<form|<input", said)
    campaign = campaigns.reference(desk.db, texts.campaign_of(counted)).get().to_dict() or {}
    assert (campaign["state"], campaign["count"]) == (State.COMPLETE, 3)
    deadline_alarms.sound(desk.platform)
    assert desk.incident(counted)["peopleToldAt"] == campaign["completedAt"]


def test_who_is_frozen_gets_their_letter_too(desk: Desk, crowd: Crowd, counted: str, stack: Stack) -> None:
    """It may be to contain this very breach."""
    crowd.profile(crowd.uids[1]).update({"state": "frozen"})
    desk.send(counted, crowd)
    assert desk.told(counted) == crowd.uids
    assert any(f"{crowd.uids[1]}@example.com" in one.recipients for one in stack.mail.messages)


def test_two_people_approve_the_very_text_and_nobody_is_told_before(desk: Desk, crowd: Crowd, counted: str) -> None:
    crowd.work()
    assert desk.told(counted) == []
    with refused("something else"):
        desk.approve(counted, desk.ada, sha256="0" * 64)
    with refused("role"):
        desk.approve(counted, desk.carol)
    assert desk.approve(counted, desk.ada)["state"] == "proposed"
    assert desk.approve(counted, desk.ada)["state"] == "proposed", "again, by the same one"
    before = texts.notice(counted, desk.incident(counted)).sha256
    desk.describe(counted, whatHappened="Something else happened.")
    with refused("something else"):
        desk.approve(counted, desk.bob, sha256=before)
    assert desk.approve(counted, desk.bob)["state"] == "proposed", "of the new text nobody has seen the old approval"
    desk.gather(counted)
    crowd.work()
    assert desk.told(counted) == []
    assert desk.approve(counted, desk.ada)["state"] == "done"
    with refused("people are told this"):
        desk.describe(counted, whatHappened="Nothing happened.")
    with refused("not told yet"):
        desk.approve(counted, desk.ada)
    desk.gather(counted)
    crowd.work()
    assert desk.told(counted) == crowd.uids
    [entry] = [one for one in logged(desk.platform, tlog.Action.NOTICE_APPROVED) if one["record"]["state"] == "done"]
    assert sorted(entry["record"]["approvers"]) == sorted([desk.ada.subject, desk.bob.subject])


def test_two_people_approve_to_whom_it_goes(desk: Desk, crowd: Crowd, counted: str) -> None:
    """Who has it counted again after the other's approval tells the more on their own word otherwise."""
    assert desk.approve(counted, desk.ada)["state"] == "proposed"
    before = texts.notice(counted, desk.incident(counted)).sha256
    others = crowd.come(2, createdAt=desk.clock() - timedelta(days=1))
    desk.clock.step(minutes=1)
    desk.confirm_again(counted, desk.bob, everybodys=["profile"])
    desk.gather(counted)
    assert texts.notice(counted, desk.incident(counted)).sha256 == before, "the text is the same"
    assert desk.approve(counted, desk.bob)["state"] == "proposed"
    desk.gather(counted)
    crowd.work()
    assert desk.told(counted) == []
    assert desk.approve(counted, desk.ada)["state"] == "done"
    desk.gather(counted)
    desk.fan_out(counted, crowd)
    assert set(desk.told(counted)) > {*others}
    done = logged(desk.platform, tlog.Action.NOTICE_APPROVED)[-1]["record"]
    assert done["people"] == len(desk.told(counted))


def test_what_nobody_has_said_yet_is_named(desk: Desk, crowd: Crowd) -> None:
    name = desk.report()
    with refused("confirmed"):
        desk.approve(name, desk.ada, sha256="0" * 64)
    desk.confirm(name)
    with refused("counted"):
        desk.approve(name, desk.ada, sha256="0" * 64)
    desk.gather(name)
    with refused("not known who is affected"):
        desk.approve(name, desk.ada, sha256="0" * 64)
    desk.db.document(f"incidents/{name}").update({"affected": {"DE": 1}})
    desk.describe(name, contact=SAID["contact"])
    with refused("whatHappened, weAreDoing, youCanDo missing"):
        desk.approve(name, desk.ada, sha256="0" * 64)


def shown(desk: Desk, name: str, method: str = "GET") -> Any:
    with Flask("x").test_request_context(query_string={"id": name}, method=method) as context:
        request: Request = context.request
        return notice_page.notice_page(desk.platform, request)


def test_the_public_page_is_there_once_it_is_approved(desk: Desk, counted: str) -> None:
    for name in (counted, "f" * 20, "../etc", ""):
        assert shown(desk, name).status_code == 404
    assert shown(desk, counted, "POST").status_code == 405
    desk.approve(counted, desk.ada)
    assert shown(desk, counted).status_code == 404
    desk.approve(counted, desk.bob)
    answer = shown(desk, counted)
    assert answer.status_code == 200
    sha256 = desk.incident(counted)["notice"]["sha256"]
    assert sha256 in answer.get_data(as_text=True)
    assert answer.headers["ETag"] == f'"{sha256}"'
    assert "What You Can Do" in answer.get_data(as_text=True)


def test_what_two_people_approved_is_what_is_told_whatever_is_deployed_since(
    desk: Desk, crowd: Crowd, counted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.approve(counted, desk.ada)
    desk.approve(counted, desk.bob)
    approved = desk.incident(counted)["notice"]
    before = shown(desk, counted).get_data(as_text=True)
    with monkeypatch.context() as deployed:
        deployed.setitem(texts._CATEGORY, "profile", "something else")
        assert shown(desk, counted).get_data(as_text=True) == before == approved["html"]
        desk.gather(counted)
        assert desk.incident(counted)["cohort"] == "enlisting", "nobody is put on the list with other words"
    desk.gather(counted)
    with monkeypatch.context() as deployed:
        another = jinja2.Template("Another title\nand another text")
        deployed.setattr(messages, "_template", lambda _name: another)
        assert shown(desk, counted).get_data(as_text=True) == before
        assert dispatch.deliver(desk.platform, crowd.hints) > 0  # type: ignore[arg-type]
        for job in crowd.hints.jobs:
            dispatch.notify(desk.platform, crowd.hints, job, BUDGET)  # type: ignore[arg-type]
        assert desk.told(counted) == []
    desk.fan_out(counted, crowd)
    assert desk.told(counted) == crowd.uids


class Killed(BaseException):
    """What no handler catches: the process is gone."""


@contextmanager
def killing(dice: random.Random, share: float) -> Iterator[Counter[str]]:
    """Now and then a worker dies just before, or just after, a transaction is committed."""
    deaths: Counter[str] = Counter()
    real, rollback = firestore.Transaction._commit, firestore.Transaction._rollback

    def commit(self: Any) -> Any:
        chance = dice.random()
        if chance < share:
            deaths["before"] += 1
            raise Killed
        done = real(self)
        if chance > 1 - share:
            deaths["after"] += 1
            raise Killed
        return done

    def roll_back(self: Any) -> None:
        if self.in_progress:  # else it was committed, and the client would say of a dead process that it can't
            rollback(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(firestore.Transaction, "_commit", commit)
        patched.setattr(firestore.Transaction, "_rollback", roll_back)
        yield deaths


def through(desk: Desk, work: Any) -> None:
    """Until the work is done: whoever died has left a lease, which ends."""
    for _ in range(10_000):
        try:
            work()
        except Killed:
            desk.clock.step(minutes=6)
            continue
        return
    pytest.fail("it never ends")


def test_from_the_signal_to_the_last_notice_though_workers_die(desk: Desk, crowd: Crowd, stack: Stack) -> None:
    places = ("DE", "US-NY", None)
    for number in range(0, PEOPLE, 400):
        crowd.come(min(400, PEOPLE - number), jurisdiction=places[number // 400 % 3])
    bait, at = honeytokens.new_uid(desk.platform.pseudonyms), desk.clock() - timedelta(hours=1)
    touch = audit_log.read(at, THIEF, f"users/{bait}")
    desk.happened(touch)
    for number in range(0, PEOPLE, 50):
        taken = (f"users/{uid}" for uid in crowd.uids[number : number + 50])
        desk.happened(audit_log.read(at + timedelta(milliseconds=number), THIEF, *taken))
    [name] = watch(desk.platform, audit_log.wire(touch))
    desk.confirm(name)
    dice = random.Random(3)
    sent = len(stack.mail.messages)

    def gather() -> None:
        while (job := desk.job(name))["nextRunAt"] is not None:
            desk.clock.now = max(desk.clock.now, job["nextRunAt"])
            desk.gather(name)

    with killing(dice, 0.05) as deaths:
        through(desk, gather)
    desk.describe(name)
    assert sum(desk.incident(name)["affected"].values()) == PEOPLE
    desk.approve(name, desk.ada)
    desk.approve(name, desk.bob)
    with killing(dice, 0.05) as more:
        through(desk, gather)

    with killing(dice, 0.05) as even_more:
        through(desk, lambda: crowd.work(letters=False))
    assert sum((deaths + more + even_more).values()) > 0
    assert desk.told(name) == crowd.uids
    if PEOPLE <= MOST_LETTERS:
        with killing(dice, 0.02):
            through(desk, lambda: desk.fan_out(name, crowd))
        assert desk.told(name) == crowd.uids
        assert Counter(to for one in stack.mail.messages[sent:] for to in one.recipients).keys() >= {
            f"{uid}@example.com" for uid in crowd.uids
        }
    people = [notice for person in (desk.ada, desk.bob) for notice in person.notices()]
    assert {notice["kind"] for notice in people} == {"staff"}


def test_one_that_spans_erasures_holds_and_a_change_of_policy(desk: Desk, crowd: Crowd) -> None:
    before, gathering_, approved, held, plain = crowd.come(5, jurisdiction="US-NY")
    at = desk.clock() - timedelta(hours=1)
    desk.happened(*(audit_log.read(at, SERVICE, f"users/{uid}") for uid in crowd.uids))
    crowd.leave(before)
    subject = desk.platform.pseudonyms.of_uid(held)
    terms: dict[str, Any] = {"entries": ["profile"], "basis": "18 U.S.C. 2703(f)", "approvers": ["a", "b"]}
    legal_holds.place(desk.db, subject, **terms, expires_at=desk.clock() + timedelta(days=3), now=desk.clock())
    name = desk.report()
    desk.confirm(name, serviceAccounts=[SERVICE.replace("demo-astra", str(desk.platform.app.project_id))])
    crowd.announce(canary=False)  # a new policy, to everybody, meanwhile
    desk.gather(name)
    crowd.leave(gathering_)
    desk.describe(name)
    assert desk.incident(name)["affected"] == {"US-NY": 4}
    assert desk.incident(name)["numbers"]["gone"] == 1
    desk.approve(name, desk.ada)
    desk.approve(name, desk.bob)
    crowd.leave(approved)
    desk.gather(name)
    desk.fan_out(name, crowd)
    told = {uid: {notice["kind"] for notice in crowd.notices(uid)} for uid in crowd.uids}
    assert told[held] == told[plain] == {"breach", "policy-change"}
    assert "breach" not in told[before] | told[gathering_] | told[approved]
    campaign = campaigns.reference(desk.db, texts.campaign_of(name)).get().to_dict() or {}
    assert campaign["state"] == State.COMPLETE
    deadline_alarms.sound(desk.platform)
    desk.tell(name, "ny-authorities")
    desk.close(name, false_alarm=False)
    assert desk.incident(name)["state"] == "closed"
    assert erasure.reference(desk.db, desk.platform.pseudonyms.of_uid(before)).get().exists


def test_a_worker_that_is_too_late_changes_nothing(desk: Desk, counted: str) -> None:
    told_at: datetime = desk.incident(counted)["countedAt"]
    desk.clock.step(hours=1)
    desk.gather(counted)
    assert desk.incident(counted)["countedAt"] == told_at
    assert len(logged(desk.platform, tlog.Action.INCIDENT_COUNTED)) == 1
