"""Who is affected, by the evidence: their data, their keys, their jurisdiction; and nobody else."""

import json
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from google.cloud import firestore

from astra import tlog
from astra.erasure import legal_holds
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from breach import deadlines, texts
from breach.assessment import evidence
from breach.detection.audit_log import Detector, decode
from breach.response import confirm
from cli import incident_report
from cli.incident_report import next_action
from local.stand_ins import audit_log
from tests.functions.breach.desk import SAID, THIEF, Desk, refused
from tests.functions.notices.crowd import Crowd
from tests.support.colleagues import Person, logged

AT = datetime(2026, 3, 4, 3, 0, 7, tzinfo=UTC)
SERVICE = "uploads-functions@demo-astra.iam.gserviceaccount.com"


def confirmed(desk: Desk, who: str = SERVICE, **more: Any) -> str:
    name = desk.report()
    project = desk.platform.app.project_id
    desk.confirm(name, serviceAccounts=[who.replace("demo-astra", str(project))], **more)
    return name


def reading(at: datetime, uid: str, who: str = SERVICE) -> dict[str, Any]:
    return audit_log.read(at, who, f"users/{uid}")


def signalled(desk: Desk, entry: dict[str, Any], at: datetime, **fields: Any) -> str:
    """A case that was opened by this entry."""
    name = desk.report()
    signal = {"at": at, "insertId": entry["insertId"], "what": "profile", "severity": 1}
    desk.db.document(f"incidents/{name}").update({"signals": {"s1": signal}, **fields})
    return name


@pytest.fixture
def at(desk: Desk) -> datetime:
    moment: datetime = desk.clock() - timedelta(hours=1)
    return moment


def test_affected_is_who_the_log_names_by_jurisdiction(desk: Desk, crowd: Crowd, at: datetime) -> None:
    germans, new_yorkers, others = crowd.come(3, jurisdiction="DE"), crowd.come(2, jurisdiction="US-NY"), crowd.come(4)
    early = at - timedelta(days=1)
    desk.happened(
        *(reading(at, uid) for uid in [*germans, *new_yorkers, others[0]]),
        reading(at, germans[0]),
        reading(early, others[1]),
        reading(at, others[2], who="retention-functions@demo-astra.iam.gserviceaccount.com"),
        audit_log.read(at, SERVICE, f"users/{others[3]}", code=7),
    )
    name = confirmed(desk)
    desk.gather(name)
    incident = desk.incident(name)
    assert incident["affected"] == {"DE": 3, "US-NY": 2, "unknown": 1}
    assert incident["exposed"] == ["profile"]
    assert incident["numbers"] == {"people": 6, "sealed": 0, "gone": 0, "unnamed": 0, "records": 7}
    assert incident["cohort"] == "frozen"
    rows = desk.rows(name)
    assert set(rows) == {*germans, *new_yorkers, others[0]}
    assert rows[germans[0]]["entries"] == {"profile": 2}
    [entry] = logged(desk.platform, tlog.Action.INCIDENT_COUNTED)
    assert entry["record"]["affected"] == incident["affected"]
    assert not any(uid in str(incident) + str(desk.job(name)) for uid in crowd.uids)


@pytest.mark.parametrize(
    ("with_keys", "decrypts", "told", "opened"),
    [
        (False, False, False, []),
        (False, True, False, []),
        (True, False, False, []),
        (True, True, False, ["sealed-images"]),
        (True, False, True, ["sealed-images"]),
        (False, False, True, ["sealed-images"]),
    ],
)
def test_what_stayed_sealed_is_told_apart(
    desk: Desk, crowd: Crowd, at: datetime, with_keys: bool, decrypts: bool, told: bool, opened: list[str]
) -> None:
    [uid] = crowd.come(1, jurisdiction="GB")
    happened = [audit_log.object_read(at, SERVICE, f"images/{uid}/ring-0001")]
    happened += [audit_log.decrypted(at, SERVICE)] if decrypts else []
    later = at + timedelta(minutes=5)  # the key may be taken last
    happened += [audit_log.read(later, SERVICE, f"keys/{uid}", database="vault")] if with_keys else []
    desk.happened(*happened)
    name = confirmed(desk, keysExposed=told)
    desk.gather(name)
    incident, row = desk.incident(name), desk.rows(name)[uid]
    assert row["opened"] == opened
    assert row["sealed"] == ([] if opened else ["sealed-images"])
    assert incident["affected"] == ({"GB": 1} if opened else {})
    assert incident["numbers"]["sealed"] == (0 if opened else 1)


