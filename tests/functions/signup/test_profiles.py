"""What people change about themselves, and what is kept of the change."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore

from astra import erasure, policies, tlog
from astra.datamap.table import DATA_MAP
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from signup import consent_receipts
from signup.blocking import before_sign_in
from signup.profile import AcceptPolicy, SetIpLock, UpdateProfile, accept_policy, set_ip_lock, update_profile
from tests.functions.signup.conftest import AWAY, HOME, Member

Join = Callable[..., Member]


def history(member: Member, purpose: str) -> list[str]:
    return [event["type"] for event in member.receipt(purpose)["events"]]


def test_a_receipt_says_who_agreed_to_what_and_under_which_text(platform: Platform[Any], join: Join) -> None:
    member = join(consents={"terms": True, "electronicNotices": True, "ipLock": True})
    in_force = policies.current(platform.db, platform.clock())
    for purpose in consent_receipts.PURPOSES:
        receipt = member.receipt(purpose)
        assert receipt["schema"] == "ISO/IEC TS 27560:2023"
        assert (receipt["purpose"], receipt["state"]) == (purpose, "given")
        assert (receipt["policyVersion"], receipt["policySha256"]) == (in_force.version, in_force.sha256)
        assert receipt["subject"] == platform.pseudonyms.of_uid(member.uid)
        assert receipt["ageScreen"]
        for field in ("controller", "lawfulBasis", "dataCategories", "recipients", "retention", "withdrawal"):
            assert receipt[field], field
        [event] = receipt["events"]
        assert event["type"] == "given"
        assert member.email not in repr(receipt)
        assert member.uid not in repr(receipt)
    assert "Replicate" in member.receipt("terms")["recipients"]
    [lock] = [entry for entry in DATA_MAP if entry.name == "network-locks"]
    assert member.receipt("ipLock")["dataCategories"] == [lock.category]


def test_what_was_not_agreed_to_has_no_receipt(join: Join) -> None:
    member = join()
    assert [snapshot.id for snapshot in member.profile.collection("consents").get()] == ["terms"]


def test_a_change_is_made_and_that_it_was_made_is_kept(platform: Platform[Any], join: Join) -> None:
    member = join(jurisdiction="US-NY")
    change = parse(UpdateProfile, {"name": "Ada King", "jurisdiction": None})
    for _ in range(2):  # the second time there is nothing left to change
        update_profile(platform, member.call(change))
    fields = member.fields()
    assert (fields["name"], fields["jurisdiction"]) == ("Ada King", None)
    [request] = member.requests()
    assert request["fields"] == ["jurisdiction", "name"]
    assert request["expireAt"] == request["createdAt"] + timedelta(days=731)
    assert "Ada" not in repr(request)


@pytest.mark.parametrize("form", [{}, {"name": None}, {"electronicNotices": None}, {"name": ""}, {"state": "active"}])
def test_nothing_to_change_or_something_that_can_not_be_is_refused(form: dict[str, Any]) -> None:
    with pytest.raises(HttpsError) as refusal:
        parse(UpdateProfile, form)
    assert refusal.value.code is FunctionsErrorCode.INVALID_ARGUMENT


def test_a_consent_is_given_withdrawn_and_given_again(platform: Platform[Any], join: Join) -> None:
    member = join()
    for wanted in (False, True, True, False, False, True):
        update_profile(platform, member.call(parse(UpdateProfile, {"electronicNotices": wanted})))
    assert history(member, "electronicNotices") == ["given", "withdrawn", "given"]
    assert member.receipt("electronicNotices")["state"] == "given"
    assert member.receipt("electronicNotices")["ageScreen"] == member.receipt("terms")["ageScreen"]
    assert member.requests() == []


def test_consents_are_logged_when_they_are_given_and_taken_back_and_not_otherwise(
    platform: Platform[Any], join: Join
) -> None:
    member = join(consents={"terms": True, "electronicNotices": True})
    subject = platform.pseudonyms.of_uid(member.uid)

    def logged() -> list[tuple[str, str]]:
        rows = (row.to_dict() or {} for row in platform.db.collection(tlog.COMMITMENTS).get() if subject in row.id)
        found = [(fields["action"], json.loads(fields["record"])) for fields in rows if tlog.is_opened_by(fields)]
        assert member.uid not in repr(found)
        assert member.email not in repr(found)
        return sorted((action, record["purpose"]) for action, record in found)

    given = [("account:consent:give", "electronicNotices"), ("account:consent:give", "terms")]
    assert logged() == given
    for wanted in (True, False, False):
        update_profile(platform, member.call(parse(UpdateProfile, {"electronicNotices": wanted})))
    assert logged() == [*given, ("account:consent:withdraw", "electronicNotices")]


def test_a_long_history_keeps_its_beginning_and_its_end(platform: Platform[Any], join: Join) -> None:
    member = join()
    receipt, in_force = member.receipt("terms"), policies.current(platform.db, platform.clock())
    first, subject = receipt["events"][0], platform.pseudonyms.of_uid(member.uid)
    for _ in range(300):
        receipt = consent_receipts.given(subject, "terms", in_force, "x", platform.clock(), receipt)
        receipt |= consent_receipts.withdrawn(receipt, platform.clock())
    assert len(receipt["events"]) <= 500
    assert (receipt["events"][0], receipt["events"][-1]["type"]) == (first, "withdrawn")


def test_a_lock_is_set_from_where_one_is_and_forgotten_at_once(platform: Platform[Any], join: Join) -> None:
    member = join()
    lock = member.profile.collection("locks").document("network")
    set_ip_lock(platform, member.call(parse(SetIpLock, {"enabled": True})))
    kept = lock.get().to_dict()
    assert kept is not None
    assert set(kept) == {"network", "since"}
    assert "192.0.2" not in repr(kept)
    before_sign_in(platform, member.asked(HOME))
    with pytest.raises(HttpsError):
        before_sign_in(platform, member.asked(AWAY))
    for _ in range(2):
        set_ip_lock(platform, member.call(parse(SetIpLock, {"enabled": False})))
    assert not lock.get().exists
    before_sign_in(platform, member.asked(AWAY))
    assert history(member, "ipLock") == ["given", "withdrawn"]


def test_nobody_is_locked_to_a_network_that_is_not_known(platform: Platform[Any], join: Join) -> None:
    member = join()
    with pytest.raises(HttpsError) as refusal:
        set_ip_lock(platform, member.call(parse(SetIpLock, {"enabled": True}), network=None))
    assert "nothing was locked" in refusal.value.message
    assert member.fields()["ipLock"] is False


@pytest.fixture
def later(platform: Platform[Any]) -> Iterator[list[str]]:
    """Two versions to come, the next first, by this test's clock, which is years ahead of every other's."""
    platform.clock.step(days=7300)  # type: ignore[attr-defined]
    versions = [f"to-come-{number}-{platform.clock():%H%M%S%f}" for number in (1, 2)]
    for days, version in enumerate(versions, 1):
        at = platform.clock() + timedelta(days=days)
        fields = {"version": version, "sha256": str(days) * 64, "effectiveAt": at}
        platform.db.document(f"policies/{version}").set(fields)
    yield versions
    for version in versions:
        platform.db.document(f"policies/{version}").delete()


def logged(platform: Platform[Any], member: Member) -> list[str]:
    """The versions that the log says they gave their consent under."""
    subject = platform.pseudonyms.of_uid(member.uid)
    first, last = (platform.db.document(f"commitments/{subject}{end}") for end in (".", "~"))
    entries = platform.db.collection("commitments").where(filter=firestore.FieldFilter("__name__", ">", first))
    found = entries.where(filter=firestore.FieldFilter("__name__", "<", last)).get()
    return sorted(json.loads(entry.get("record")).get("policyVersion", "") for entry in found)


def test_a_policy_is_accepted_once_with_its_hash_and_an_entry_of_the_log(
    platform: Platform[Any], join: Join, later: list[str]
) -> None:
    member = join()
    for _ in range(2):
        accept_policy(platform, member.call(parse(AcceptPolicy, {"policyVersion": later[0]})))
    assert member.fields()["policyVersion"] == later[0]
    receipt = member.receipt("terms")
    assert (receipt["policyVersion"], receipt["policySha256"]) == (later[0], "1" * 64)
    assert history(member, "terms") == ["given", "given"]
    assert logged(platform, member) == sorted([policies.FIRST, later[0]])


def test_who_has_accepted_a_later_policy_does_not_go_back(
    platform: Platform[Any], join: Join, later: list[str]
) -> None:
    member = join()
    for version in (later[1], later[0]):
        accept_policy(platform, member.call(parse(AcceptPolicy, {"policyVersion": version})))
    assert member.fields()["policyVersion"] == later[1]
    assert history(member, "terms") == ["given", "given"]


def test_what_is_chosen_later_stands_under_the_policy_that_was_agreed_to(
    platform: Platform[Any], join: Join, later: list[str]
) -> None:
    member = join()
    platform.clock.step(days=1)  # type: ignore[attr-defined]  # another is in force, and not yet agreed to
    for _ in range(2):
        update_profile(platform, member.call(parse(UpdateProfile, {"electronicNotices": True})))
    assert member.receipt("electronicNotices")["policyVersion"] == policies.FIRST
    assert history(member, "electronicNotices") == ["given"]


@pytest.mark.parametrize("version", ["2020-01-01", "never-published"])
def test_a_policy_that_was_replaced_or_never_was_can_not_be_accepted(
    platform: Platform[Any], join: Join, version: str
) -> None:
    member, old = join(), platform.db.document("policies/2020-01-01")
    old.set({"version": "2020-01-01", "sha256": "0" * 64, "effectiveAt": platform.clock() - timedelta(days=2400)})
    try:
        with pytest.raises(HttpsError) as refusal:
            accept_policy(platform, member.call(parse(AcceptPolicy, {"policyVersion": version})))
    finally:
        old.delete()
    assert policies.FIRST in refusal.value.message
    assert member.fields()["policyVersion"] == policies.FIRST


@pytest.mark.parametrize(
    ("handler", "form"),
    [
        (update_profile, UpdateProfile(name="Eve")),
        (accept_policy, AcceptPolicy(policyVersion=policies.FIRST)),
        (set_ip_lock, SetIpLock(enabled=True)),
    ],
)
def test_who_is_being_erased_changes_nothing_any_more(
    platform: Platform[Any], join: Join, handler: Any, form: Any
) -> None:
    member = join()
    erasure.begin(platform, member.uid, platform.clock())
    before = member.fields()
    with pytest.raises(HttpsError) as refusal:
        handler(platform, member.call(form))
    assert refusal.value.code is FunctionsErrorCode.PERMISSION_DENIED
    assert member.fields() == before
    assert member.profile.collection("locks").get() == []
