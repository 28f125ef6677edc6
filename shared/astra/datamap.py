"""The data map: one entry for every place that holds personal data, and nothing anywhere else.

Erasure, its verification and its certificate are derived from this table and from nothing else. A place that is not
here does not exist: a test walks everything the whole suite wrote and fails on what no entry claims.
To add a collection, add its entry.
"""

import dataclasses
import hashlib
from typing import Final

import rfc8785

from astra.entries import Disposition, Entry, Store

_CONTRACT: Final = "contract, GDPR art. 6(1)(b)"
_OBLIGATION: Final = "legal obligation, GDPR art. 6(1)(c) with art. 5(2)"
_ACTIVE: Final = "while the account is active"

DATA_MAP: Final[tuple[Entry, ...]] = (
    Entry(
        name="replicate-artefacts",
        store=Store.REPLICATE,
        where="{uid}/{item}",
        category="prompts and images while Replicate computes, and the files given to it",
        purpose="generate images",
        lawful_basis=_CONTRACT,
        retention="until the image is made; Replicate drops the rest within the hour",
        export=False,
        export_note="what comes of it is exported",
        recipients=("Replicate",),
        residual="replicate",
        opened_by=("predictions",),
    ),
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
        item="image",
        passing=True,
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
        item="image",
        opened_by=("object-keys", "user-key"),
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
        item="image",
        opened_by=("object-keys", "user-key"),
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
        passing=True,
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
        passing=True,
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
        item="image",
    ),
    Entry(
        name="prompts",
        store=Store.FIRESTORE,
        where="users/{uid}/prompts/{item}",
        category="what a user asked to have drawn, encrypted under their key",
        purpose="generate images, and show what was asked",
        lawful_basis=_CONTRACT,
        retention=_ACTIVE,
        export=True,
        export_note="decrypted",
        recipients=("Firebase", "Replicate"),
        residual="backup",
        item="prompt",
        opened_by=("object-keys", "user-key"),
    ),
    Entry(
        name="predictions",
        store=Store.FIRESTORE,
        where="users/{uid}/predictions/{item}",
        category="under which names Replicate has what was given to it",
        purpose="have it deleted there",
        lawful_basis=_CONTRACT,
        retention=_ACTIVE,
        export=False,
        export_note="names that mean nothing elsewhere",
        residual="backup",
    ),
    Entry(
        name="events",
        store=Store.FIRESTORE,
        where="users/{uid}/events/{item}",
        category="what was done in the application, with which kind of device and browser",
        purpose="improve the service",
        lawful_basis="legitimate interest, GDPR art. 6(1)(f)",
        retention=_ACTIVE,
        export=True,
        export_note="whole",
        residual="backup",
        item="event",
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
        item="image",
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
        disposition_note="certificate under a keyed pseudonym; GDPR art. 5(2) and 17(3)(b)",
        residual="backup",
    ),
    Entry(
        name="legal-holds",
        store=Store.FIRESTORE,
        where="holds/{subject}",
        category="which of somebody's data must not be deleted, why, until when, and who approved it",
        purpose="keep what the law asks to be kept, and nothing else",
        lawful_basis=_OBLIGATION,
        retention="for good",
        export=False,
        export_note="the certificate of an erasure says what is held",
        disposition=Disposition.RETAIN,
        disposition_note="the hold itself, under a keyed pseudonym; GDPR art. 5(2), 17(3)(b) and 17(3)(e)",
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
        disposition_note="keyed pseudonym and time; GDPR art. 5(2) and 17(3)(b)",
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
        disposition_note="keyed pseudonym and time; GDPR art. 5(2) and 17(3)(b)",
    ),
)

NOT_PERSONAL: Final = {
    "policies/{item}": "the published policy: the same for everybody",
    "rounds/{item}": "how far a round through all stores is",
}
"""Documents that hold nothing about anybody, each with the reason."""


def claimant(store: Store, path: str) -> Entry | None:
    """The entry that `path` in `store` belongs to."""
    return next((entry for entry in DATA_MAP if entry.store is store and entry.claims(path)), None)


def name_of(store: Store, path: str) -> str:
    """The name of the entry that `path` belongs to, or `unmapped-` and the store's."""
    return entry.name if (entry := claimant(store, path)) else f"unmapped-{store}"


def digest() -> str:
    """SHA-256 of the whole map in canonical JSON (RFC 8785): which map a certificate speaks of."""
    return hashlib.sha256(rfc8785.dumps([dataclasses.asdict(entry) for entry in DATA_MAP])).hexdigest()
