"""Roll call: finds data whose account is gone, and data of people who were erased, and has it erased.

No function learns that an account was deleted in the console or in bulk, that an account's creation broke off, or that
a backup was restored. So a round goes through every place of the data map that names an account, a page at a time:

    data, objects or keys without an account    an orphan: deleted in the console, or never was an account
    anything of somebody who has a tombstone    a backup was restored, or something was written after all

An account without a profile is counted and left alone: Auth knows it, so it is no orphan.

Invariants:
1. Nothing happens unless the roll call is switched on; see `astra.roll_call`. A dry run writes its report alone.
2. An orphan is denied by both of Auth's views in every round: no listing names it (`list_users`, to the end), and no
   look-up finds it (`get_users`). If the two disagree about anybody, or one look-up with another, the round stops and
   calls staff: an Auth that answers wrongly must not empty the service.
3. An orphan is denied in one round, and again after `orphan_confirm_hours`: only then is its profile frozen, which can
   be undone. It is erased, and its key destroyed, only after `orphan_frozen_days` more of rounds that deny it.
   A round that finds its account again, or that runs while the roll call is off, gives the profile back.
4. A round that finds more people than the limits allow acts on none of them and calls staff. No number is exempt.
5. A round looks everywhere before it acts anywhere, and asks Auth again about each person before it acts.

Rounds are one job, `rounds/roll-call`: they survive their worker and go on where they were. It knows people by their
pseudonyms alone.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from firebase_admin import auth
from google.cloud import firestore

from astra import doors, erasure, honey, jobs, log, presence, roll_call, tlog, tombstones
from astra.clock import iso
from astra.datamap import DATA_MAP
from astra.documents import fetch
from astra.entries import ACCOUNT_ID, Store
from astra.platform import Platform
from astra.pseudonyms import Pseudonym
from astra.roll_call import Stop
from astra.settings import ErasureSettings
from astra.transactions import transact

_PAGE: Final = 100
"""As many accounts as Auth looks up at once."""
_MAX_REPORTED: Final = 1_000
"""Orphans that a dry run remembers; of more it says only that there are more."""
_AGES_AGO: Final = datetime.fromtimestamp(0, UTC)
_RETRY_DELAY: Final = timedelta(minutes=5)
_FREEZE: Final = "freeze"
_ERASE: Final = "erase"
_ERASE_AGAIN: Final = "erase-again"
_GIVE_BACK: Final = "give-back"

Changes = dict[str, Any]


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
    page: Callable[[Platform[ErasureSettings], str | None], Page]


_ACCOUNTS: Final = "accounts"


class _Stopped(Exception):
    """The round must not go on."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.value)
        self.stop = stop


def call_the_roll(platform: Platform[ErasureSettings], budget: timedelta, ahead: timedelta = timedelta(0)) -> None:
    """Go on with the dry run that staff asked for, then with the round under way, or begin one if it is time.

    `ahead`, in the emulators, lets a drill call the roll as if it were so much later.
    """
    db = platform.db

    def now() -> datetime:
        return platform.clock() + ahead

    worker = jobs.Worker(db, now, _RETRY_DELAY)
    dry_run, job = fetch(db, roll_call.dry_run(db), roll_call.job(db))
    if dry_run.exists:
        worker.run(dry_run.reference, _Round(platform, now, dry=True).page, budget)
    is_on = roll_call.is_on(db)
    if is_on and not job.exists:
        job.reference.set(jobs.opened(now(), **roll_call.begun(), suspects={}, stopped=None))
    # Switched off, it goes on until it has given back what it froze.
    if is_on or (job.to_dict() or {}).get("suspects"):
        worker.run(job.reference, _Round(platform, now, dry=False).page, budget)


@dataclass(frozen=True)
class _People:
    """What is known of the people that a page names, by their pseudonyms."""

    uids: dict[Pseudonym, str]
    sightings: dict[Pseudonym, Sighting]
    with_account: set[Pseudonym]
    erased: set[Pseudonym]
    """They have a tombstone."""
    under_way: set[Pseudonym]
    """They are being erased already."""
    odd: int
    """Names that no account can have."""


