"""Rosters: paged listings of every store that names accounts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from firebase_admin import auth

from astra import erasure
from astra.accounts import honeytokens, tombstones
from astra.datamap.model import Store
from astra.datamap.table import DATA_MAP
from astra.runtime.account_id import is_account_id
from astra.runtime.documents import fetch
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym

from erasure.settings import RollCallSettings

MAX_PAGE_ACCOUNTS: Final = 100
"""As many accounts as Auth looks up at once."""
ACCOUNTS: Final = "accounts"
"""The place of the account list."""
_AGES_AGO: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Sighting:
    """An account id that was seen in a store."""

    uid: str
    since: Callable[[], datetime]
    """Since when it has been there. May cost a request: asked of few."""


Page = tuple[list[Sighting], str | None]
"""Who is there, and where the next page begins; None after the last."""


@dataclass(frozen=True)
class Roster:
    """A way through one place that names accounts."""

    place: str
    page: Callable[[Platform[RollCallSettings], str | None], Page]


@dataclass(frozen=True)
class People:
    """What is known of the people that a page names, by their pseudonyms."""

    uids: dict[Pseudonym, str]
    sightings: dict[Pseudonym, Sighting]
    with_account: set[Pseudonym]
    erased: set[Pseudonym]
    """They have a tombstone."""
    under_way: set[Pseudonym]
    """They are being erased already."""
    waiting: set[Pseudonym]
    """Their erasure has done all it may, and waits for a legal hold to end."""
    odd: int
    """Names that no account can have."""


def look_up(platform: Platform[RollCallSettings], sightings: list[Sighting]) -> People:
    """Look everybody up whom a page names. Honeytoken accounts are skipped: our own jobs must not touch them."""
    names = platform.pseudonyms
    by_uid = {one.uid: one for one in sightings if is_account_id(one.uid)}
    odd = sum(not is_account_id(one.uid) for one in sightings)
    uids = {names.of_uid(uid): uid for uid in by_uid if not honeytokens.is_honey(names, uid)}
    if not uids:
        return People({}, {}, set(), set(), set(), set(), odd)
    accounts = auth.get_users([auth.UidIdentifier(uid) for uid in uids.values()], app=platform.app).users
    erased = {
        stone.id
        for db in (platform.db, platform.vault_db)
        for stone in fetch(db, *(tombstones.reference(db, subject) for subject in uids))
        if stone.exists
    }
    begun = {
        job.id: job.get("step") == erasure.HELD
        for job in fetch(platform.db, *(erasure.reference(platform.db, subject) for subject in uids))
        if job.exists and job.get("state") != "verified"
    }
    return People(
        uids,
        {subject: by_uid[uid] for subject, uid in uids.items()},
        {names.of_uid(account.uid) for account in accounts},
        {subject for subject in uids if subject in erased},
        {subject for subject in uids if begun.get(subject) is False},
        {subject for subject in uids if begun.get(subject) is True},
        odd,
    )


def rosters() -> Iterator[Roster]:
    """A way through every place where an account is named, from the data map: each top collection, each folder of
    objects that is divided by account id and, last, the account list, which must name none of the orphans."""
    tops = {(entry.store, entry.where.partition("/{uid}")[0]): None for entry in DATA_MAP if "/{uid}" in entry.where}
    for store, top in tops:
        match store:
            case Store.STORAGE:
                yield Roster(top, _folders(f"{top}/"))
            case Store.FIRESTORE | Store.VAULT:
                yield Roster(top, _collection(store, top))
    yield Roster(ACCOUNTS, _accounts)


def _accounts(platform: Platform[RollCallSettings], cursor: str | None) -> Page:
    page = auth.list_users(page_token=cursor, max_results=MAX_PAGE_ACCOUNTS, app=platform.app)
    sightings = [Sighting(user.uid, _at(_created(user))) for user in page.users]
    return sightings, page.next_page_token or None


def _created(user: auth.ExportedUserRecord) -> datetime:
    return datetime.fromtimestamp((user.user_metadata.creation_timestamp or 0) / 1000, UTC)


def _at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


def _collection(store: Store, name: str) -> Callable[[Platform[RollCallSettings], str | None], Page]:
    def page(platform: Platform[RollCallSettings], cursor: str | None) -> Page:
        db = platform.db if store is Store.FIRESTORE else platform.vault_db
        # Missing documents too: somebody's data may hang below a profile that is gone.
        request = {
            "parent": f"{db._database_string}/documents",
            "collection_id": name,
            "page_size": MAX_PAGE_ACCOUNTS,
            "page_token": cursor or "",
            "show_missing": True,
            "mask": {"field_paths": ["createdAt"]},
        }
        answer = next(db._firestore_api.list_documents(request=request, metadata=db._rpc_metadata).pages)
        sightings = [
            Sighting(document.name.rpartition("/")[2], _at(document.create_time or _AGES_AGO))
            for document in answer.documents
        ]
        return sightings, answer.next_page_token or None

    return page


def _folders(prefix: str) -> Callable[[Platform[RollCallSettings], str | None], Page]:
    def page(platform: Platform[RollCallSettings], cursor: str | None) -> Page:
        # Old generations too: of a folder there may be nothing else left.
        listing = platform.bucket.list_blobs(
            prefix=prefix, delimiter="/", versions=True, page_token=cursor, max_results=MAX_PAGE_ACCOUNTS
        )
        # An object directly below is nobody's, and odd. The folder itself may be one: the console makes it.
        odd = [Sighting("", _at(_AGES_AGO)) for blob in next(listing.pages, ()) if blob.name != prefix]
        folders = sorted(listing.prefixes)
        named = [Sighting(folder.removeprefix(prefix).rstrip("/"), _first(platform, folder)) for folder in folders]
        return [*named, *odd], listing.next_page_token

    return page


def _first(platform: Platform[RollCallSettings], folder: str) -> Callable[[], datetime]:
    """When some object of a folder was made: a folder has no date of its own."""

    def since() -> datetime:
        objects = list(platform.bucket.list_blobs(prefix=folder, versions=True, max_results=1))
        return objects[0].time_created or _AGES_AGO if objects else _AGES_AGO

    return since
