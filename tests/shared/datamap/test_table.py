import dataclasses
import re
import runpy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from astra.datamap import table
from astra.datamap.governance import TOLD
from astra.datamap.lookup import claimant
from astra.datamap.model import Disposition, Entry, Store, Subject, Unsound, check
from astra.datamap.table import DATA_MAP, NOT_PERSONAL

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


def made(store: Store = Store.FIRESTORE, where: str = "rooms/{uid}", name: str = "rooms", **other: Any) -> Entry:
    return dataclasses.replace(
        entry("profile"), **{"name": name, "store": store, "where": where, "owner_may": ()} | other
    )


MANY = [
    "rooms/{item}/{uid}/{item}",
    "rooms/{item}/{uid}",
    "rooms/{item}",
    "rooms",
    "",
    "{uid}x",
    "x{uid}",
    "{item}",
    "rooms/{chat}/members/{uid}",
    "rooms/{uid}/{chat}",
    "rooms/{uid}/members/{chat}",
    "rooms/{uid}/{item}/{item}",
    "rooms/{uid}/members/{item}/more/{item}",
    "rooms/{uid}/{subject}",
    "rooms/{uid}/members/{uid}",
    "rooms/{uid}/members/{email}",
    "rooms/{email}/members/{item}",
    "rooms/{subject}/members/{item}",
    "rooms/{uid}x",
    "rooms/x{uid}",
    "rooms/{uid}x/{item}",
    "rooms/{uid}.{item}",
    "rooms/{email}.{item}",
    "rooms/{subject}{item}",
    "rooms/{subject}.{item}/x",
    "rooms/{uid}/",
    "/rooms/{uid}",
    "rooms//{uid}",
    "rooms/{uid}//{item}",
    "rooms/*/{uid}",
    "*/{uid}",
    "../{uid}",
    "./{uid}",
    "__rooms__/{uid}",
    "rooms/{uid}/**",
    "rooms/{document=**}",
    "rooms/{{uid}}",
    "rooms/{UID}",
    "rooms/{uid1}",
    "rooms/{uid",
    "rooms/uid}",
    "rooms/{}",
    "rooms/{ uid }",
    "rooms/{uid}\n",
    "rooms/{uid}/members",
    "rooms/members/{uid}",
    "a/b/c/{uid}",
    "a/b/{uid}/{item}",
]


