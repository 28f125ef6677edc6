"""What each detector sees in entries of the real shapes, and what it leaves alone."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.events.cloud.audit_v1 import LogEntryData

from astra.accounts import honeytokens
from astra.datamap.model import Store
from astra.runtime.pseudonyms import Pseudonyms
from breach.detection.audit_log import Detector, Mark, Severity, Signal, Unreadable, decode, hour_of
from breach.detection.rates import floor, judge, marks
from breach.detection.rules import Watch, instant
from breach.thresholds import Thresholds
from local import audit_log

NAMES = Pseudonyms(bytes(range(32)))
THOROUGH = "erasure-functions@p.iam.gserviceaccount.com"
WATCH = Watch(NAMES, frozenset({"deploy@p.gserviceaccount.com"}), lambda: True, frozenset({THOROUGH}))
AT = datetime(2026, 3, 4, 3, 0, 7, tzinfo=UTC)
NOW = hour_of(AT)
THIEF = "thief@example.com"
FUNCTION = "uploads-functions@demo-astra.iam.gserviceaccount.com"
HONEY = honeytokens.new_uid(NAMES)


def seen(entry: dict[str, Any], watch: Watch = WATCH) -> list[tuple[Detector, Severity]]:
    found = list(instant(decode(json.dumps(entry)), watch))
    assert all(THIEF not in signal.about for signal in found), "a person is under a pseudonym"
    return [(signal.detector, signal.severity) for signal in found]


SAMPLES = [
    audit_log.read(AT, THIEF, "users/ada"),
    audit_log.committed(AT, FUNCTION, deletes=["users/ada"]),
    audit_log.object_read(AT, THIEF, "images/ada/ring-0001"),
    audit_log.decrypted(AT, FUNCTION),
    audit_log.key_created(AT, THIEF),
    audit_log.policy_set(AT, THIEF, without_audit=True),
    audit_log.sign_in(AT, refused=True),
    audit_log.listened(AT, "ada", "users/ada"),
    audit_log.listed(AT, FUNCTION, "users"),
]


@pytest.mark.parametrize("entry", SAMPLES, ids=lambda entry: entry["protoPayload"]["methodName"])
def test_samples_are_of_the_public_shapes(entry: dict[str, Any]) -> None:
    """Google's own definition of the shape takes them, with no field that it does not know."""
    known = {**entry, "protoPayload": {k: v for k, v in entry["protoPayload"].items() if k not in _OPEN}}
    parsed = LogEntryData.from_json(json.dumps(known))
    assert parsed.proto_payload.method_name == entry["protoPayload"]["methodName"]
    assert (
        parsed.proto_payload.authentication_info.principal_email
        == decode(json.dumps(entry)).protoPayload.authenticationInfo.principalEmail
    )  # type: ignore[union-attr]


#: Messages of any type, which that definition leaves open.
_OPEN = {"@type", "request", "metadata", "serviceData"}


def test_the_callers_address_is_left_out_at_once() -> None:
    entry = decode(json.dumps(audit_log.read(AT, THIEF, "users/ada")))
    assert audit_log.ADDRESS not in repr(entry)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"insertId": 1}', b"\xff", b'{"insertId": "x", "timestamp": "soon"}']
)
def test_what_is_no_entry_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        decode(data)
    assert refused.value.__suppress_context__


def test_an_entry_names_its_documents_and_objects() -> None:
    def named(entry: dict[str, Any]) -> Any:
        return decode(json.dumps(entry)).protoPayload.places  # type: ignore[union-attr]

    assert named(audit_log.read(AT, THIEF, "users/a", "users/b")) == [
        (Store.FIRESTORE, "users/a"),
        (Store.FIRESTORE, "users/b"),
    ]
    assert named(audit_log.read(AT, THIEF, "keys/a", database="vault")) == [(Store.VAULT, "keys/a")]
    assert named(audit_log.committed(AT, THIEF, sets=["users/a"])) == [(Store.FIRESTORE, "users/a")]
    assert named(audit_log.object_read(AT, THIEF, "images/a/b%20c")) == [(Store.STORAGE, "images/a/b c")]
    assert named(audit_log.listed(AT, THIEF, "users")) == []
    assert named(audit_log.listened(AT, "a", "users/a", "users/b")) == [
        (Store.FIRESTORE, "users/a"),
        (Store.FIRESTORE, "users/b"),
    ]
    assert named(audit_log.listened(AT, "a", query="images")) == []