@pytest.mark.parametrize(
    ("database", "decrypts", "opened"), [("vault", True, True), ("vault", False, False), ("(default)", True, False)]
)
def test_keys_that_were_listed_may_be_everybodys(
    desk: Desk, crowd: Crowd, at: datetime, database: str, decrypts: bool, opened: bool
) -> None:
    [uid] = crowd.come(1)
    desk.happened(
        audit_log.object_read(at, SERVICE, f"images/{uid}/ring-0001"),
        audit_log.listed(at, SERVICE, "keys", database),
        *([audit_log.decrypted(at, SERVICE)] if decrypts else []),
    )
    name = confirmed(desk)
    desk.gather(name)
    assert desk.rows(name)[uid]["opened"] == (["sealed-images"] if opened else [])


def test_an_export_of_the_keys_is_of_everybodys() -> None:
    method = "google.firestore.admin.v1.FirestoreAdmin.ExportDocuments"

    def keys(resource: str) -> int:
        entry = audit_log.activity(AT, SERVICE, "firestore.googleapis.com", method, resource)
        return evidence.findings(None, [decode(json.dumps(entry))]).unnamed_keys  # type: ignore[arg-type]

    assert [keys(f"projects/p/databases/{one}") for one in ("vault", "(default)", "vault-2")] == [1, 0, 0]
    assert keys("projects/p") == 1, "it may be"


def test_whoever_did_it_is_found_by_the_signal_and_kept_nowhere(desk: Desk, crowd: Crowd, at: datetime) -> None:
    first, second = crowd.come(2)
    touch = reading(at, first, who=THIEF)
    desk.happened(touch, reading(at + timedelta(minutes=1), second, who=THIEF), reading(at, second, who=SERVICE))
    name = signalled(desk, touch, at)
    desk.confirm(name)
    desk.gather(name)
    assert desk.incident(name)["affected"] == {"unknown": 2}
    assert THIEF not in str(desk.incident(name)) + str(desk.job(name))


def test_of_who_uses_the_application_only_their_own_doing_is_asked_for(desk: Desk, crowd: Crowd, at: datetime) -> None:
    thief, first, second, other = crowd.come(4)
    touch = audit_log.listened(at, thief, f"users/{first}")
    desk.happened(
        touch,
        audit_log.listened(at, thief, f"users/{second}"),
        audit_log.listened(at, other, f"users/{other}"),
    )
    name = signalled(desk, touch, at)
    desk.confirm(name, serviceAccounts=[audit_log.AGENT])
    desk.gather(name)
    assert set(desk.rows(name)) == {first, second}
    assert thief not in str(desk.incident(name)) + str(desk.job(name))


def test_of_whoever_has_no_address_the_subject_is_asked_for(desk: Desk, crowd: Crowd, at: datetime) -> None:
    first, second, other = crowd.come(3)
    pool = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/subject"
    touches = [reading(at, uid, who="") for uid in (first, second, other)]
    for touch, who in zip(touches, ("thief", "thief", "another"), strict=True):
        touch["protoPayload"]["authenticationInfo"] = {"principalSubject": f"{pool}/{who}"}
    desk.happened(*touches)
    name = signalled(desk, touches[0], at)
    desk.confirm(name)
    desk.gather(name)
    assert set(desk.rows(name)) == {first, second}
    assert "thief" not in str(desk.incident(name)) + str(desk.job(name))


@pytest.mark.parametrize("by_number", [False, True])
def test_who_makes_a_key_for_an_account_has_its_hands(desk: Desk, crowd: Crowd, at: datetime, by_number: bool) -> None:
    [uid] = crowd.come(1)
    made = audit_log.key_created(at, "ci@demo-astra.iam.gserviceaccount.com")
    if by_number:
        payload = made["protoPayload"]
        payload["request"] = {"name": payload["resourceName"].replace("/-/", "/demo-astra/")}
        payload["resourceName"] = "projects/-/serviceAccounts/102030405060708090100"
    desk.happened(made, reading(at + timedelta(minutes=1), uid))
    name = signalled(desk, made, at, detector="service-account-key-created")
    desk.confirm(name)
    desk.gather(name)
    assert set(desk.rows(name)) == {uid}
    assert desk.incident(name)["affected"] == {"unknown": 1}


INDEX = "google.firestore.admin.v1.FirestoreAdmin.CreateIndex"