@pytest.mark.parametrize("store", Store)
@pytest.mark.parametrize("where", MANY)
def test_a_place_that_is_not_one_persons_alone_is_in_no_map(store: Store, where: str) -> None:
    with pytest.raises(ValueError, match=r"^the data map's entry rooms: .*; it must be ") as refusal:
        made(store, where, disposition=Disposition.RETAIN)
    assert ascii(where) in str(refusal.value), "the reader must see what was wrong"


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("rooms/{item}/{uid}/{item}", "comes before"),
        ("chats/{chat}/members/{uid}", r"\{chat\} that stands for nothing"),
        ("posts/{item}", "names no person"),
        ("rooms/{uid}/members/{email}", "more than one"),
        ("images/{uid}x", "not one that an erasure can find"),
    ],
)
def test_the_reason_is_said(where: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        made(where=where)


@pytest.mark.parametrize(
    ("store", "where"),
    [
        (Store.STORAGE, "rooms/{uid}"),
        (Store.STORAGE, "rooms/{uid}/x"),
        (Store.STORAGE, "rooms/{email}/{item}"),
        (Store.STORAGE, "rooms/{subject}/{item}"),
        (Store.STORAGE, "rooms/{uid}/members/{item}"),
        (Store.STORAGE, "{uid}/{item}"),
        (Store.REDIS, "user:{uid}:{item}"),
        (Store.REDIS, "user:{{uid}}"),
        (Store.REDIS, "cache:{{uid}}:{item}"),
        (Store.REDIS, "user:{{email}}:{item}"),
        (Store.REPLICATE, "{uid}"),
        (Store.REPLICATE, "{email}/{item}"),
        (Store.AUTH, "{email}"),
        (Store.AUTH, "{uid}/{item}"),
        (Store.FIRESTORE, "rooms/{uid}/{item}"),
        (Store.FIRESTORE, "{uid}/{item}"),
        (Store.FIRESTORE, "{uid}"),
        (Store.VAULT, "rooms/{subject}.{item}"),
    ],
)
def test_a_place_is_of_a_form_that_its_store_is_erased_by(store: Store, where: str) -> None:
    with pytest.raises(ValueError, match="rooms"):
        made(store, where)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "Rooms"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "unmapped-firestore"}, "name"),
        ({"disposition": Disposition.RETAIN}, "account id"),
        ({"disposition": Disposition.ANONYMISE}, "account id"),
        ({"disposition": Disposition.ANONYMISE, "where": "rooms/{subject}"}, "anonymises"),
        ({"where": "rooms/{subject}.{item}"}, "beginning"),
        ({"item": "image"}, "item"),
        ({"item": "image", "store": Store.VAULT}, "item"),
        ({"item": "image", "store": Store.REDIS, "where": "user:{{uid}}:{item}"}, "item"),
        ({"item": "image", "store": Store.REPLICATE, "where": "{uid}/{item}"}, "item"),
        ({"opened_by": ("user-key",)}, "opened_by"),
        ({"opened_by": ("user-key",), "store": Store.VAULT, "where": "rooms/{uid}/members/{item}"}, "opened_by"),
        ({"opened_by": ("user-key",), "store": Store.REDIS, "where": "user:{{uid}}:{item}"}, "opened_by"),
        ({"where": "rooms/{subject}", "may_expire": True}, "hold"),
        ({"where": "rooms/{email}", "lives": timedelta(days=1)}, "hold"),
    ],
)
def test_what_an_entry_says_of_its_place_must_be_possible_there(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        made(**changes)


KEPT: dict[str, Any] = {"where": "rooms/{subject}", "disposition": Disposition.RETAIN}
IN_STORAGE: dict[str, Any] = {"store": Store.STORAGE, "where": "rooms/{uid}/{item}"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"store": "firestore"}, "its store is 'firestore'; it must be of the type Store"),
        ({"store": None}, "its store is None; it must be of the type Store"),
        ({"disposition": "delete"}, "its disposition is 'delete'; it must be of the type Disposition"),
        ({"lawful_basis": "because"}, "its lawful_basis is 'because'; it must be of the type LawfulBasis"),
        ({"name": 7}, "its name is 7; it must be of the type str"),
        ({"where": None}, "its where is None; it must be of the type str"),
        ({"where": b"rooms/{uid}"}, "its where is b'.*'; it must be of the type str"),
        ({"category": None}, "its category is None; it must be of the type str"),
        ({"passing": "no"}, "its passing is 'no'; it must be of the type bool"),
        ({"item": "chat", **IN_STORAGE}, "its item is 'chat'; it must be one of '', 'image', 'prompt', 'event'"),
        ({"item": None, **IN_STORAGE}, "its item is None; it must be one of"),
        ({"owner_may": ("get", "write")}, "its owner_may is .*'write'.*; each must be one of 'get', 'list', 'create'"),
        ({"owner_may": ([],)}, "its owner_may is .*; each must be one of"),
        ({"owner_may": "get"}, "its owner_may is 'get'; it must be of the type tuple"),
        ({"recipients": "Firebase"}, "its recipients is 'Firebase'; it must be of the type tuple"),
        ({"lives": timedelta()}, "its lives is .*; it must be a timedelta above 0"),
        ({"lives": timedelta(days=-1)}, "its lives is .*; it must be a timedelta above 0"),
        ({"lives": 90}, "its lives is 90; it must be a timedelta above 0"),
        ({"lives": timedelta(days=1), "store": Store.VAULT}, "lives .* vault: no sweep goes by it"),
        ({"lives": timedelta(days=1), "store": Store.AUTH, "where": "{uid}"}, "lives .* auth: no sweep goes by it"),
        (
            {"lives": timedelta(days=1), "store": Store.REDIS, "where": "user:{{uid}}:{item}"},
            "lives .* redis: no sweep goes by it",
        ),
        (
            {"lives": timedelta(days=1), "store": Store.REPLICATE, "where": "{uid}/{item}"},
            "lives .* replicate: no sweep goes by it",
        ),
        ({"lives": timedelta(days=1), **IN_STORAGE}, "what is swept in storage must be passing: .* legal hold"),
        ({"may_expire": True, **IN_STORAGE}, "may_expire .* storage: no sweep goes by it"),
        ({"may_expire": True, "store": Store.VAULT}, "may_expire .* vault: no sweep goes by it"),
        ({"retain_days": 0, **KEPT}, "its retain_days is 0; it must be a whole number above 0"),
        ({"retain_days": -1, **KEPT}, "its retain_days is -1; it must be a whole number above 0"),
        ({"retain_days": True, **KEPT}, "its retain_days is True; it must be a whole number above 0"),
        ({"retain_days": 1.5, **KEPT}, "its retain_days is 1.5; it must be a whole number above 0"),
        ({"retain_days": 30}, "retain_days is for what is not deleted"),
    ],
)
def test_what_an_entry_says_is_of_its_type_and_range(changes: dict[str, Any], reason: str) -> None:
    name = changes.get("name", "rooms")
    with pytest.raises(Unsound, match=f"^the data map's entry {name}: {reason}"):
        made(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"lives": timedelta(seconds=1), "passing": True, **IN_STORAGE},
        {"lives": timedelta(seconds=1)},
        {"retain_days": 1, **KEPT},
        *({"item": item, **IN_STORAGE} for item in ("", "image", "prompt", "event")),
        {"owner_may": ("get", "list", "create", "update", "delete")},
    ],
)
def test_what_is_possible_is_not_refused(changes: dict[str, Any]) -> None:
    assert made(**changes).where.startswith("rooms/")


