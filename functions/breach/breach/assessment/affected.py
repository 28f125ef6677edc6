"""Affected people: a job counts them from the evidence, then lists them for the campaign.

    incidents/{id}/work/cohort          a job (see `jobs`): step, token, offset, counts; see `exposures` for the rest

    known    counts whom staff have said to be affected
    gather   goes through the audit log, and notes for each person which of their data was touched
    all      if somebody said that something of everybody's was touched, notes that for everybody
    sort     tells opened from sealed, which needs all of the evidence: a key may have been taken last
    count    freezes the numbers; that nobody is affected only where the evidence can show that
    enlist   once two people approved the notice: gives each person, with their own facts, to the campaign

Its reads follow the evidence and never the number of people: who is in no entry of the log is never looked at. Pages
are Atomic: a worker that is killed repeats a page or does not, and nobody is counted twice. A person who is erased
meanwhile takes their rows with them, and stays counted: whoever is neither affected nor sealed in the end is gone. To
count again is another round, in which everybody counts once more, and what is noted of anybody only grows.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from google.cloud import firestore

from astra import jobs, tlog
from astra.accounts import tombstones
from astra.accounts.honeytokens import is_honey
from astra.datamap.table import DATA_MAP
from astra.jobs import Atomic
from astra.notices import campaigns
from astra.runtime import log
from astra.runtime.cursors import cut
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.settings import Settings
from astra.runtime.task_queue import Queue

from breach import incidents, texts
from breach.assessment.evidence import Findings, Trail
from breach.assessment.exposures import Notes
from breach.incidents import Cohort, State
from breach.settings import AssessmentSettings

_MAX_PEOPLE_A_PAGE: Final = 200
_KEYS: Final = frozenset({"object-keys", "user-key"})
_SEALED_BY: Final = {entry.name: _KEYS & set(entry.opened_by) for entry in DATA_MAP if _KEYS & set(entry.opened_by)}
"""What is noise without a key, and with which keys it is not."""

_BEGINNING: Final[dict[str, Any]] = {
    "token": "",
    "offset": 0,
    "counts": {},
    "affected": {},
    "sealed": {},
    "exposed": [],
}

Changes = dict[str, Any]
Snapshots = list["firestore.DocumentSnapshot[Any]"]


def opened(now: datetime, *, known: bool) -> dict[str, Any]:
    """The job's fields at its beginning. `known`: whether staff know somebody to be affected."""
    return jobs.opened(now, round=1, step=_first(known=known), **_BEGINNING)


def reopened(now: datetime, *, known: bool) -> dict[str, Any]:
    """The changes that have it counted again."""
    return {**_BEGINNING, **jobs.revived(now), "step": _first(known=known), "round": firestore.Increment(1)}


def _first(*, known: bool) -> str:
    return "known" if known else "gather"


def hint(platform: Platform[Settings], name: str) -> None:
    """Have an incident's cohort worked on. Where the hint is lost, `work_again` finds the job."""
    Queue(platform, "assess").hint(name)


def resumed(now: datetime) -> dict[str, Any]:
    """The changes that let the job go on once the notice is approved."""
    return {**jobs.revived(now), "step": "enlist"}


def work(platform: Platform[AssessmentSettings], queue: Queue, name: str, budget: timedelta) -> None:
    """Work on an incident's cohort, until that has ended or waits, or `budget` is used up."""
    try:
        texts.refuse_changed(platform.db, name)
    except campaigns.Changed as error:
        log.failure(log.Event.FAILED, error)  # it stays due: `tick` asks again, until what was approved is deployed
        return
    worker = jobs.Worker(platform.db, platform.clock, platform.settings.retry_delay)
    again = worker.run(incidents.cohort_job(platform.db, name), Gathering(platform, name).page, budget)
    if again is not None:
        queue.hint(name, again)


def work_again(platform: Platform[Settings], queue: Queue) -> None:
    """Hand what was lost back to the queue."""
    for incident in incidents.open_ones(platform.db):
        job = incidents.cohort_job(platform.db, incident.id).get(["nextRunAt"]).to_dict() or {}
        if job.get("nextRunAt") is not None and job["nextRunAt"] <= platform.clock():
            queue.hint(incident.id)


