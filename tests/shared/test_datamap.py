import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from astra import datamap
from astra.claims import claimant
from astra.datamap import DATA_MAP
from astra.entries import Disposition, Entry, Store, Subject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA = Subject(uid="ada", subject="f" * 64, email="e" * 64, asked_at=NOW)


def entry(name: str) -> Entry:
    return next(entry for entry in DATA_MAP if entry.name == name)


def test_names_are_unique_and_nothing_is_left_blank() -> None:
    assert len({entry.name for entry in DATA_MAP}) == len(DATA_MAP)
    for item in DATA_MAP:
        for field in ("where", "category", "purpose", "lawful_basis", "retention", "export_note", "residual"):
            assert getattr(item, field), f"{item.name}: say its {field}"


def test_what_outlives_an_erasure_says_on_what_basis_and_until_when() -> None:
    for item in DATA_MAP:
        assert (item.disposition is Disposition.DELETE) == (item.disposition_note == ""), item.name
        if item.disposition_note:
            assert "GDPR art." in item.disposition_note, item.name
            assert "{uid}" not in item.where, f"{item.name} would keep an account id"


def test_every_entry_is_found_by_the_person() -> None:
    for item in DATA_MAP:
        assert any("{" + name + "}" in item.where for name in ("uid", "email", "subject")), item.name


def test_owners_may_do_what_rules_have_a_word_for_with_what_is_found_by_their_account() -> None:
    for item in DATA_MAP:
        assert set(item.owner_may) <= {"get", "list", "create", "update", "delete"}, item.name
        assert not item.owner_may or "{uid}" in item.where, item.name
    assert [item.name for item in DATA_MAP if {"create", "update", "delete"} & set(item.owner_may)] == ["uploads"]


@pytest.mark.parametrize(
    ("store", "path", "name"),
    [
        (Store.FIRESTORE, "users/ada", "profile"),
        (Store.FIRESTORE, "users/ada/images/ring-0001", "image-records"),
        (Store.FIRESTORE, "users/ada/images/ring-0001/deeper/x", None),
        (Store.FIRESTORE, "users/ada/unheard-of/x", None),
        (Store.FIRESTORE, "commitments/" + "f" * 64 + ".x", "log-entries"),
        (Store.FIRESTORE, "commitments/log.x", "log-entries"),
        (Store.FIRESTORE, "commitments/" + "f" * 64, None),
        (Store.VAULT, "keys/ada", "user-key"),
        (Store.STORAGE, "images/ada/ring-0001", "sealed-images"),
        (Store.STORAGE, "images/ada", None),
        (Store.REDIS, "user:{ada}:rate:open_image", "short-lived-keys"),
        (Store.REDIS, "user:ada:rate:open_image", None),
    ],
)
def test_a_path_is_claimed_by_the_right_entry_or_by_none(store: Store, path: str, name: str | None) -> None:
    found = claimant(store, path)
    assert (found.name if found else None) == name


def test_a_prefix_ends_with_a_slash_so_that_it_meets_nobody_else() -> None:
    assert ADA.place(entry("sealed-images")) == "images/ada/"
    assert ADA.place(entry("uploads")) == "incoming/ada/"
    assert ADA.place(entry("short-lived-keys")) == "user:{ada}:"


def test_a_persons_entries_of_the_log_are_found_by_the_beginning_of_their_names() -> None:
    assert ADA.place(entry("log-entries")) == "commitments/" + "f" * 64 + "."


def test_a_person_without_an_address_has_no_enrolment() -> None:
    assert ADA.place(entry("enrolments")) == "enrolments/" + "e" * 64
    assert dataclasses.replace(ADA, email=None).place(entry("enrolments")) is None


def test_an_enrolment_begun_after_the_request_is_somebody_new() -> None:
    assert ADA.owns(entry("enrolments"), {"createdAt": NOW - timedelta(minutes=1)})
    assert not ADA.owns(entry("enrolments"), {"createdAt": NOW + timedelta(minutes=1)})
    assert ADA.owns(entry("profile"), {"createdAt": NOW + timedelta(minutes=1)})


@pytest.mark.parametrize("year", range(2026, 2030))
def test_what_is_kept_for_24_months_is_kept_for_all_of_them(year: int) -> None:
    life = entry("requests").lives
    assert life
    assert datetime(year, 3, 1, tzinfo=UTC) + life >= datetime(year + 2, 3, 1, tzinfo=UTC)


def test_the_digest_speaks_of_this_map(monkeypatch: pytest.MonkeyPatch) -> None:
    before = datamap.digest()
    assert before == datamap.digest()
    monkeypatch.setattr(datamap, "DATA_MAP", DATA_MAP[1:])
    assert datamap.digest() != before