@pytest.mark.parametrize(
    ("happened", "fields", "days", "words"),
    [
        ("sealed", {}, 0, ""),
        ("refused", {}, 0, ""),
        ("nothing", {}, 0, "nothing of those hands"),
        ("another's", {}, 0, "nothing of those hands"),
        ("an administrator's", {}, 0, "nothing of those hands"),
        ("sealed", {"detector": "audit-logging-disabled"}, 0, "was cut off"),
        ("sealed", {"detector": "audit-logging-silent"}, 0, "was silent"),
        ("sealed", {"detector": "service-account-key-created"}, 0, "a service account's key"),
        ("sealed", {}, 31, "in no audit log any more"),
    ],
)
def test_nobody_is_affected_only_where_the_evidence_would_show_somebody(
    desk: Desk, crowd: Crowd, at: datetime, happened: str, fields: dict[str, Any], days: int, words: str
) -> None:
    [uid] = crowd.come(1, jurisdiction="DE")
    entries = {
        "sealed": [audit_log.object_read(at, SERVICE, f"images/{uid}/ring-0001")],
        "refused": [audit_log.read(at, SERVICE, f"users/{uid}", code=7)],
        "nothing": [],
        "another's": [reading(at, uid, who=THIEF)],
        "an administrator's": [audit_log.activity(at, SERVICE, "firestore.googleapis.com", INDEX)],
    }
    desk.happened(*entries[happened])
    name = desk.report()
    desk.db.document(f"incidents/{name}").update({"detector": "reported", **fields})
    since = (desk.clock() - timedelta(days=days, hours=2)).isoformat()
    desk.confirm(
        name, serviceAccounts=[SERVICE.replace("demo-astra", str(desk.platform.app.project_id))], occurredFrom=since
    )
    desk.gather(name)
    desk.describe(name)
    incident = desk.incident(name)
    said = texts.filing(name, incident, texts.BY_NAME["gdpr-authority"], "initial").text
    assert (incident["affected"], incident["cohort"]) == (None if words else {}, "frozen")
    if words:
        assert words in said
        assert words in unescape(incident_report.page(name, incident, desk.clock()))
        with refused("who is affected"):
            desk.close(name, false_alarm=False)
    else:
        assert "every read of the audit log names whose data it was" in said
        desk.close(name, false_alarm=False)


def test_what_can_not_be_proved_is_said_of_detectors_that_there_are() -> None:
    assert set(texts._NO_PROOF) < set(Detector)


def test_listings_make_it_uncertain_and_honey_is_nobody(desk: Desk, crowd: Crowd, at: datetime) -> None:
    from astra.accounts import honeytokens  # noqa: PLC0415

    crowd.come(1)
    bait = honeytokens.new_uid(desk.platform.pseudonyms)
    desk.happened(audit_log.listed(at, SERVICE, "users"), reading(at, bait), reading(at, crowd.uids[0]))
    name = confirmed(desk)
    desk.gather(name)
    assert desk.incident(name)["numbers"]["unnamed"] == 1
    assert desk.incident(name)["numbers"]["people"] == 1
    desk.describe(name)
    text = texts.filing(name, desk.incident(name), texts.BY_NAME["own-people"], "final").text
    assert "1 reads of the audit log name nobody" in text


