"""What the data map is written in: stores, entries, and the person whose data an entry finds."""

import dataclasses
import enum
import functools
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final


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


class Basis(enum.StrEnum):
    """The lawful bases that entries rest on, in the words of the record of processing."""

    CONTRACT = "contract, GDPR art. 6(1)(b)"
    OBLIGATION = "legal obligation, GDPR art. 6(1)(c) with art. 5(2)"
    BREACH_DUTIES = "legal obligation, GDPR art. 6(1)(c) with art. 33(5) and 34"
    INTEREST = "legitimate interest, GDPR art. 6(1)(f)"
    CONSENT = "consent, GDPR art. 6(1)(a)"


@dataclass(frozen=True)
class Entry:
    """One place. `where` is a path pattern: `{uid}`, `{email}` and `{subject}` stand for the person (account id,
    pseudonym of the e-mail address, pseudonym of the account), other braces for anything within one segment."""

    name: str
    store: Store
    where: str
    category: str
    purpose: str
    lawful_basis: Basis
    retention: str
    export: bool
    export_note: str
    recipients: tuple[str, ...] = ("Firebase",)
    disposition: Disposition = Disposition.DELETE
    disposition_note: str = ""
    """For what is not deleted: what stays, and on what legal basis."""
    retain_days: int | None = None
    """For what is not deleted: how long it stays after the erasure; None is for good."""
    item: str = ""
    """Which single thing a person can delete this with: image, prompt or event."""
    owner_may: tuple[str, ...] = ()
    """What its owner may do with it through the clients' own protocols, of get, list, create, update and delete; all
    others may do nothing, staff included. What has expired they can't get; rules can't take it out of a list."""
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
        facts = dataclasses.asdict(self)
        return {name: str(value) if isinstance(value, timedelta) else value for name, value in facts.items()}


ACCOUNT_ID: Final = re.compile(r"(?!\.{1,2}$)(?!__.*__$)[^/]{1,128}")
"""An account id that can be a part of a path without leading anywhere else."""


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
        """Whether a document at their place is theirs. An address can be enrolled again after the erasure of its
        account was asked for: that is somebody new."""
        created: datetime | None = fields.get("createdAt")
        return "{email}" not in entry.where or created is None or created <= self.asked_at


@functools.cache
def _pattern(where: str) -> re.Pattern[str]:
    literal = re.split(r"\{[a-z]+\}", where)
    return re.compile(r"[^/]+".join(re.escape(part) for part in literal))
