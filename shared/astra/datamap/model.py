"""The data map's model: stores, entries, subjects.

Invariants:
1. The place of every entry is of a form by which its store is erased. It names one person before anything that varies,
   so that an erasure can't take another person's data. Any other entry can't be made.
2. `check` refuses entries that are sound alone and not together: an erasure would miss one, or take one that is held.
"""

import dataclasses
import enum
import functools
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args, get_origin


class Store(enum.StrEnum):
    """The kinds of store, in the order in which erasure goes through them: others' copies first, keys after what they
    open, and the account last, because its address is what the rest is found by."""

    REPLICATE = "replicate"
    STORAGE = "storage"
    REDIS = "redis"
    FIRESTORE = "firestore"
    VAULT = "vault"
    AUTH = "auth"


class Disposition(enum.StrEnum):
    """What erasure does with an entry."""

    DELETE = "delete"
    ANONYMISE = "anonymise"
    RETAIN = "retain"


_DOCUMENTS: Final = ("NAME/{uid}", "NAME/{email}", "NAME/{subject}", "NAME/{uid}/NAME/{item}")
_FORMS: Final = {
    Store.REPLICATE: ("{uid}/{item}",),
    Store.STORAGE: ("NAME/{uid}/{item}",),  # a prefix ends with a slash: `images/ada` begins what is of `adam`, too
    Store.REDIS: ("user:{{uid}}:{item}",),
    Store.FIRESTORE: (*_DOCUMENTS, "NAME/{subject}.{item}"),
    Store.VAULT: _DOCUMENTS,
    Store.AUTH: ("{uid}",),
}
"""The places that erasure, verification, roll call and sweep can find in each store. NAME is a literal name."""
_NAME: Final = re.compile(r"(?<![^/])[A-Za-z][A-Za-z0-9_-]*(?![^/])")
_ENTRY_NAME: Final = re.compile(r"(?!unmapped-)[a-z][a-z0-9-]*")
_ANONYMISED: Final = "erasures/{subject}"
"""The one document of which an erasure takes the person out: its own."""


class Unsound(ValueError):
    """An entry, or a data map, by which one person's data alone can't be erased. The message says why."""


@dataclass(frozen=True)
class LawfulBasis:
    """Why personal data may be processed: the ground in words, and where the GDPR has it."""

    ground: str
    article: str

    def __str__(self) -> str:
        return f"{self.ground}, GDPR {self.article}"


CONTRACT: Final = LawfulBasis("contract", "art. 6(1)(b)")
OBLIGATION: Final = LawfulBasis("legal obligation", "art. 6(1)(c) with art. 5(2)")
BREACH_DUTIES: Final = LawfulBasis("legal obligation", "art. 6(1)(c) with art. 33(5) and 34")
INTEREST: Final = LawfulBasis("legitimate interest", "art. 6(1)(f)")
CONSENT: Final = LawfulBasis("consent", "art. 6(1)(a)")

Item = Literal["", "image", "prompt", "event"]
"""The kinds of single thing that can be deleted; the empty text is none of them."""
Access = Literal["get", "list", "create", "update", "delete"]
"""The words that security rules have for what is done with a document or an object."""