@pytest.mark.parametrize("why", ["no hands", "a listing", "all erased"])
def test_evidence_that_names_nobody_is_no_evidence_of_nobody(desk: Desk, crowd: Crowd, at: datetime, why: str) -> None:
    gone, old, new = crowd.come(1)[0], crowd.come(2, jurisdiction="DE"), crowd.come(1)[0]
    desk.db.document(f"users/{new}").update({"createdAt": desk.clock() + timedelta(days=1)})
    if why == "all erased":
        desk.happened(reading(at, gone))
        crowd.leave(gone)
        desk.db.document(f"users/{gone}").delete()
    elif why == "a listing":
        desk.happened(audit_log.listed(at, SERVICE, "users"))
        desk.db.document(f"users/{gone}").delete()
    else:
        desk.db.document(f"users/{gone}").delete()
    name = desk.report()
    hands = [] if why == "no hands" else [SERVICE.replace("demo-astra", str(desk.platform.app.project_id))]
    desk.confirm(name, serviceAccounts=hands)
    with refused("being counted"):
        desk.confirm(name)
    desk.gather(name)
    incident = desk.incident(name)
    assert (incident["affected"], incident["cohort"]) == (None, "frozen")
    assert "gdpr-authority" in {one.clock.name for one in deadlines.running(incident)}
    desk.describe(name)
    with refused("who is affected"):
        desk.close(name, false_alarm=False)
    with refused("not known who is affected"):
        desk.approve(name, desk.ada)
    if why == "no hands":
        text = texts.filing(name, incident | {"said": SAID}, texts.BY_NAME["own-people"], "initial").text
        assert "not known whose hands" in text
    with refused("no later"):
        desk.confirm(name, occurredFrom=(desk.clock() - timedelta(hours=1)).isoformat())
    earlier = (incident["occurredFrom"] - timedelta(days=2)).isoformat()
    with refused("everybodys"):
        desk.confirm(name, everybodys=["log"])
    desk.confirm(name, everybodys=["account"], occurredFrom=earlier, awareAt=incident["awareAt"].isoformat())
    desk.gather(name)
    again = desk.incident(name)
    staff = [person.uid for person in (desk.ada, desk.bob, desk.carol)]  # who have accounts like everybody
    assert again["affected"] == {"DE": 2, "unknown": 3}
    assert again["exposed"] == ["account"]
    assert again["serviceAccounts"] == hands
    assert again["numbers"]["people"] == 5 + (why == "all erased")
    assert set(desk.rows(name)) == {*old, *staff}
    assert not any(uid in str(again) + str(desk.job(name)) for uid in crowd.uids)
    desk.send(name, crowd)
    assert desk.told(name) == sorted([*old, *staff])