class _Round:
    """The pages of a round. A `dry` one looks, writes its report and ends."""

    def __init__(self, platform: Platform[ErasureSettings], now: Callable[[], datetime], *, dry: bool) -> None:
        self._platform = platform
        self._now = now
        self._dry = dry
        self._rosters = list(_rosters())

    def page(self, job: dict[str, Any]) -> Changes | jobs.Pause:
        """One page of one roster."""
        roster = self._rosters[job["roster"]]
        sightings, cursor = roster.page(self._platform, job["cursor"])
        people, is_on = self._people(sightings), not self._dry and roll_call.is_on(self._platform.db)
        changes: Changes = {"cursor": cursor, "beganAt": job["beganAt"] or self._now(), "stopped": None}
        try:
            if job["phase"] == "act":
                changes |= self._act(job, people, is_on=is_on)
            else:
                changes |= {"here": job["here"] + len(sightings)}
                changes |= self._look(job, roster.place, people, is_on=is_on)
            if cursor is not None:
                return changes
            here = changes.get("here", 0)
            # One account may be in every roster: the longest says how many there are at least.
            changes |= {"roster": job["roster"] + 1, "here": 0, "longest": max(job["longest"], here)}
            if roster.place == _ACCOUNTS:
                changes |= {"accounts": here}
            if changes["roster"] == len(self._rosters):
                return self._ended({**job, **changes}, changes, is_on=is_on)
        except _Stopped as stopped:
            log.write(log.Event.ROLL_CALL_STOPPED, severity=logging.CRITICAL, stopped=stopped.stop)
            # Whatever is frozen stays so until staff let the round begin again.
            return {**roll_call.begun(), **jobs.STOPPED, "stopped": stopped.stop.value}
        return changes

    def _people(self, sightings: list[Sighting]) -> _People:
        """Look everybody up whom a page names. Honey accounts are skipped: our own jobs must not touch them."""
        platform, names = self._platform, self._platform.pseudonyms
        by_uid = {one.uid: one for one in sightings if ACCOUNT_ID.fullmatch(one.uid)}
        odd = sum(not ACCOUNT_ID.fullmatch(one.uid) for one in sightings)
        uids = {names.of_uid(uid): uid for uid in by_uid if not honey.is_honey(names, uid)}
        if not uids:
            return _People({}, {}, set(), set(), set(), odd)
        accounts = auth.get_users([auth.UidIdentifier(uid) for uid in uids.values()], app=platform.app).users
        erased = {
            stone.id
            for db in (platform.db, platform.vault_db)
            for stone in fetch(db, *(tombstones.reference(db, subject) for subject in uids))
            if stone.exists
        }
        under_way = {
            job.id
            for job in fetch(platform.db, *(erasure.reference(platform.db, subject) for subject in uids))
            if job.exists and job.get("state") != "verified" and job.get("step") != erasure.HELD
        }
        return _People(
            uids,
            {subject: by_uid[uid] for subject, uid in uids.items()},
            {names.of_uid(account.uid) for account in accounts},
            {subject for subject in uids if subject in erased},
            {subject for subject in uids if subject in under_way},
            odd,
        )

    def _look(self, job: dict[str, Any], place: str, people: _People, *, is_on: bool) -> Changes:
        """Note who is an orphan, who came back from a backup, and where Auth contradicts itself."""
        if people.odd:
            # No account's by their names, and no path to delete by: staff must look.
            log.write(log.Event.ODD_NAMES, severity=logging.CRITICAL, count=people.odd)
        seen, restored, is_listed = dict(job["seen"]), set(job["restored"]), place == _ACCOUNTS
        # Whoever is being erased, or was, may be denied by one view earlier than by the other.
        ending = people.under_way | people.erased
        denied = people.uids.keys() - people.with_account - ending
        contradictions = len(seen.keys() & (people.uids.keys() if is_listed else people.with_account))
        contradictions += len(denied - seen.keys()) if is_listed else 0
        latest = self._now() - timedelta(hours=self._platform.settings.orphan_grace_hours)
        orphans = set() if is_listed else denied
        for subject in sorted(orphans | (people.erased - people.under_way)):
            if subject not in seen.keys() | restored and people.sightings[subject].since() > latest:
                continue
            if subject in people.erased:
                restored.add(subject)
            else:
                seen[subject] = sorted({*seen.get(subject, ()), place})
        frozen = {subject for subject, suspect in (job.get("suspects") or {}).items() if suspect["frozenAt"]}
        back = dict.fromkeys((people.with_account - ending) & frozen, _GIVE_BACK)
        most = self._platform.settings.most_orphans if is_on else _MAX_REPORTED
        more = max(0, len(seen) - most) + max(0, len(restored) - most)
        if is_on and contradictions:
            raise _Stopped(Stop.CONTRADICTION)
        if is_on and more:
            raise _Stopped(Stop.TOO_MANY)
        return {
            "seen": dict(sorted(seen.items())[:most]),
            "restored": sorted(restored)[:most],
            "plan": job["plan"] | back,
            "contradictions": job["contradictions"] + contradictions,
            "odd": job["odd"] + people.odd,
            "withoutProfile": job["withoutProfile"] + self._without_profile(place, people),
            "more": job["more"] + more,
        }

    def _without_profile(self, place: str, people: _People) -> int:
        """How many accounts of a page have no profile. A dry run alone says so: nothing follows from it."""
        if not self._dry or place != _ACCOUNTS:
            return 0
        users = self._platform.db.collection("users")
        return sum(
            not profile.exists for profile in fetch(self._platform.db, *map(users.document, people.uids.values()))
        )

    def _ended(self, job: dict[str, Any], changes: Changes, *, is_on: bool) -> Changes | jobs.Pause:
        """What follows when the last roster was gone through."""
        if self._dry:
            return self._reported(job)
        suspects: Changes = job["suspects"]
        if job["phase"] == "look":
            plan = self._planned(job) if is_on else _all_back(suspects)
            suspects = self._suspects(job, plan, is_on=is_on)
            if plan:
                return {**changes, "phase": "act", "roster": 0, "plan": plan, "suspects": suspects}
        else:
            # Everything was gone through: whoever was not met has nothing left to give back.
            back = {subject for subject, what in job["plan"].items() if what == _GIVE_BACK}
            suspects = {subject: suspect for subject, suspect in suspects.items() if subject not in back}
        rest = timedelta(hours=self._platform.settings.roll_call_hours)
        return jobs.Pause({**roll_call.begun(), "suspects": suspects, "stopped": None}, self._now() + rest)

    def _suspects(self, job: dict[str, Any], plan: dict[str, str], *, is_on: bool) -> Changes:
        """Since when each of this round's orphans has been denied without a break, and since when it is frozen; and
        whoever gets their profile back, until they have it."""
        before, now = job["suspects"], self._now()
        back = {subject: before[subject] for subject, what in plan.items() if what == _GIVE_BACK}
        new = {"seenAt": now, "frozenAt": None}
        return back | ({subject: before.get(subject, new) for subject in job["seen"]} if is_on else {})

    def _planned(self, job: dict[str, Any]) -> dict[str, str]:
        """What to do with whom, everybody having been looked for everywhere."""
        if not self._is_within_limits(job):
            raise _Stopped(Stop.TOO_MANY)
        plan: dict[str, str] = {**job["plan"], **dict.fromkeys(job["restored"], _ERASE_AGAIN)}
        settings, began = self._platform.settings, job["beganAt"]
        for subject in job["seen"].keys() & job["suspects"].keys():
            suspect = job["suspects"][subject]
            if not suspect["frozenAt"]:
                if began - suspect["seenAt"] >= timedelta(hours=settings.orphan_confirm_hours):
                    plan[subject] = _FREEZE
            elif began - suspect["frozenAt"] >= timedelta(days=settings.orphan_frozen_days):
                plan[subject] = _ERASE
        if found := len(job["seen"]) + len(job["restored"]):
            log.write(log.Event.ORPHANS_FOUND, count=found)
        return plan

    def _is_within_limits(self, job: dict[str, Any]) -> bool:
        found, settings = len(job["seen"]) + len(job["restored"]) + job["more"], self._platform.settings
        return bool(found <= min(settings.most_orphans, settings.orphans_share * job["longest"]))

    def _act(self, job: dict[str, Any], people: _People, *, is_on: bool) -> Changes:
        """Do what is planned with the people whom a page names. Harmless to repeat."""
        suspects = dict(job["suspects"])
        for subject in people.uids.keys() & job["plan"].keys():
            uid, what, is_known = people.uids[subject], job["plan"][subject], subject in people.with_account
            if what == _GIVE_BACK:
                if is_known or not is_on:
                    self._give_back(uid, subject)
            elif not is_on or subject in people.under_way:
                continue
            elif what == _ERASE_AGAIN:
                if subject in people.erased:
                    erasure.begin_again(self._platform, uid, self._platform.clock())
            elif is_known:
                raise _Stopped(Stop.CONTRADICTION)
            elif what == _FREEZE:
                self._freeze(uid, subject)
                suspects[subject] = {**suspects[subject], "frozenAt": suspects[subject]["frozenAt"] or self._now()}
            else:
                erasure.begin_again(self._platform, uid, self._platform.clock())
        return {"suspects": suspects}

    def _freeze(self, uid: str, subject: Pseudonym) -> None:
        """Close an orphan's profile, if there is one and it is open. What has no profile nobody can reach."""
        db, now = self._platform.db, self._platform.clock()

        def body(transaction: firestore.Transaction) -> None:
            profile = db.collection("users").document(uid).get(transaction=transaction)
            if (profile.to_dict() or {}).get("state") == doors.ACTIVE:
                transaction.update(profile.reference, {"state": doors.FROZEN})
                tlog.append(transaction, db, tlog.Entry(tlog.Action.ORPHAN_FROZEN, {}, now, subject))

        transact(db, body)

    def _give_back(self, uid: str, subject: Pseudonym) -> None:
        """Open a profile again that a round had frozen, unless a child's removal or a breach holds it too."""
        db, now = self._platform.db, self._platform.clock()
        places = [db.document(name, uid) for name in ("users", doors.REMOVALS, doors.SUSPENSIONS)]

        def body(transaction: firestore.Transaction) -> bool:
            profile, removal, suspension = fetch(db, *places, transaction=transaction)
            fields = profile.to_dict() or {}
            if fields.get("state") != doors.FROZEN or doors.removes(removal) or doors.suspends(suspension):
                return False
            transaction.update(profile.reference, presence.thawed(fields, now))
            tlog.append(transaction, db, tlog.Entry(tlog.Action.ORPHAN_GIVEN_BACK, {}, now, subject))
            return True

        if transact(db, body):
            # Their account was missing for more than a day: staff must find out why.
            log.write(log.Event.ORPHAN_RETURNED, severity=logging.CRITICAL)

    def _reported(self, job: dict[str, Any]) -> Changes:
        """Store what a dry run has found. Ends the job."""
        db = self._platform.db
        found = {
            "at": iso(self._now()),
            "accounts": job["accounts"],
            "withoutProfile": job["withoutProfile"],
            "orphans": [{"subject": subject, "places": places} for subject, places in sorted(job["seen"].items())],
            "more": job["more"],
            "restored": job["restored"],
            "contradictions": job["contradictions"],
            "oddNames": job["odd"],
            "withinLimits": self._is_within_limits(job),
        }
        roll_call.report(db).set(roll_call.sealed(found))
        return {**roll_call.begun(), "state": roll_call.REPORTED, "nextRunAt": None}