@dataclass(frozen=True)
class Entry:
    """One place. `where` is a path pattern: `{uid}`, `{email}` and `{subject}` stand for the person (account id,
    pseudonym of the e-mail address, pseudonym of the account), `{item}` for anything within one segment.

    Raises Unsound for a place that is not of a form in `_FORMS`, for what can't be done there, and for a field that is
    not of its type: consumers compare with `is`, so that a text in place of a Store would never be erased.
    """

    name: str
    store: Store
    where: str
    category: str
    purpose: str
    lawful_basis: LawfulBasis
    retention: str
    export: bool
    export_note: str
    recipients: tuple[str, ...] = ("Firebase",)
    disposition: Disposition = Disposition.DELETE
    disposition_note: str = ""
    """For what is not deleted: what stays, and on what legal basis."""
    retain_days: int | None = None
    """For what is not deleted: how long it stays after the erasure; None is for good."""
    item: Item = ""
    """Which single thing a person can delete this with."""
    owner_may: tuple[Access, ...] = ()
    """What its owner may do with it through the clients' own protocols; all others may do nothing, staff included.
    What has expired they can't get; rules can't take it out of a list."""
    opened_by: tuple[str, ...] = ()
    """The entries without which this one is noise or can't be found: a legal hold on it keeps them too."""
    lives: timedelta | None = None
    """How long one of them lives, where that is fixed when it is written; then it is refused, and goes."""
    since: tuple[str, ...] = ("createdAt",)
    """What its life counts from: the earliest of these fields; `a.b` is the field b of each in the list a."""
    may_expire: bool = False
    """Whether some are given an end of their own, though no life is fixed for all of them."""
    passing: bool = False
    """Whether it goes by itself within minutes: a legal hold names what becomes of it instead."""
    silent: bool = False
    """Whether certificates leave it out: that there is something in it may be what a ban forbids us to say."""
    residual: str = "none"
    """Which of the platform's own copies outlive the deletion: names a setting, or says none."""

    def __post_init__(self) -> None:
        for reason in self._faults():
            raise Unsound(f"the data map's entry {self.name}: {reason}")

    def _mistyped(self) -> Iterator[str]:
        """Yield what is not of its type or range, and what is needed."""
        for field in dataclasses.fields(self):
            kind, value = get_origin(field.type) or field.type, getattr(self, field.name)
            if kind in (str, bool, tuple, Store, Disposition, LawfulBasis) and not isinstance(value, kind):
                yield f"its {field.name} is {value!a}; it must be of the type {kind.__name__}"
        if self.item not in get_args(Item):
            yield f"its item is {self.item!a}; it must be one of {_listed(Item)}"
        if not all(word in get_args(Access) for word in self.owner_may):
            yield f"its owner_may is {self.owner_may!a}; each must be one of {_listed(Access)}"
        if self.lives is not None and not (isinstance(self.lives, timedelta) and self.lives > timedelta()):
            yield f"its lives is {self.lives!a}; it must be a timedelta above 0"
        if self.retain_days is not None and not (type(self.retain_days) is int and self.retain_days > 0):
            yield f"its retain_days is {self.retain_days!a}; it must be a whole number above 0"

    def _faults(self) -> Iterator[str]:
        """What is wrong with it, and what is needed."""
        yield from self._mistyped()
        if not _ENTRY_NAME.fullmatch(self.name):
            yield "its name must be small letters, digits and hyphens, and must not begin with unmapped-"
        if _NAME.sub("NAME", self.where) not in _FORMS[self.store]:
            forms = " or ".join(_FORMS[self.store])
            yield f"its place {self.where!a} {_fault(self.where)}; it must be {forms}, in {self.store}"
        if self.disposition is not Disposition.DELETE and "{uid}" in self.where:
            yield "what stays after an erasure must not keep the account id; it must be found by {subject}"
        if self.disposition is Disposition.ANONYMISE and self.where != _ANONYMISED:
            yield f"nothing anonymises it: only {_ANONYMISED} can be; it must be deleted or retained"
        if self.disposition is Disposition.DELETE and self.where.endswith(".{item}"):
            yield "documents found by the beginning of their names are never deleted; they must be retained"
        several = self.where.endswith("/{item}")
        if self.item and not (several and self.store in (Store.STORAGE, Store.FIRESTORE, Store.VAULT)):
            yield f"its place must end with /{{item}}, in a store of documents or objects, to delete one {self.item}"
        if self.opened_by and not (several and self.store in (Store.REPLICATE, Store.STORAGE, Store.FIRESTORE)):
            yield "opened_by is for places that end with /{item}; nothing else is looked for before its keys are kept"
        if self.lives and self.store not in (Store.FIRESTORE, Store.STORAGE):
            yield f"lives can't be kept to in {self.store}: no sweep goes by it; it must be in firestore or storage"
        if self.lives and self.store is Store.STORAGE and not self.passing:
            yield "what is swept in storage must be passing: the sweep there does not ask for a legal hold"
        if self.may_expire and self.store is not Store.FIRESTORE:
            yield f"may_expire can't be kept to in {self.store}: no sweep goes by it; it must be in firestore"
        if self.retain_days and self.disposition is Disposition.DELETE:
            yield "retain_days is for what is not deleted; its disposition must be another, or it must have none"
        if self.expires and not self.passing and "{uid}" not in self.where:
            yield "what expires must be found by {uid}, or the sweep can't find who has a legal hold on it"

    def claims(self, path: str) -> bool:
        """Whether `path` (of a document, object or key) is this entry's."""
        return self.pattern.fullmatch(path) is not None

    @property
    def pattern(self) -> re.Pattern[str]:
        """What its paths look like, without groups."""
        return _pattern(self.where)

    @property
    def expires(self) -> bool:
        """Whether it has documents that the sweep takes away once their time is over."""
        return self.store is Store.FIRESTORE and (self.lives is not None or self.may_expire)

    def owner(self, path: str) -> str | None:
        """The account id in the path of one of them; None where it is found by something else."""
        parts = self.where.split("/")
        return path.split("/")[parts.index("{uid}")] if "{uid}" in parts else None

    def facts(self) -> dict[str, Any]:
        """Everything that it says, in what JSON has a word for."""
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: str(value) if isinstance(value, timedelta | LawfulBasis) else value for name, value in facts.items()
        }


