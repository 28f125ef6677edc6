"""Whom staff know to be affected, where no hands are in the audit log: a token was stolen, a caller has no name."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import tlog
from astra.accounts import honeytokens
from breach import texts
from breach.assessment import affected
from local.stand_ins import audit_log
from tests.functions.breach.desk import Desk, refused
from tests.functions.notices.crowd import Crowd
from tests.support.colleagues import logged

SERVICE = "uploads-functions@demo-astra.iam.gserviceaccount.com"


@pytest.fixture
def at(desk: Desk) -> datetime:
    moment: datetime = desk.clock() - timedelta(hours=1)
    return moment


def one_page(desk: Desk, name: str) -> None:
    """A worker that has the time for one page."""
    affected.work(desk.platform, desk.hints, name, timedelta(0))  # type: ignore[arg-type]


def test_whose_token_was_stolen_is_told_though_the_log_has_no_hands(desk: Desk, crowd: Crowd, at: datetime) -> None:
    victim, other = crowd.come(2, jurisdiction="DE")
    opened = audit_log.own(at, "image.opened", actor=desk.platform.pseudonyms.of_uid(victim))
    desk.happened(opened)
    name = desk.report()
    signal = {"at": at, "insertId": opened["insertId"], "what": "images", "severity": 1}
    desk.db.document(f"incidents/{name}").update({"signals": {"s1": signal}})
    desk.confirm(name)
    desk.gather(name)
    assert desk.incident(name)["affected"] is None
    desk.confirm_again(name, people=[victim], peoplesEntries=["sealed-images"])
    assert desk.job(name)["step"] == "known"
    desk.gather(name)
    incident, row = desk.incident(name), desk.rows(name)[victim]
    assert (incident["affected"], incident["exposed"]) == ({"DE": 1}, ["sealed-images"])
    assert {key: incident["numbers"][key] for key in ("people", "sealed", "gone")} == {
        "people": 1,
        "sealed": 0,
        "gone": 0,
    }
    assert (row["opened"], row["sealed"]) == (["sealed-images"], [])
    desk.describe(name)
    text = texts.filing(name, desk.incident(name), texts.BY_NAME["own-people"], "initial").text
    assert "not known whose hands" in text
    assert victim not in str(incident) + str(desk.job(name)) + str(logged(desk.platform))
    confirmed = logged(desk.platform, tlog.Action.INCIDENT_CONFIRMED)
    assert {entry["record"].get("people") for entry in confirmed} == {None, 1}
    desk.send(name, crowd)
    assert desk.told(name) == [victim]
    [notice] = crowd.notices(victim)
    assert "- images\n" in notice["body"]
    assert crowd.notices(other) == []


def test_who_never_had_an_account_is_refused_by_number(desk: Desk, crowd: Crowd) -> None:
    [uid] = crowd.come(1)
    bait = honeytokens.new_uid(desk.platform.pseudonyms)
    desk.db.document(f"users/{bait}").set({"createdAt": desk.clock()})
    name = desk.report()
    with pytest.raises(HttpsError) as refusal:
        desk.confirm(name, people=[uid, "nobody", bait], peoplesEntries=["profile"])
    assert refusal.value.code is FunctionsErrorCode.INVALID_ARGUMENT
    assert refusal.value.message == "people: 2 of them never had an account"
    assert desk.incident(name)["state"] == "suspected"
    assert desk.rows(name) == {}
    both = "one says nothing without the other"
    for change, words in (
        ({"people": [uid]}, both),
        ({"peoplesEntries": ["profile"]}, both),
        ({"people": [uid], "peoplesEntries": ["log"]}, "peoplesEntries"),
        ({"people": ["a/b"], "peoplesEntries": ["profile"]}, "people.0: is no account id"),
        ({"people": [uid] * 1001, "peoplesEntries": ["profile"]}, "people"),
    ):
        with refused(words):
            desk.confirm(name, **change)


def numbers(desk: Desk, name: str) -> tuple[Any, int, int]:
    """Who is affected, how many people there are, and how many of them are gone."""
    incident = desk.incident(name)
    return incident["affected"], incident["numbers"]["people"], incident["numbers"]["gone"]


def test_nobody_counts_twice_nor_is_forgotten(
    desk: Desk, crowd: Crowd, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(affected, "_MAX_PEOPLE_A_PAGE", 2)
    first, second, third, gone, new = crowd.come(5, jurisdiction="DE")
    crowd.leave(gone)
    desk.happened(*(audit_log.read(at, SERVICE, f"users/{uid}") for uid in (first, gone)))
    name = desk.report()
    hands = [SERVICE.replace("demo-astra", str(desk.platform.app.project_id))]
    said: dict[str, Any] = {"people": [first, first, second, third, gone], "peoplesEntries": ["profile"]}
    desk.confirm(name, serviceAccounts=hands, **said)
    while desk.job(name)["nextRunAt"] is not None:
        one_page(desk, name)
    assert numbers(desk, name) == ({"DE": 3}, 4, 1)
    assert desk.rows(name)[second]["entries"] == {"profile": 1}

    crowd.leave(second)
    for path in (f"users/{second}/exposures/{name}", f"users/{second}"):
        desk.db.document(path).delete()  # as the erasure of its person does
    desk.confirm_again(name, **said)
    desk.gather(name)
    assert numbers(desk, name) == ({"DE": 2}, 4, 2)

    desk.confirm_again(name, people=[new, first], peoplesEntries=["account"])
    one_page(desk, name)
    crowd.leave(new)
    desk.db.document(f"users/{new}/exposures/{name}").delete()
    desk.gather(name)
    assert numbers(desk, name) == ({"DE": 2}, 5, 3)
    rows = desk.rows(name)
    assert {uid: row["opened"] for uid, row in rows.items()} == {first: ["account", "profile"], third: ["profile"]}
    desk.confirm_again(name)
    desk.gather(name)
    assert numbers(desk, name) == ({"DE": 2}, 5, 3), "what was said stays said"
    desk.describe(name)
    desk.send(name, crowd)
    assert desk.told(name) == sorted([first, third])


def test_who_is_known_and_erased_is_no_evidence_of_nobody(desk: Desk, crowd: Crowd, at: datetime) -> None:
    known, sealed = crowd.come(2)
    desk.happened(audit_log.object_read(at, SERVICE, f"images/{sealed}/ring-0001"))
    name = desk.report()
    hands = [SERVICE.replace("demo-astra", str(desk.platform.app.project_id))]
    crowd.leave(known)
    desk.confirm(name, serviceAccounts=hands, people=[known], peoplesEntries=["profile"])
    desk.gather(name)
    assert numbers(desk, name) == (None, 2, 1)


def test_a_thousand_are_noted_at_once(desk: Desk, crowd: Crowd) -> None:
    for _ in range(4):
        crowd.come(250)
    name = desk.report()
    desk.confirm(name, people=crowd.uids, peoplesEntries=["profile"])
    desk.gather(name)
    assert numbers(desk, name) == ({"unknown": 1000}, 1000, 0)
