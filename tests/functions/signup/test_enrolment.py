import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import policies
from astra.accounts import tombstones
from astra.runtime.callables import Call, parse
from astra.runtime.platform import Platform
from signup import enrolment
from signup.blocking import Asked, before_create, before_sign_in
from signup.enrolment import StartSignup, start_signup


def form(**changes: Any) -> dict[str, Any]:
    return {
        "email": f"{secrets.token_hex(8)}@example.com",
        "name": "Ada Lovelace",
        "birthYear": 1990,
        "birthMonth": 12,
        "policyVersion": policies.FIRST,
        "consents": {"terms": True},
    } | changes


def enrol(platform: Platform[Any], **changes: Any) -> str:
    data = form(**changes)
    start_signup(platform, Call(parse(StartSignup, data)))
    return str(data["email"])


def stored(platform: Platform[Any], email: str) -> dict[str, Any] | None:
    fields: dict[str, Any] | None = (
        platform.db.collection(enrolment.ENROLMENTS).document(platform.pseudonyms.of_email(email)).get().to_dict()
    )
    return fields


@pytest.mark.parametrize(
    ("year", "month", "old_enough"),
    [
        (2013, 10, True),
        (2013, 11, False),  # thirteen this month: the day is not asked for
        (2013, 12, False),
        (2014, 1, False),
        (2012, 12, True),
        (2026, 11, False),
    ],
)
def test_the_month_of_the_thirteenth_birthday_still_counts_as_under(
    platform: Platform[Any], clock: Any, year: int, month: int, *, old_enough: bool
) -> None:
    clock.now = datetime(2026, 11, 23, tzinfo=UTC)
    email = f"{secrets.token_hex(8)}@example.com"
    if old_enough:
        enrol(platform, email=email, birthYear=year, birthMonth=month)
        assert stored(platform, email) is not None
        return
    with pytest.raises(HttpsError) as refusal:
        enrol(platform, email=email, birthYear=year, birthMonth=month)
    assert refusal.value.code is FunctionsErrorCode.PERMISSION_DENIED
    assert "13" not in str(refusal.value.message), "a neutral screen does not say which age would pass"
    assert stored(platform, email) is None


def test_neither_birth_date_nor_address_is_kept(platform: Platform[Any]) -> None:
    email = enrol(platform, birthYear=1987, birthMonth=7)
    fields = stored(platform, email)
    assert fields is not None
    assert email not in repr(fields)
    assert "1987" not in repr(fields)
    assert not any("birth" in name.lower() for name in fields)


def test_an_enrolment_makes_one_profile_with_its_consents(platform: Platform[Any]) -> None:
    email = enrol(platform, consents={"terms": True, "electronicNotices": True}, jurisdiction="US-NY")
    uid = secrets.token_hex(14)
    before_create(platform, Asked(uid, email.upper()))
    profile = platform.db.document(f"users/{uid}")
    fields = profile.get().to_dict()
    assert fields is not None
    what_they_said = {"name", "email", "jurisdiction", "policyVersion", "ipLock"}
    assert set(fields) == what_they_said | {"createdAt", "state", "inactivity"}
    assert (fields["state"], fields["jurisdiction"], fields["ipLock"]) == ("active", "US-NY", False)
    consents = {snapshot.id: snapshot.to_dict() for snapshot in profile.collection("consents").get()}
    assert set(consents) == {"terms", "electronicNotices"}
    assert (consents["terms"] or {})["policySha256"] == policies.current(platform.db, platform.clock()).sha256
    assert stored(platform, email) is None
    with pytest.raises(HttpsError):
        before_create(platform, Asked(secrets.token_hex(14), email))


def test_who_enrols_somebody_elses_address_agrees_to_nothing_for_them(platform: Platform[Any], clock: Any) -> None:
    email = enrol(platform, consents={"terms": True, "ipLock": True})
    enrol(platform, email=email, consents={"terms": True, "electronicNotices": True, "ipLock": True})
    assert (stored(platform, email) or {})["consents"] == {"terms": True, "electronicNotices": False, "ipLock": True}
    clock.step(minutes=15)
    enrol(platform, email=email, consents={"terms": True, "electronicNotices": True})
    assert (stored(platform, email) or {})["consents"]["electronicNotices"] is True