@dataclass(frozen=True)
class Subject:
    """A data subject, by everything that their data is found by."""

    uid: str
    subject: str
    email: str | None
    """Pseudonym of the address; None for an account without one."""
    asked_at: datetime
    """When they asked to be erased; what was enrolled later under their address is somebody else's."""

    def place(self, entry: Entry) -> str | None:
        """`entry.where` for this person, up to the first part that varies; None if they have no such data."""
        # Cut, then filled in at once: an account id may look like a part that varies.
        pattern = entry.where.split("{item", 1)[0]
        found_by = {name: getattr(self, name) for name in re.findall(r"\{(uid|email|subject)\}", pattern)}
        if None in found_by.values():
            return None
        return re.sub(r"\{(uid|email|subject)\}", lambda name: str(found_by[name[1]]), pattern)

    def item(self, entry: Entry, item_id: str) -> str | None:
        """The place of one item of `entry`, whose place is a folder."""
        return f"{folder}{item_id}" if (folder := self.place(entry)) else None

    def owns(self, entry: Entry, fields: dict[str, Any]) -> bool:
        """Return True if a document at their place is theirs.

        An address can be enrolled again after the erasure of its account was asked for, by another person. A document
        under an address that does not say since when it is there counts as that person's.
        """
        created = fields.get("createdAt")
        return "{email}" not in entry.where or (isinstance(created, datetime) and created <= self.asked_at)


def check(entries: Collection[Entry], impersonal: Collection[str]) -> None:
    """Raise Unsound for entries that can't be together in a data map; below `impersonal` is no person's data."""
    named: dict[str, Entry] = {}
    placed: dict[tuple[Store, str], Entry] = {}
    for entry in entries:
        if named.setdefault(entry.name, entry) is not entry:
            raise Unsound(f"the data map has {entry.name} more than once; a name must be of one entry")
        path = re.sub(r"[^/]*\{[^/]*", "*", entry.where)
        if (other := placed.setdefault((entry.store, path), entry)) is not entry:
            raise Unsound(f"the data map's entries {other.name} and {entry.name} claim the same paths of {entry.store}")
    tops = {where.partition("/")[0] for where in impersonal}
    wheres = {(entry.store, entry.where) for entry in entries}
    for entry in entries:
        top, root = entry.where.partition("/")[0], entry.where.removesuffix("/{item}").rpartition("/")[0]
        if top in tops:
            raise Unsound(f"the data map's entry {entry.name}: {top} must hold no person's data, by the same data map")
        below = entry.store in (Store.FIRESTORE, Store.VAULT) and entry.where.endswith("/{item}")
        if below and (entry.store, root) not in wheres:
            raise Unsound(
                f"the data map's entry {entry.name}: it needs one for {root} in {entry.store} to be found below"
            )
        if unknown := set(entry.opened_by) - named.keys():
            raise Unsound(f"the data map's entry {entry.name}: opened_by must name entries, not {sorted(unknown)}")


def _fault(where: str) -> str:
    """What is wrong with a place that is of no form."""
    parts = re.findall(r"\{([^{}]*)\}", where)
    persons = [part for part in parts if part in ("uid", "email", "subject")]
    for part in parts:
        if part not in (*persons, "item"):
            return f"has a part {{{part}}} that stands for nothing"
    if not persons:
        return "names no person"
    if len(persons) > 1:
        return "names more than one person"
    return "has a part that comes before the person" if parts[0] == "item" else "is not one that an erasure can find"


def _listed(words: Any) -> str:
    return ", ".join(map(ascii, get_args(words)))


@functools.cache
def _pattern(where: str) -> re.Pattern[str]:
    literal = re.split(r"\{[a-z]+\}", where)
    return re.compile(r"[^/]+".join(re.escape(part) for part in literal))