@pytest.mark.parametrize(
    "entry",
    [
        audit_log.read(AT, THIEF, f"users/{HONEY}"),
        audit_log.read(AT, THIEF, f"users/{HONEY}/images/ring-0001"),
        audit_log.read(AT, THIEF, f"keys/{HONEY}", database="vault"),
        audit_log.read(AT, FUNCTION, f"keys/{HONEY}/objects/ring-0001", database="vault"),
        audit_log.read(AT, THIEF, f"users/{HONEY}", code=7),
        audit_log.object_read(AT, THIEF, f"images/{HONEY}/ring-0001"),
        audit_log.object_deleted(AT, THIEF, f"thumbs/{HONEY}/ring-0001"),
        audit_log.committed(AT, FUNCTION, sets=[f"users/{HONEY}"]),
        audit_log.own(AT, "honey.touched"),
        audit_log.listened(AT, "a", f"users/{HONEY}"),
    ],
)
def test_honey_is_seen_wherever_it_is_touched_by_whomever(entry: dict[str, Any]) -> None:
    assert seen(entry) == [(Detector.HONEY, Severity.GETS_SOMEBODY_UP)]


@pytest.mark.parametrize(
    "entry",
    [
        audit_log.listed(AT, FUNCTION, "users"),
        audit_log.activity(AT, "", "firestore.googleapis.com", "google.firestore.admin.v1.FirestoreAdmin.CreateBackup"),
        audit_log.read(AT, FUNCTION, f"users/{HONEY[:-1]}x", f"users/x{HONEY}", f"policies/{HONEY[:-1]}"),
    ],
)
def test_listings_backups_and_others_are_no_touch(entry: dict[str, Any]) -> None:
    assert seen(entry) == []


def test_who_uses_the_application_is_the_person_and_not_the_agent() -> None:
    for code in (0, 7):
        entry = audit_log.listened(AT, "ada", "users/bob", code=code)
        [mark] = marks(decode(json.dumps(entry)), WATCH)
        assert mark.about == NAMES.of_uid("ada")
    [signal] = instant(decode(json.dumps(audit_log.listened(AT, "ada", f"users/{HONEY}"))), WATCH)
    assert signal.about == NAMES.of_uid("ada")


def test_another_project_has_other_honey() -> None:
    assert not honeytokens.is_honey(Pseudonyms(bytes(32)), HONEY)
    assert honeytokens.is_honey(NAMES, HONEY)
    assert HONEY.isalnum()
    assert len(HONEY) == 28


def test_a_key_and_a_cut_off_log_get_somebody_up() -> None:
    loud = Severity.GETS_SOMEBODY_UP
    assert seen(audit_log.key_created(AT, THIEF)) == [(Detector.KEY_CREATED, loud)]
    assert seen(audit_log.policy_set(AT, THIEF, without_audit=True))[0] == (Detector.AUDIT_OFF, loud)
    exempt = audit_log.policy_set(AT, THIEF, exempting=f"user:{THIEF}")
    assert seen(exempt)[0] == (Detector.AUDIT_OFF, loud)
    for verb in ("DeleteSink", "UpdateSink", "CreateExclusion"):
        method = f"google.logging.v2.ConfigServiceV2.{verb}"
        assert seen(audit_log.activity(AT, THIEF, "logging.googleapis.com", method)) == [(Detector.AUDIT_OFF, loud)]
    refused = audit_log.activity(
        AT, THIEF, "logging.googleapis.com", "google.logging.v2.ConfigServiceV2.DeleteSink", code=7
    )
    assert seen(refused) == []


def test_a_change_is_fine_only_by_a_deployer_and_while_one_is_announced() -> None:
    deployer = "deploy@p.gserviceaccount.com"
    method = "google.firebase.rules.v1.FirebaseRulesService.UpdateRelease"
    for who, watch, expected in (
        (deployer, WATCH, []),
        (THIEF, WATCH, [(Detector.CHANGE, Severity.TODAY)]),
        (deployer, dataclasses.replace(WATCH, is_deploying=lambda: False), [(Detector.CHANGE, Severity.TODAY)]),
    ):
        assert seen(audit_log.activity(AT, who, "firebaserules.googleapis.com", method), watch) == expected
        assert seen(audit_log.policy_set(AT, who), watch) == expected
    kms = ("cloudkms.googleapis.com", "CreateCryptoKeyVersion")
    assert seen(audit_log.activity(AT, "", *kms)) == [], "the key service rotates by itself"
    assert seen(audit_log.activity(AT, THIEF, *kms)) == [(Detector.CHANGE, Severity.TODAY)]