def test_a_lock_without_an_address_is_no_consent_to_one(platform: Platform[Any]) -> None:
    email, uid = enrol(platform, consents={"terms": True, "ipLock": True}), secrets.token_hex(14)
    before_create(platform, Asked(uid, email, address=None))
    profile = platform.db.document(f"users/{uid}")
    assert profile.get().get("ipLock") is False
    assert [consent.id for consent in profile.collection("consents").get()] == ["terms"]


def test_a_letter_that_becomes_another_in_lower_case_opens_nobodys_enrolment(platform: Platform[Any]) -> None:
    email = f"k{secrets.token_hex(8)}@example.com"
    enrol(platform, email=email)
    with pytest.raises(HttpsError):
        before_create(platform, Asked(secrets.token_hex(14), f"\u212a{email[1:]}"))
    assert stored(platform, email) is not None


def test_an_expired_enrolment_makes_no_account(platform: Platform[Any], clock: Any) -> None:
    email = enrol(platform)
    clock.step(minutes=15)
    uid = secrets.token_hex(14)
    with pytest.raises(HttpsError) as refusal:
        before_create(platform, Asked(uid, email))
    assert "within 15 minutes" in str(refusal.value.message)
    assert not platform.db.document(f"users/{uid}").get().exists


@pytest.mark.parametrize("email", [None, "", "somebody-else@example.com"])
def test_without_an_enrolment_of_that_address_there_is_no_account(platform: Platform[Any], email: str | None) -> None:
    enrol(platform)
    with pytest.raises(HttpsError):
        before_create(platform, Asked(secrets.token_hex(14), email))


def test_the_same_event_twice_makes_no_second_account(platform: Platform[Any]) -> None:
    email, uid = enrol(platform), secrets.token_hex(14)
    before_create(platform, Asked(uid, email))
    before = platform.db.document(f"users/{uid}").get().to_dict()
    with pytest.raises(HttpsError):
        before_create(platform, Asked(uid, email))
    assert platform.db.document(f"users/{uid}").get().to_dict() == before


@pytest.mark.parametrize("state", [None, "erasing", "disabled"])
def test_only_an_active_profile_may_sign_in(platform: Platform[Any], state: str | None) -> None:
    uid = secrets.token_hex(14)
    email = enrol(platform)
    profile, asked = platform.db.document(f"users/{uid}"), Asked(uid, email)
    before_create(platform, asked)
    profile.update({"state": state}) if state else profile.delete()
    with pytest.raises(HttpsError):
        before_sign_in(platform, asked)
    if state:
        profile.update({"state": "active"})
        before_sign_in(platform, asked)


def test_a_policy_of_tomorrow_is_not_in_force_today(platform: Platform[Any]) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    version = secrets.token_hex(4)
    later = platform.db.document(f"policies/{version}")
    later.set({"version": version, "sha256": "0" * 64, "effectiveAt": now + timedelta(seconds=1)})
    try:
        assert policies.current(platform.db, now).version == policies.FIRST
        assert policies.current(platform.db, now + timedelta(seconds=1)).version == version
        with pytest.raises(LookupError, match=r"astra policies publish-first"):
            policies.current(platform.db, datetime(2020, 1, 1, tzinfo=UTC))
    finally:
        later.delete()


def test_an_erased_person_neither_signs_up_nor_in_whatever_comes_back_from_a_backup(platform: Platform[Any]) -> None:
    email, uid = enrol(platform), secrets.token_hex(14)
    tombstones.reference(platform.db, platform.pseudonyms.of_uid(uid)).set({"erasedAt": platform.clock()})
    with pytest.raises(tombstones.Erased):
        before_create(platform, Asked(uid, email))
    assert not platform.db.document(f"users/{uid}").get().exists
    platform.db.document(f"users/{uid}").set({"state": "active"})
    with pytest.raises(HttpsError) as refusal:
        before_sign_in(platform, Asked(uid, email))
    assert "being deleted" in str(refusal.value.message)
