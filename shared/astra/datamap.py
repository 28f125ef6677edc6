"""The data map: one entry for every place that holds personal data, and nothing anywhere else.

Erasure, its verification and its certificate are derived from this table and from nothing else. A place that is not
here does not exist: a test walks everything the whole suite wrote and fails on what no entry claims.
To add a collection, add its entry.
"""

import dataclasses
import enum
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import rfc8785


class Store(enum.StrEnum):
    """The kinds of store, in the order in which erasure goes through them: keys after what they open, and the account
    last, because its address is what the rest is found by."""

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


@dataclass(frozen=True)
class Entry:
    """One place. `where` is a path pattern: `{uid}`, `{email}` and `{subject}` stand for the person (account id,
    pseudonym of the e-mail address, pseudonym of the account), other braces for anything within one segment."""

    name: str
    store: Store
    where: str
    category: str
    purpose: str
    lawful_basis: str
    retention: str
    export: bool
    export_note: str
    recipients: tuple[str, ...] = ("Firebase",)
    disposition: Disposition = Disposition.DELETE
    disposition_note: str = ""
    """For what is not deleted: what stays, on what legal basis, until when."""
    residual: str = "none"
    """Which of the platform's own copies outlive the deletion: names a setting, or says none."""

    def claims(self, path: str) -> bool:
        """Whether `path` (of a document, object or key) is this entry's."""
        return _pattern(self.where).fullmatch(path) is not None


@dataclass(frozen=True)
class Subject:
    """A data subject, by everything that their data is found by."""

    uid: str
    subject: str
    email: str | None
    """Pseudonym of the address; None for an account without one."""
    asked_at: datetime
    """When they asked to be erased."""

    def place(self, entry: Entry) -> str | None:
        """`entry.where` for this person, up to the first part that varies; None if they have no such data."""
        path = entry.where
        for name in ("uid", "email", "subject"):
            if "{" + name + "}" in path:
                if (value := getattr(self, name)) is None:
                    return None
                path = path.replace("{" + name + "}", value)
        return path.split("{item", 1)[0]

    def owns(self, entry: Entry, fields: dict[str, Any]) -> bool:
        """Whether a document at their place is theirs. An address can be enrolled again after the erasure of its
        account was asked for: that is somebody new."""
        created: datetime | None = fields.get("createdAt")
        return "{email}" not in entry.where or created is None or created <= self.asked_at


def _pattern(where: str) -> re.Pattern[str]:
    literal = re.split(r"\{[a-z]+\}", where)
    return re.compile(r"[^/]+".join(re.escape(part) for part in literal))


_CONTRACT: Final = "contract, GDPR art. 6(1)(b)"
_OBLIGATION: Final = "legal obligation, GDPR art. 6(1)(c) with art. 5(2)"
_ACTIVE: Final = "while the account is active"