def test_our_own_functions_say_what_they_saw() -> None:
    inconsistent = audit_log.own(AT, "log.inconsistent", error="Forked")
    assert seen(inconsistent) == [(Detector.LOG_INCONSISTENT, Severity.GETS_SOMEBODY_UP)]
    assert seen(audit_log.own(AT, "job.failed", error="Refused", job="log")) == [], "a name says nothing"
    assert seen(audit_log.own(AT, "processor.mail", processor="Replicate")) == [
        (Detector.PROCESSOR_MAIL, Severity.TODAY)
    ]


def counted(entry: dict[str, Any]) -> list[tuple[Detector, str]]:
    return [(mark.detector, mark.element) for mark in marks(decode(json.dumps(entry)), WATCH)]


def test_what_is_counted_is_people_and_things_and_not_entries() -> None:
    name = "n"
    assert counted(audit_log.read(AT, THIEF, "users/a", "users/a/images/x", "policies/y")) == [
        (Detector.READS, "a"),
        (Detector.READS, "a"),
    ]
    assert counted(audit_log.object_read(AT, THIEF, "images/b/x")) == [(Detector.READS, "b")]
    assert counted(audit_log.read(AT, THIEF, "users/a", code=7, name=name)) == [(Detector.DENIALS, name)]
    assert counted(audit_log.read(AT, THIEF, "users/a", code=5)) == []
    assert [
        detector for detector, _ in counted(audit_log.committed(AT, THIEF, deletes=["a/b", "c/d"], sets=["e/f"]))
    ] == [
        Detector.DELETIONS,
        Detector.DELETIONS,
    ]
    assert counted(audit_log.object_deleted(AT, THIEF, "images/b/x")) == [(Detector.DELETIONS, "images/b/x")]
    assert counted(audit_log.decrypted(AT, FUNCTION, name=name)) == [(Detector.DECRYPTS, name)]
    assert counted(audit_log.sign_in(AT, refused=False)) == []
    assert [detector for detector, _ in counted(audit_log.sign_in(AT, refused=True))] == [Detector.STUFFING]
    for event, detector in (
        ("staff.denied", Detector.DENIALS),
        ("sign-in.refused", Detector.STUFFING),
        ("image.opened", Detector.DECRYPTS),
        ("item.deleted", Detector.DELETIONS),
        ("erasure.requested", Detector.DELETIONS),
        ("export.requested", Detector.EXPORTS),
    ):
        assert [found for found, _ in counted(audit_log.own(AT, event, actor="f" * 64))] == [detector], event
    assert counted(audit_log.own(AT, "policy.accepted")) == []


def test_what_a_listing_answers_is_counted_and_twice_is_once() -> None:
    entry = audit_log.listed(AT, THIEF, "users", items=300)
    assert counted(entry) == counted(entry)
    assert len({element for detector, element in counted(entry) if detector is Detector.LISTINGS}) == 300
    assert counted(audit_log.listed(AT, THIEF, "users", items=300, code=5)) == []
    assert judged(1000, {}, NAMES.of_principal(THIEF), Detector.LISTINGS) is None
    assert judged(1001, {}, NAMES.of_principal(THIEF), Detector.LISTINGS)
    assert judged(20_000, {}, FUNCTION, Detector.LISTINGS) is None
    loud = judged(60_001, {}, FUNCTION, Detector.LISTINGS)
    assert loud
    assert loud.severity is Severity.GETS_SOMEBODY_UP


def judged(count: int, past: dict[int, int], who: str = FUNCTION, detector: Detector = Detector.READS) -> Signal | None:
    return judgement(Mark(detector, who, NOW, "x", AT, "n"), count, past)


def judgement(mark: Mark, count: int, past: dict[int, int]) -> Signal | None:
    return judge(mark, count, past, floor(mark, WATCH, Thresholds()), Thresholds().factor)