def _all_back(suspects: dict[str, Any]) -> dict[str, str]:
    """The plan of a round that runs while the roll call is off: give back what is frozen."""
    return {subject: _GIVE_BACK for subject, suspect in suspects.items() if suspect["frozenAt"]}


def _rosters() -> Iterator[Roster]:
    """A way through every place where an account is named, from the data map: each top collection, each folder of
    objects that is divided by account id and, last, the account list, which must name none of the orphans."""
    tops = {(entry.store, entry.where.partition("/{uid}")[0]): None for entry in DATA_MAP if "/{uid}" in entry.where}
    for store, top in tops:
        match store:
            case Store.STORAGE:
                yield Roster(top, _folders(f"{top}/"))
            case Store.FIRESTORE | Store.VAULT:
                yield Roster(top, _collection(store, top))
    yield Roster(_ACCOUNTS, _accounts)


def _accounts(platform: Platform[ErasureSettings], cursor: str | None) -> Page:
    page = auth.list_users(page_token=cursor, max_results=_PAGE, app=platform.app)
    sightings = [Sighting(user.uid, _at(_created(user))) for user in page.users]
    return sightings, page.next_page_token or None


def _created(user: auth.ExportedUserRecord) -> datetime:
    return datetime.fromtimestamp((user.user_metadata.creation_timestamp or 0) / 1000, UTC)