class Gathering:
    """One incident's pages."""

    def __init__(self, platform: Platform[AssessmentSettings], name: str) -> None:
        self._platform, self._db, self._name = platform, platform.db, name
        self._incident = incidents.reference(platform.db, name)
        self._notes = Notes(platform, name)
        self._trail: Trail | None = None
        self._read: tuple[str, tuple[Findings, str]] | None = None
        self._steps: dict[str, Callable[[dict[str, Any]], Changes | Atomic]] = {
            "known": self._known,
            "gather": self._gather,
            "all": self._all,
            "sort": self._sort,
            "count": self._count,
            "enlist": self._enlist,
            "start": self._start,
        }

    def page(self, job: dict[str, Any]) -> Changes | Atomic:
        """One bounded piece of work."""
        return self._steps[job["step"]](job)

    def _known(self, job: dict[str, Any]) -> Changes | Atomic:
        """Whom staff know to be affected, though no evidence names them."""
        people = self._notes.known(job["round"], _MAX_PEOPLE_A_PAGE)
        if not people:
            return {"step": "gather"}

        def write(transaction: firestore.Transaction, read: Snapshots) -> Changes:
            return {"counts": dict(self._notes.count_known(transaction, job, people, read))}

        return Atomic(write, tuple(reference for uid, _ in people for reference in self._notes.of(uid)))

    def _gather(self, job: dict[str, Any]) -> Atomic:
        found, following = self._evidence(job["token"])
        people = sorted(found.touched)
        page = people[job["offset"] : job["offset"] + _MAX_PEOPLE_A_PAGE]
        whole = job["offset"] + _MAX_PEOPLE_A_PAGE >= len(people)
        reads = [reference for uid in page for reference in self._notes.of(uid)]

        def write(transaction: firestore.Transaction, read: Snapshots) -> Changes:
            counts = self._notes.note(transaction, job, [(uid, found.touched[uid]) for uid in page], read)
            if not whole:
                return {"counts": dict(counts), "offset": job["offset"] + _MAX_PEOPLE_A_PAGE}
            counts.update(unnamed=found.unnamed, unnamedKeys=found.unnamed_keys, decrypts=found.decrypts)
            counts.update(blind=found.blind, seen=found.seen)
            ended = {} if following else {"step": "all"}
            return {"counts": dict(counts), "offset": 0, "token": following, **ended}

        return Atomic(write, tuple(reads))

    def _all(self, job: dict[str, Any]) -> Atomic:
        """Everybody who was there, if something of everybody's was touched; a page ends where `token` says."""
        incident = self._incident.get().to_dict() or {}
        profiles: dict[str, firestore.DocumentSnapshot[Any]] = {}
        if touched := Counter(incident.get("everybodys") or ()):
            users = self._db.collection("users")
            query = users.order_by("__name__").select(["createdAt"]).limit(_MAX_PEOPLE_A_PAGE + 1)
            if job["token"]:
                start = firestore.FieldFilter("__name__", ">=", users.document(job["token"]))
                query = query.where(filter=start)
            profiles = {profile.id: profile for profile in query.get()}
        most, cursor = cut(list(profiles), _MAX_PEOPLE_A_PAGE)
        names, until = self._platform.pseudonyms, incident["occurredUntil"]
        page = [
            uid for uid in list(profiles)[:most] if profiles[uid].get("createdAt") <= until and not is_honey(names, uid)
        ]

        def write(transaction: firestore.Transaction, read: Snapshots) -> Changes:
            counts = self._notes.note(transaction, job, [(uid, touched) for uid in page], read)
            if cursor is not None:
                return {"counts": dict(counts), "token": cursor}
            transaction.update(self._incident, {"cohort": Cohort.SORTING.value})
            return {"counts": dict(counts), "token": "", "step": "sort"}

        return Atomic(write, tuple(reference for uid in page for reference in self._notes.of(uid)))

    def _evidence(self, token: str) -> tuple[Findings, str]:
        """A page of the log, which is asked for once though its people take several pages of work."""
        if self._trail is None:
            self._trail = Trail(self._platform, self._incident.get().to_dict() or {})
        if self._read is None or self._read[0] != token:
            self._read = (token, self._trail.page(token))
        return self._read[1]

    def _rows(self, field: str) -> list[firestore.DocumentReference]:
        """Rows that have something still to be done with them."""
        todo = firestore.FieldFilter(field, "==", self._name)
        query = self._db.collection_group(incidents.EXPOSURES).where(filter=todo).select([]).limit(_MAX_PEOPLE_A_PAGE)
        return [row.reference for row in query.get()]

    def _sort(self, job: dict[str, Any]) -> Changes | Atomic:
        rows = self._rows("sorting")
        if not rows:
            return {"step": "count"}

        def write(transaction: firestore.Transaction, read: Snapshots) -> Changes:
            incident: dict[str, Any] = read[0].to_dict() or {}
            affected, sealed, exposed = Counter(job["affected"]), Counter(job["sealed"]), set(job["exposed"])
            counts = Counter(job["counts"])
            with_keys = bool(incident["keysExposed"] or counts["decrypts"])
            # Of a listing of keys nobody knows whose were in it: then it is everybody's.
            all_keys = bool(incident["keysExposed"] or counts["unnamedKeys"])
            for row in read[1:]:
                if not row.exists:
                    continue  # erased meanwhile
                taken, said = set(row.get("entries")), {*((row.to_dict() or {}).get("said") or ())}
                keys = (_KEYS if all_keys else taken) if with_keys else frozenset()
                shut = {name for name in taken if name in _SEALED_BY and not _SEALED_BY[name] & keys} - said
                open_ = sorted(taken - shut - _KEYS)
                if incident["credentialsExposed"]:
                    open_ = sorted({*open_, "account"})
                exposed |= set(open_)
                (affected if open_ else sealed)[row.get("jurisdiction")] += 1
                told = {"enlisting": self._name} if open_ else {}
                changes = {"opened": open_, "sealed": sorted(shut), "sorting": firestore.DELETE_FIELD}
                transaction.update(row.reference, changes | told)
            return {"affected": dict(affected), "sealed": dict(sealed), "exposed": sorted(exposed)}

        return Atomic(write, (self._incident, *rows))

    def _count(self, job: dict[str, Any]) -> Atomic:
        """Who is affected is known, and changes only if somebody has it counted again. That it is nobody is known only
        where nothing speaks for more (see `texts.doubts`): or else it stays not known. Whoever is found only now
        must be told, though the incident was closed meanwhile: then it is open again, and staff are called."""

        known = self._notes.all_known()

        def write(transaction: firestore.Transaction, read: Snapshots) -> Changes:
            incident: dict[str, Any] = read[0].to_dict() or {}
            now, counts = self._platform.clock(), Counter(job["counts"])
            counts["people"] += known - counts["known"]  # whom staff knew of, and who is erased since
            affected, sealed = sum(job["affected"].values()), sum(job["sealed"].values())
            numbers = {name: counts[name] for name in ("people", "records", "unnamed")}
            numbers |= {"sealed": sealed, "gone": counts["people"] - affected - sealed}
            if counts["blind"] or not counts["seen"]:
                numbers["blind" if counts["blind"] else "unseen"] = 1
            found = {"affected": job["affected"], "exposed": job["exposed"], "numbers": numbers, "countedAt": now}
            doubts = texts.doubts(incident | found)
            who = found["affected"] = None if doubts and not affected else job["affected"]
            record = {"incident": self._name, "affected": who, **numbers}
            if who != {} and incident["state"] == State.CLOSED:
                found |= {"state": State.CONFIRMED.value, "closedAt": None, "reopened": incident.get("reopened", 0) + 1}
                found |= incidents.alerted(incident, {"of": "case"})
                record["reopened"] = True
            transaction.update(self._incident, {**found, "cohort": Cohort.FROZEN.value})
            tlog.append(transaction, self._db, tlog.Entry(tlog.Action.INCIDENT_COUNTED, record, now))
            return {"state": "counted", "nextRunAt": None}

        log.write(log.Event.INCIDENT_MOVED, incident=Pseudonym(self._name), people=job["counts"].get("people", 0))
        return Atomic(write, (self._incident,))

    def _enlist(self, job: dict[str, Any]) -> Changes | Atomic:
        rows = self._rows("enlisting")
        if not rows:
            return {"step": "start"}
        people = [row.path.split("/")[1] for row in rows]
        stones = [tombstones.reference(self._db, self._platform.pseudonyms.of_uid(uid)) for uid in people]

        def write(transaction: firestore.Transaction, read: Snapshots) -> Changes:
            counts = Counter(job["counts"])
            for uid, row, stone in zip(people, read[: len(rows)], read[len(rows) :], strict=True):
                if row.exists:
                    transaction.update(row.reference, {"enlisting": firestore.DELETE_FIELD})
                if row.exists and not stone.exists:
                    facts = {"elements": texts.elements(row.get("opened"))}
                    campaigns.enlist(transaction, self._platform, uid, texts.campaign_of(self._name), facts)
                    counts["enlisted"] += 1
            return {"counts": dict(counts)}

        return Atomic(write, (*rows, *stones))

    def _start(self, _job: dict[str, Any]) -> Changes:
        """Close the list, and the campaign begins. Again, nothing happens."""
        campaigns.freeze(self._db, texts.campaign_of(self._name), self._platform.clock())
        self._incident.update({"cohort": Cohort.TELLING.value})
        return {"state": "told", "nextRunAt": None}