def test_a_spike_is_told_from_a_busy_service() -> None:
    assert judged(500, {}) is None
    first = judged(501, {})
    assert first
    assert (first.severity, first.threshold) == (Severity.TODAY, 500)
    loud = judged(1501, {})
    assert loud
    assert loud.severity is Severity.GETS_SOMEBODY_UP
    busy = {NOW - hour: 900 for hour in range(1, 25)}
    assert judged(4000, busy) is None
    assert judged(4501, busy)
    assert judged(501, {NOW - 2: 9000, NOW - 1: 9000}), "two spikes don't make a third ordinary"
    assert judged(501, {NOW: 9000, NOW + 1: 9000, NOW + 2: 9000}), "nor does the same hour, or a later"
    assert judged(21, {}, who=NAMES.of_principal(THIEF)), "a person is held to less"


def test_one_wholesale_act_is_one_too_many() -> None:
    method = "google.firestore.admin.v1.FirestoreAdmin.ExportDocuments"
    [mark] = marks(decode(json.dumps(audit_log.activity(AT, THIEF, "firestore.googleapis.com", method))), WATCH)
    found = judgement(mark, 1, {})
    assert found
    assert found.detector is Detector.EXPORTS
    assert found.severity is Severity.GETS_SOMEBODY_UP
    deployer = decode(
        json.dumps(audit_log.activity(AT, "deploy@p.gserviceaccount.com", "firestore.googleapis.com", method))
    )
    assert list(marks(deployer, WATCH)) == []
    assert len(list(marks(deployer, dataclasses.replace(WATCH, is_deploying=lambda: False)))) == 1
    gone = "google.firestore.admin.v1.FirestoreAdmin.DeleteDatabase"
    [mark] = marks(decode(json.dumps(audit_log.activity(AT, THIEF, "firestore.googleapis.com", gone))), WATCH)
    found = judgement(mark, 1, {})
    assert found
    assert found.severity is Severity.GETS_SOMEBODY_UP


def test_a_name_that_reads_like_wholesale_or_like_a_service_account_is_neither() -> None:
    for entry in (audit_log.object_deleted(AT, THIEF, "whole/ring"), audit_log.object_deleted(AT, THIEF, "whole ring")):
        [mark] = marks(decode(json.dumps(entry)), WATCH)
        assert judgement(mark, 1, {}) is None
    stranger = "me@notgserviceaccount.com"
    [mark] = marks(decode(json.dumps(audit_log.read(AT, stranger, "users/a"))), WATCH)
    assert mark.about == NAMES.of_principal(stranger), "a person's address is not kept, nor are they held to more"


def test_our_own_roll_call_is_no_export_and_anybody_elses_is() -> None:
    method = "google.cloud.identitytoolkit.v1.AccountManagementService.DownloadAccount"

    def by(who: str) -> list[Mark]:
        return list(
            marks(decode(json.dumps(audit_log.activity(AT, who, "identitytoolkit.googleapis.com", method))), WATCH)
        )

    assert {mark.detector for mark in by(THOROUGH)} == {Detector.LISTINGS}
    assert len({mark.element for mark in by(THOROUGH)}) == 1000
    for who in (THIEF, FUNCTION, THOROUGH.replace("@p.", "@another.")):
        [mark] = by(who)
        found = judgement(mark, 1, {})
        assert found
        assert (found.detector, found.severity) == (Detector.EXPORTS, Severity.GETS_SOMEBODY_UP)


def test_who_goes_through_everybody_is_held_to_everybody() -> None:
    assert judged(20_000, {}, THOROUGH) is None
    assert judged(20_001, {}, THOROUGH)
    assert judged(501, {}, THOROUGH.replace("@p.", "@another."))


def test_what_an_announced_deployment_reads_is_not_counted() -> None:
    keys = decode(json.dumps(audit_log.read(AT, "deploy@p.gserviceaccount.com", "keys/a", "keys/b", database="vault")))
    assert list(marks(keys, WATCH)) == []
    assert len(list(marks(keys, dataclasses.replace(WATCH, is_deploying=lambda: False)))) == 2
    deleted = decode(json.dumps(audit_log.committed(AT, "deploy@p.gserviceaccount.com", deletes=["users/a"])))
    assert len(list(marks(deleted, WATCH))) == 1


def test_what_comes_late_is_counted_in_its_own_hour() -> None:
    [early] = marks(decode(json.dumps(audit_log.decrypted(AT - timedelta(hours=2), FUNCTION))), WATCH)
    [late] = marks(decode(json.dumps(audit_log.decrypted(AT, FUNCTION))), WATCH)
    assert (early.hour, late.hour) == (NOW - 2, NOW)