def _at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


def _collection(store: Store, name: str) -> Callable[[Platform[ErasureSettings], str | None], Page]:
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
            Sighting(document.name.rpartition("/")[2], _at(document.create_time or _AGES_AGO))
            for document in answer.documents
        ]
        return sightings, answer.next_page_token or None

    return page


def _folders(prefix: str) -> Callable[[Platform[ErasureSettings], str | None], Page]:
    def page(platform: Platform[ErasureSettings], cursor: str | None) -> Page:
        # Old generations too: of a folder there may be nothing else left.
        listing = platform.bucket.list_blobs(
            prefix=prefix, delimiter="/", versions=True, page_token=cursor, max_results=_PAGE
        )
        # An object directly below is nobody's, and odd. The folder itself may be one: the console makes it.
        odd = [Sighting("", _at(_AGES_AGO)) for blob in next(listing.pages, ()) if blob.name != prefix]
        folders = sorted(listing.prefixes)
        named = [Sighting(folder.removeprefix(prefix).rstrip("/"), _first(platform, folder)) for folder in folders]
        return [*named, *odd], listing.next_page_token

    return page


def _first(platform: Platform[ErasureSettings], folder: str) -> Callable[[], datetime]:
    """When some object of a folder was made: a folder has no date of its own."""

    def since() -> datetime:
        objects = list(platform.bucket.list_blobs(prefix=folder, versions=True, max_results=1))
        return objects[0].time_created or _AGES_AGO if objects else _AGES_AGO

    return since
