"""The data map: one entry for every place that holds personal data, and nothing anywhere else.

Erasure, its verification and its certificate are derived from this table and from nothing else. A place that is not
here does not exist: a test walks everything the whole suite wrote and fails on what no entry claims.
To add a collection, add its entry.
"""

import dataclasses
import hashlib
from datetime import timedelta
from typing import Final

import rfc8785

from astra.entries import Entry, Store
from astra.governance_map import GOVERNANCE, RECORDS, TOLD

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
        lives=timedelta(minutes=15),
        passing=True,
    ),
    Entry(
        name="sign-in-codes",
        store=Store.FIRESTORE,
        where="codes/{email}",
        category="that somebody asked for a code to sign in with, and its keyed hash",
        purpose="let in who is locked out by a new network or a new policy",
        lawful_basis=_CONTRACT,
        retention="10 minutes; refused from then on, removed by the database's time-to-live",
        export=False,
        export_note="gone before an export is made",
        residual="backup",
        lives=timedelta(minutes=10),
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
        name="requests",
        store=Store.FIRESTORE,
        where="users/{uid}/requests/{item}",
        category="what was asked for under the law, and when it was done",
        purpose="answer requests in time, and show that they were",
        lawful_basis=_OBLIGATION,
        retention="24 months",
        export=True,
        export_note="whole",
        residual="backup",
        lives=timedelta(days=730),
    ),
    Entry(
        name="network-locks",
        store=Store.FIRESTORE,
        where="users/{uid}/locks/{item}",
        category="keyed hash of the masked network that somebody locked their sign-in to",
        purpose="lock sign-in to one network, at the user's request",
        lawful_basis="consent, GDPR art. 6(1)(a)",
        retention="until the lock is turned off",
        export=False,
        export_note="a hash that means nothing elsewhere",
        residual="backup",
    ),
    *TOLD,
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
    *GOVERNANCE,
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
    *RECORDS,
)

NOT_PERSONAL: Final = {
    "policies/{item}": "the published policy: the same for everybody",
    "securityPolicies/{item}": "the security policy: the same for all who work here",
    "processors/{item}": "companies, and the agreements with them",
    "reviews/{item}": "the security policy's reviews; who signed one did so as an officer, under a keyed pseudonym",
    "findings/{item}": "what staff must see to: of agreements and processors",
    "rounds/{item}": "how far a round through all stores is",
    "log/{item}": "tiles and checkpoint of the transparency log: hashes, times, and staff under keyed pseudonyms",
    "rate:{item}": "how many requests somebody made in this minute: whose they are nobody can tell",
}
"""Documents and keys that hold nothing about anybody, each with the reason."""


def digest() -> str:
    """SHA-256 of the whole map in canonical JSON (RFC 8785): which map a certificate speaks of."""
    entries = [
        {
            name: str(value) if isinstance(value, timedelta) else value
            for name, value in dataclasses.asdict(entry).items()
        }
        for entry in DATA_MAP
    ]
    return hashlib.sha256(rfc8785.dumps(entries)).hexdigest()