CLASHES: list[tuple[str, list[Entry]]] = [
    ("more than once", [made(), made(where="chats/{uid}")]),
    ("rooms and halls", [made(), made(name="halls")]),
    ("rooms and halls", [made(), made(name="halls", where="rooms/{email}")]),
    ("halls and rooms", [made(name="halls", where="rooms/{subject}"), made()]),
    (
        "rooms and halls",
        [made(), made(name="halls", where="rooms/{subject}.{item}", disposition=Disposition.RETAIN)],
    ),
    (
        "rooms and halls",
        [made(Store.STORAGE, "rooms/{uid}/{item}"), made(Store.STORAGE, "rooms/{uid}/{item}", name="halls")],
    ),
    ("rooms/{uid}", [made(where="rooms/{uid}/members/{item}")]),
    ("rooms/{uid}", [made(where="rooms/{uid}/members/{item}"), made(Store.VAULT, name="halls")]),
    ("rooms/{uid}", [made(where="rooms/{uid}/members/{item}"), made(where="rooms/{email}", name="halls")]),
    ("halls", [made(Store.STORAGE, "rooms/{uid}/{item}", opened_by=("halls",))]),
    ("policies", [made(where="policies/{uid}")]),
    ("log", [made(Store.STORAGE, "log/{uid}/{item}")]),
]


@pytest.mark.parametrize(("reason", "entries"), CLASHES)
def test_entries_that_can_not_be_together_are_in_no_map(reason: str, entries: list[Entry]) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        check(entries, ("policies/{item}", "log/{item}", "rate:{item}"))


def test_this_map_is_sound_and_was_checked_when_it_was_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    check(DATA_MAP, NOT_PERSONAL)
    monkeypatch.setattr("astra.datamap.governance.TOLD", (*TOLD, dataclasses.replace(TOLD[0], name="again")))
    with pytest.raises(ValueError, match="notices and again"):
        runpy.run_path(table.__file__)


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


def test_the_sweep_of_documents_goes_through_no_other_store() -> None:
    assert entry("enrolments").expires
    assert entry("image-records").expires
    assert not entry("uploads").expires
    assert not entry("profile").expires


def test_a_path_names_its_owner_if_it_is_found_by_the_account() -> None:
    assert entry("events").owner("users/ada/events/x") == "ada"
    assert entry("tombstone").owner("tombstones/ada") is None


def test_a_person_without_an_address_has_no_enrolment() -> None:
    assert ADA.place(entry("enrolments")) == "enrolments/" + "e" * 64
    assert dataclasses.replace(ADA, email=None).place(entry("enrolments")) is None


def test_an_enrolment_begun_after_the_request_is_somebody_new() -> None:
    assert ADA.owns(entry("enrolments"), {"createdAt": NOW - timedelta(minutes=1)})
    assert not ADA.owns(entry("enrolments"), {"createdAt": NOW + timedelta(minutes=1)})
    assert ADA.owns(entry("profile"), {"createdAt": NOW + timedelta(minutes=1)})


@pytest.mark.parametrize("fields", [{}, {"createdAt": None}, {"createdAt": "2020-01-01T00:00:00Z"}, {"createdAt": 0}])
def test_a_document_under_an_address_is_not_theirs_unless_it_says_since_when(fields: dict[str, Any]) -> None:
    """The address can be another person's by now; the documents under an account id can't."""
    assert not ADA.owns(entry("enrolments"), fields)
    assert not ADA.owns(entry("sign-in-codes"), fields)
    assert ADA.owns(entry("profile"), fields)


@pytest.mark.parametrize("year", range(2026, 2030))
def test_what_is_kept_for_24_months_is_kept_for_all_of_them(year: int) -> None:
    life = entry("requests").lives
    assert life
    assert datetime(year, 3, 1, tzinfo=UTC) + life >= datetime(year + 2, 3, 1, tzinfo=UTC)


def test_the_digest_speaks_of_this_map(monkeypatch: pytest.MonkeyPatch) -> None:
    before = table.digest()
    assert before == table.digest()
    monkeypatch.setattr(table, "DATA_MAP", DATA_MAP[1:])
    assert table.digest() != before