DATA_MAP: Final[tuple[Entry, ...]] = (
    Entry(
        name="uploads",
        store=Store.STORAGE,
        where="incoming/{uid}/{item}",
        category="images as uploaded",
        purpose="hand an image over to be sealed",
        lawful_basis=_CONTRACT,
        retention="seconds: until sealed or rejected",
        export=False,
        export_note="the sealed image is exported",
        residual="soft-delete",
    ),
    Entry(
        name="sealed-images",
        store=Store.STORAGE,
        where="images/{uid}/{item}",
        category="images, encrypted under the user's key",
        purpose="show a user their images",
        lawful_basis=_CONTRACT,
        retention=_ACTIVE,
        export=True,
        export_note="decrypted",
        residual="soft-delete",
    ),
    Entry(
        name="sealed-thumbnails",
        store=Store.STORAGE,
        where="thumbs/{uid}/{item}",
        category="small versions of images, encrypted under the user's key",
        purpose="show a user their images",
        lawful_basis=_CONTRACT,
        retention=_ACTIVE,
        export=False,
        export_note="made from the image, which is exported",
        residual="soft-delete",
    ),
    Entry(
        name="request-counters",
        store=Store.REDIS,
        where="user:{{uid}}:{item}",
        category="number of requests in the last minute",
        purpose="keep the service up",
        lawful_basis="legitimate interest, GDPR art. 6(1)(f)",
        retention="one minute",
        export=False,
        export_note="gone before an export is made",
        recipients=("Redis Cloud",),
    ),
    Entry(
        name="enrolments",
        store=Store.FIRESTORE,
        where="enrolments/{email}",
        category="name and choices of somebody about to sign up",
        purpose="let only consenting people of age make an account",
        lawful_basis=_CONTRACT,
        retention="15 minutes; refused from then on, removed by the database's time-to-live",
        export=False,
        export_note="becomes the profile, which is exported",
        residual="backup",
    ),
    Entry(
        name="consents",
        store=Store.FIRESTORE,
        where="users/{uid}/consents/{item}",
        category="what was agreed to, and when",
        purpose="prove consent",
        lawful_basis=_OBLIGATION,
        retention=_ACTIVE,
        export=True,
        export_note="whole",
        residual="backup",
    ),
    Entry(
        name="image-records",
        store=Store.FIRESTORE,
        where="users/{uid}/images/{item}",
        category="size, type and state of images",
        purpose="list a user's images",
        lawful_basis=_CONTRACT,
        retention=_ACTIVE,
        export=True,
        export_note="whole",
        residual="backup",
    ),
    Entry(
        name="profile",
        store=Store.FIRESTORE,
        where="users/{uid}",
        category="name, e-mail address, settings",
        purpose="run the account",
        lawful_basis=_CONTRACT,
        retention=_ACTIVE,
        export=True,
        export_note="whole",
        residual="backup",
    ),
    Entry(
        name="object-keys",
        store=Store.VAULT,
        where="keys/{uid}/objects/{item}",
        category="wrapped keys of images",
        purpose="encrypt content",
        lawful_basis=_CONTRACT,
        retention=_ACTIVE,
        export=False,
        export_note="keys never leave",
    ),
    Entry(
        name="user-key",
        store=Store.VAULT,
        where="keys/{uid}",
        category="wrapped key of a user",
        purpose="encrypt content",
        lawful_basis=_CONTRACT,
        retention=_ACTIVE,
        export=False,
        export_note="keys never leave",
    ),
    Entry(
        name="rotations",
        store=Store.VAULT,
        where="rotations/{subject}",
        category="progress of replacing a user's key",
        purpose="encrypt content",
        lawful_basis=_CONTRACT,
        retention=_ACTIVE,
        export=False,
        export_note="nothing about the person but that it was done",
    ),
    Entry(
        name="account",
        store=Store.AUTH,
        where="{uid}",
        category="e-mail address, password hash, sign-in times",
        purpose="sign in",
        lawful_basis=_CONTRACT,
        retention=_ACTIVE,
        export=True,
        export_note="without the password hash",
    ),
    Entry(
        name="erasure",
        store=Store.FIRESTORE,
        where="erasures/{subject}",
        category="progress and certificate of an erasure",
        purpose="finish an erasure and prove it",
        lawful_basis=_OBLIGATION,
        retention="the account id until verified; the certificate for good",
        export=False,
        export_note="the receipt shows it",
        disposition=Disposition.ANONYMISE,
        disposition_note="certificate under a keyed pseudonym; GDPR art. 5(2) and 17(3)(b); for good",
        residual="backup",
    ),
    Entry(
        name="tombstone",
        store=Store.FIRESTORE,
        where="tombstones/{subject}",
        category="that somebody was erased, under a keyed pseudonym",
        purpose="refuse late writes and restored copies",
        lawful_basis=_OBLIGATION,
        retention="for good",
        export=False,
        export_note="nothing in it",
        disposition=Disposition.RETAIN,
        disposition_note="keyed pseudonym and time; GDPR art. 5(2) and 17(3)(b); for good",
    ),
    Entry(
        name="vault-tombstone",
        store=Store.VAULT,
        where="tombstones/{subject}",
        category="that somebody was erased, under a keyed pseudonym",
        purpose="never make a key for them again",
        lawful_basis=_OBLIGATION,
        retention="for good",
        export=False,
        export_note="nothing in it",
        disposition=Disposition.RETAIN,
        disposition_note="keyed pseudonym and time; GDPR art. 5(2) and 17(3)(b); for good",
    ),
)

NOT_PERSONAL: Final = {"policies/{item}": "the published policy: the same for everybody"}
"""Documents that hold nothing about anybody, each with the reason."""


def claimant(store: Store, path: str) -> Entry | None:
    """The entry that `path` in `store` belongs to."""
    return next((entry for entry in DATA_MAP if entry.store is store and entry.claims(path)), None)


def digest() -> str:
    """SHA-256 of the whole map in canonical JSON (RFC 8785): which map a certificate speaks of."""
    return hashlib.sha256(rfc8785.dumps([dataclasses.asdict(entry) for entry in DATA_MAP])).hexdigest()