def test_counted_again_it_is_more_and_nothing_counts_twice(
    desk: Desk, crowd: Crowd, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from breach.assessment import affected  # noqa: PLC0415

    monkeypatch.setattr(affected, "_MAX_PEOPLE_A_PAGE", 2)
    first, second, *others = crowd.come(5)
    other = "retention-functions@demo-astra.iam.gserviceaccount.com"
    desk.happened(reading(at, first), reading(at, first), reading(at, second, who=other))
    name = confirmed(desk)
    desk.gather(name)
    assert desk.incident(name)["numbers"]["people"] == 1
    project = str(desk.platform.app.project_id)
    desk.confirm_again(name, serviceAccounts=[other.replace("demo-astra", project)])
    desk.gather(name)
    assert desk.incident(name)["affected"] == {"unknown": 2}
    assert desk.incident(name)["numbers"] | {"gone": 0} == {
        "people": 2,
        "sealed": 0,
        "gone": 0,
        "unnamed": 0,
        "records": 3,
    }
    assert {uid: row["entries"] for uid, row in desk.rows(name).items()} == {
        first: {"profile": 2},
        second: {"profile": 1},
    }
    desk.confirm_again(name, everybodys=["profile"])
    desk.gather(name)
    assert desk.incident(name)["affected"] == {"unknown": 8}, "and the three of staff"
    assert set(desk.rows(name)) > {first, second, *others}
    desk.describe(name)
    desk.send(name, crowd)
    with refused("counted or told"):
        desk.confirm(name)


def test_while_it_is_counted_again_nobody_knows_who_is_affected(desk: Desk, crowd: Crowd, at: datetime) -> None:
    [sealed, found] = crowd.come(2, jurisdiction="DE")
    other = "retention-functions@demo-astra.iam.gserviceaccount.com"
    desk.happened(audit_log.object_read(at, SERVICE, f"images/{sealed}/ring-0001"), reading(at, found, who=other))
    name = confirmed(desk)
    desk.gather(name)
    assert desk.incident(name)["affected"] == {}
    assert deadlines.running(desk.incident(name)) == []
    desk.describe(name)
    desk.confirm_again(name, serviceAccounts=[other.replace("demo-astra", str(desk.platform.app.project_id))])
    again = desk.incident(name)
    assert (again["affected"], again["exposed"], again["numbers"]) == (None, [], {})
    assert "gdpr-authority" in {one.clock.name for one in deadlines.running(again)}
    assert "close_incident" not in incident_report.next_action(name, again, desk.job(name))
    with refused("who is affected"):
        desk.close(name, false_alarm=False)
    while desk.job(name)["step"] != "count":
        with refused("who is affected"):
            desk.close(name, false_alarm=False)
        one_page(desk, name)
    desk.gather(name)
    assert desk.incident(name)["affected"] == {"DE": 1}


@pytest.mark.parametrize("anybody", [True, False])
def test_whom_a_closed_one_is_found_to_concern_is_told_all_the_same(
    desk: Desk, crowd: Crowd, at: datetime, anybody: bool
) -> None:
    [uid] = crowd.come(1, jurisdiction="DE")
    touch = reading(at, uid) if anybody else audit_log.object_read(at, SERVICE, f"images/{uid}/ring-0001")
    desk.happened(touch)
    name = confirmed(desk)
    closed = {"state": "closed", "closedAt": desk.clock(), "alertDue": False}
    desk.db.document(f"incidents/{name}").update(closed)
    desk.gather(name)
    incident = desk.incident(name)
    assert incident["affected"] == ({"DE": 1} if anybody else {})
    [entry] = logged(desk.platform, tlog.Action.INCIDENT_COUNTED)
    if anybody:
        assert (incident["state"], incident["closedAt"], incident["alertDue"]) == ("confirmed", None, True)
        assert (incident["alerts"], entry["record"]["reopened"]) == ([{"of": "case"}], True)
        desk.describe(name)
        desk.send(name, crowd)
        assert desk.told(name) == [uid]
    else:
        assert incident | closed == incident
        assert "reopened" not in entry["record"]


def test_whoever_did_it_is_found_though_entries_have_nanoseconds(desk: Desk, crowd: Crowd, at: datetime) -> None:
    [uid] = crowd.come(1)
    touch = reading(at, uid, who=THIEF)
    desk.happened({**touch, "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at:%f}789Z"})
    name = signalled(desk, touch, at)
    desk.confirm(name)
    desk.gather(name)
    assert desk.incident(name)["affected"] == {"unknown": 1}


def test_addresses_and_passwords_that_got_out_are_everybodys(desk: Desk, crowd: Crowd, at: datetime) -> None:
    [uid] = crowd.come(1)
    desk.happened(audit_log.object_read(at, SERVICE, f"images/{uid}/ring-0001"))
    name = confirmed(desk, credentialsExposed=True)
    desk.gather(name)
    assert desk.rows(name)[uid]["opened"] == ["account"]
    assert desk.incident(name)["affected"] == {"unknown": 1}


def test_the_erased_are_counted_and_the_held_are_told(desk: Desk, crowd: Crowd, at: datetime) -> None:
    before, meanwhile, held, plain = crowd.come(4)
    desk.happened(*(reading(at, uid) for uid in (before, meanwhile, held, plain)))
    crowd.leave(before)
    legal_holds.place(
        desk.db,
        desk.platform.pseudonyms.of_uid(held),
        entries=["profile"],
        basis="18 U.S.C. 2703(f), case 7",
        expires_at=desk.clock() + timedelta(days=9),
        approvers=["a", "b"],
        now=desk.clock(),
    )
    name = confirmed(desk)
    job = desk.job(name)
    assert job["step"] == "gather"
    one_page(desk, name)
    one_page(desk, name)
    assert desk.job(name)["step"] == "sort"
    desk.db.document(f"users/{meanwhile}/exposures/{name}").delete()  # as the erasure of its person does
    desk.gather(name)
    assert desk.incident(name)["affected"] == {"unknown": 2}
    assert desk.incident(name)["numbers"] | {"records": 0} == {
        "people": 4,
        "sealed": 0,
        "gone": 2,
        "unnamed": 0,
        "records": 0,
    }
    subject = desk.platform.pseudonyms.of_uid(before)
    assert desk.db.document(f"exposed/{subject}.{name}").get().exists
    assert not desk.db.document(f"users/{before}/exposures/{name}").get().exists


def one_page(desk: Desk, name: str) -> None:
    """A worker that has the time for one page."""
    from breach.assessment import affected  # noqa: PLC0415

    affected.work(desk.platform, desk.hints, name, timedelta(0))  # type: ignore[arg-type]


def test_many_pages_and_many_people_in_one_entry(
    desk: Desk, crowd: Crowd, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from breach.assessment import affected  # noqa: PLC0415

    monkeypatch.setattr(evidence, "_MAX_PAGE_ENTRIES", 2)
    monkeypatch.setattr(affected, "_MAX_PEOPLE_A_PAGE", 3)
    people = crowd.come(10)
    desk.happened(audit_log.read(at, SERVICE, *(f"users/{uid}" for uid in people)))
    desk.happened(*(reading(at + timedelta(minutes=1), uid) for uid in people))
    name = confirmed(desk)
    while desk.job(name)["nextRunAt"] is not None:
        one_page(desk, name)
    assert desk.incident(name)["affected"] == {"unknown": 10}
    assert desk.incident(name)["numbers"]["records"] == 20
    assert {row["entries"]["profile"] for row in desk.rows(name).values()} == {2}


def test_a_log_that_does_not_answer_is_asked_again(desk: Desk, crowd: Crowd, at: datetime) -> None:
    from local.stand_ins.http_server import Fault  # noqa: PLC0415

    crowd.come(1)
    desk.happened(reading(at, crowd.uids[0]))
    name = confirmed(desk)
    desk.stack.google.faults.append(Fault("/v2/", status=503))
    desk.gather(name)
    job = desk.job(name)
    assert (job["attempts"], job["state"]) == (1, "running")
    desk.clock.now = job["nextRunAt"]
    desk.gather(name)
    assert desk.incident(name)["affected"] == {"unknown": 1}


def test_reads_follow_the_evidence_and_not_the_people(platform: Platform[Any], desk: Desk, crowd: Crowd) -> None:
    asked: list[int] = []
    real = firestore.Client.get_all
    crowd.come(300)
    at = desk.clock() - timedelta(hours=1)
    desk.happened(*(reading(at, uid) for uid in crowd.uids[:5]))
    name = confirmed(desk)

    def counting(self: Any, references: Any, *more: Any, **options: Any) -> Any:
        asked.append(len(references))
        return real(self, references, *more, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(firestore.Client, "get_all", counting)
        desk.gather(name)
    assert sum(asked) <= 5 * 8 + 20


def test_two_people_may_rule_out_that_anybody_is_affected_where_the_log_can_not(desk: Desk) -> None:
    name = desk.report()

    def rule_out(who: Person) -> dict[str, Any]:
        reason = "The key was made and revoked within the minute, unused."
        form = parse(confirm.RuleOutPeople, {"incidentId": name, "reason": reason})
        return confirm.rule_out_people(desk.platform, who.call(form))

    with refused("Confirm the incident first"):
        rule_out(desk.ada)
    desk.confirm(name)
    with refused("Only where it was counted"):
        rule_out(desk.ada)
    desk.gather(name)
    desk.describe(name)
    assert rule_out(desk.ada)["state"] == "proposed"
    assert desk.incident(name)["affected"] is None
    with refused("role does not allow"):
        rule_out(desk.carol)
    # Counted again in between, the first of them has said nothing of it.
    desk.clock.step(hours=1)
    desk.confirm_again(name, keysExposed=True)
    desk.gather(name)
    assert rule_out(desk.bob)["state"] == "proposed"
    assert rule_out(desk.ada)["state"] == "done"
    incident = desk.incident(name)
    assert incident["affected"] == {}
    assert "two people are sure that nobody is affected: The key was made" in texts.uncertainty(incident)
    assert "not known whose hands" in texts.uncertainty(incident)
    assert "Two people ruled out" in {moment.text[:20] for moment in incident_report.moments(incident)}
    entries = logged(desk.platform, tlog.Action.PEOPLE_RULED_OUT)
    assert [entry["record"]["state"] for entry in entries].count("done") == 1
    assert "revoked" not in str(entries), "the reason itself may name somebody"
    with refused("Only where it was counted"):
        rule_out(desk.ada)
    # Somebody finds more after all.
    desk.clock.step(hours=1)
    desk.confirm_again(name, everybodys=["account"])
    assert (desk.incident(name)["affected"], desk.incident(name)["ruledOut"]) == (None, None)
    desk.gather(name)
    assert sum(desk.incident(name)["affected"].values()) == 3
    with refused("Only where it was counted"):
        rule_out(desk.ada)


def test_what_was_ruled_out_can_be_closed(desk: Desk) -> None:
    name = desk.report()
    desk.confirm(name)
    desk.gather(name)
    desk.describe(name)
    while "tell_regulator" in (told := next_action(name, desk.incident(name))):
        desk.tell(name, told.split()[1].rstrip(":"), "initial")
    assert "rule_out_people" in told
    form = parse(confirm.RuleOutPeople, {"incidentId": name, "reason": "Nobody used it."})
    for who in (desk.ada, desk.bob):
        confirm.rule_out_people(desk.platform, who.call(form))
    assert next_action(name, desk.incident(name)) == "close_incident"
    desk.close(name, false_alarm=False)
    assert desk.incident(name)["state"] == "closed"
