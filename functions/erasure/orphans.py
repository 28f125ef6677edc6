"""The roll call: whoever is found in any store must be an account with a profile, or be erased.

Nothing tells a function that an account was deleted in the console or in bulk, that an account's creation broke off, or
that a backup was restored. So every place of the data map that names a person is gone through once a day, a page at a
time, and whoever should not be there is erased by the ordinary erasure:

    data, objects or keys without an account    deleted in the console, or never was one
    an account without a profile                its sign-up broke off. Staff, who have a role, need no profile
    anything of somebody who was erased         a backup was restored, or something was written after all

The roll is a job like any other, `rounds/roll-call`: it survives its worker and goes on where it was. It erases
people whom nobody asked it to erase, so a round goes through everything twice: first it only notes who is to go, under
their pseudonyms. If they are more than it may find, in number or as a share of everybody, nobody is erased and staff
are called: an Auth that answers wrongly must not empty the service. Else it looks again, and erases who was noted and
still should not be there.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from firebase_admin import auth

from astra import erasure, honey, jobs, log, tombstones
from astra.datamap import DATA_MAP
from astra.documents import fetch
from astra.entries import ACCOUNT_ID, Store
from astra.platform import Platform
from astra.pseudonyms import Pseudonym
from astra.settings import ErasureSettings

_PAGE: Final = 100
"""As many accounts as Auth looks up at once."""
_AGES_AGO: Final = datetime.fromtimestamp(0, UTC)
_RETRY: Final = timedelta(minutes=5)
#: A round's beginning: where it is, how many it has seen there and in the longest roster, whom it has noted, and
#: whether it is the second time.
_ANEW: Final[dict[str, Any]] = {
    "roster": 0,
    "cursor": None,
    "here": 0,
    "longest": 0,
    "noted": [],
    "erasing": False,
}


@dataclass(frozen=True)
class Sighting:
    """An account id that was seen in a store, and since when it has been there."""

    uid: str
    since: datetime


Page = tuple[list[Sighting], str | None]
"""Who is there, and where the next page begins; None after the last."""
Roster = Callable[[Platform[ErasureSettings], str | None], Page]


def call_the_roll(platform: Platform[ErasureSettings], budget: timedelta) -> None:
    """Go on with the round under way, or begin one if it is time."""
    job = erasure.roll_call(platform.db)
    if not job.get(["state"]).exists:
        job.set(jobs.opened(platform.clock(), **_ANEW))
    jobs.Worker(platform.db, platform.clock, _RETRY).run(job, lambda fields: _page(platform, fields), budget)


def _page(platform: Platform[ErasureSettings], job: dict[str, Any]) -> dict[str, Any] | jobs.Pause:
    rosters = list(_rosters())
    sightings, cursor = rosters[job["roster"]](platform, job["cursor"])
    orphans, noted = _orphans(platform, sightings), set(job["noted"])
    if job["erasing"]:
        for subject in noted & orphans.keys():
            erasure.begin_again(platform, orphans[subject], platform.clock())
    noted |= set() if job["erasing"] else orphans.keys()
    here = job["here"] + len(sightings)
    if len(noted) > platform.settings.most_orphans:
        return _stopped()
    if cursor:
        return {"noted": sorted(noted), "here": here, "cursor": cursor}
    # Somebody may be in every roster: the longest one says how many they are at least.
    changes = {"noted": sorted(noted), "here": 0, "longest": max(job["longest"], here), "cursor": None}
    if job["roster"] + 1 < len(rosters):
        return {**changes, "roster": job["roster"] + 1}
    if noted and not job["erasing"]:
        share = platform.settings.orphans_share * changes["longest"]
        if len(noted) > max(platform.settings.few_orphans, share):
            return _stopped()
        log.write(log.Event.ORPHANS_FOUND, count=len(noted))
        return {**changes, "roster": 0, "erasing": True}
    return jobs.Pause(_ANEW, platform.clock() + timedelta(hours=platform.settings.roll_call_hours))


def _stopped() -> dict[str, Any]:
    log.write(log.Event.JOB_STUCK, severity=logging.CRITICAL)
    return {**_ANEW, "state": "stuck", "nextRunAt": None}


def _orphans(platform: Platform[ErasureSettings], sightings: list[Sighting]) -> dict[Pseudonym, str]:
    """Who of them is to be erased and is not being erased already: account ids by their pseudonyms."""
    latest = platform.clock() - timedelta(hours=platform.settings.orphan_grace_hours)
    old = [sighting.uid for sighting in sightings if sighting.since <= latest]
    uids = [uid for uid in old if ACCOUNT_ID.fullmatch(uid)]
    if odd := len(old) - len(uids):
        # Nobody's by their names, and no path to delete by: staff must look.
        log.write(log.Event.ODD_NAMES, severity=logging.CRITICAL, count=odd)
    # Nobody of ours looks at an account that is there to be looked at by nobody.
    uids = [uid for uid in uids if not honey.is_honey(platform.pseudonyms, uid)]
    if not uids:
        return {}
    subjects = {platform.pseudonyms.of_uid(uid): uid for uid in uids}
    accounts = auth.get_users([auth.UidIdentifier(uid) for uid in uids], app=platform.app).users
    with_role = {account.uid for account in accounts if (account.custom_claims or {}).get("role")}
    with_account = {account.uid for account in accounts}
    profiles = fetch(platform.db, *(platform.db.collection("users").document(uid) for uid in uids))
    with_profile = {profile.id for profile in profiles if profile.exists}
    erased = {
        tombstone.id
        for db in (platform.db, platform.vault_db)
        for tombstone in fetch(db, *(tombstones.reference(db, subject) for subject in subjects))
        if tombstone.exists
    }
    under_way = {
        job.id
        for job in fetch(platform.db, *(erasure.reference(platform.db, subject) for subject in subjects))
        if job.exists and job.get("state") != "verified" and job.get("step") != erasure.HELD
    }
    sound = (with_account & with_profile) | with_role
    return {
        subject: uid
        for subject, uid in subjects.items()
        if subject not in under_way and (subject in erased or uid not in sound)
    }


def _rosters() -> Iterator[Roster]:
    """A way through every place where a person is named, from the data map: the account list, each top collection and
    each folder of objects that is divided by account id."""
    yield _accounts
    tops = {(entry.store, entry.where.partition("/{uid}")[0]): None for entry in DATA_MAP if "/{uid}" in entry.where}
    for store, top in tops:
        match store:
            case Store.STORAGE:
                yield _folders(f"{top}/")
            case Store.FIRESTORE | Store.VAULT:
                yield _collection(store, top)


def _accounts(platform: Platform[ErasureSettings], cursor: str | None) -> Page:
    page = auth.list_users(page_token=cursor, max_results=_PAGE, app=platform.app)
    sightings = [
        Sighting(user.uid, datetime.fromtimestamp((user.user_metadata.creation_timestamp or 0) / 1000, UTC))
        for user in page.users
    ]
    return sightings, page.next_page_token or None


def _collection(store: Store, name: str) -> Roster:
    def page(platform: Platform[ErasureSettings], cursor: str | None) -> Page:
        db = platform.db if store is Store.FIRESTORE else platform.vault_db
        # Missing documents too: somebody's data may hang below a profile that is gone.
        request = {
            "parent": f"{db._database_string}/documents",
            "collection_id": name,
            "page_size": _PAGE,
            "page_token": cursor or "",
            "show_missing": True,
            "mask": {"field_paths": ["createdAt"]},
        }
        answer = next(db._firestore_api.list_documents(request=request, metadata=db._rpc_metadata).pages)
        sightings = [
            Sighting(document.name.rpartition("/")[2], document.create_time or _AGES_AGO)
            for document in answer.documents
        ]
        return sightings, answer.next_page_token or None

    return page


def _folders(prefix: str) -> Roster:
    def page(platform: Platform[ErasureSettings], cursor: str | None) -> Page:
        # Old generations too: of a folder there may be nothing else left.
        listing = platform.bucket.list_blobs(
            prefix=prefix, delimiter="/", versions=True, page_token=cursor, max_results=_PAGE
        )
        # An object directly below is nobody's, and odd. The folder itself may be one: the console makes it.
        odd = [Sighting("", _AGES_AGO) for blob in next(listing.pages, ()) if blob.name != prefix]
        names = sorted(folder.removeprefix(prefix).rstrip("/") for folder in listing.prefixes)
        return [*(Sighting(name, _AGES_AGO) for name in names), *odd], listing.next_page_token

    return page
