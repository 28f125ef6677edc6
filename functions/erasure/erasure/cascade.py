"""The cascade: erases one data subject in all stores, page by page, by the data map.

Why it can't report what is not true: a count is added only after the store confirmed the deletes; a store that fails
raises, and the job repeats that page; the step after the last is not "done" but "verify", which reads every store anew
after the quiet period and reopens the cascade if anything is left that no legal hold keeps.
"""

import logging
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from firebase_admin import auth
from google.cloud import firestore

from astra import policies, tlog
from astra.accounts import tombstones
from astra.datamap.lookup import claimant, lives, name_of
from astra.datamap.model import Disposition, Entry, Store, Subject
from astra.datamap.table import DATA_MAP
from astra.erasure import FIRST, HELD, legal_holds
from astra.jobs import Atomic, Pause
from astra.runtime import log, rate_limits
from astra.runtime.documents import fetch
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym

from erasure import certificate as erasure_certificate
from erasure import objects, residual_copies, verifier
from erasure.documents import Trees
from erasure.replicate import Artefacts, Prediction
from erasure.settings import ErasureSettings

_PREDICTIONS_A_RUN: Final = 20
_MAX_REOPENINGS: Final = 10
_VERIFICATION_SLICE: Final = timedelta(minutes=1)
"""After this the verification makes a checkpoint: well within a worker's lease."""
_STORES: Final = (Store.REPLICATE, Store.STORAGE, Store.REDIS, Store.FIRESTORE, Store.VAULT, Store.AUTH)
_VERIFY: Final = "verify"
_STEPS: Final = (FIRST, *(store.value for store in _STORES), _VERIFY)
_FORGOTTEN: Final = ("uid", "email", "enrolledUntil", "step", "cursor", "counts", "files", "replicateUntil")

Changes = dict[str, Any]
Snapshots = list["firestore.DocumentSnapshot[Any]"]


class Cascade:
    """One erasure's pages. `page` takes the job's fields and answers what to change in them."""

    def __init__(self, platform: Platform[ErasureSettings], subject: Pseudonym) -> None:
        self._platform = platform
        self._subject = subject
        self._holds = legal_holds.reference(platform.db, subject)
        self._artefacts = Artefacts(platform.settings)
        self._trees: dict[Store, Trees] = {}
        self._held_now: dict[str, Any] | None = None
        self._steps: dict[str, Callable[[dict[str, Any]], Changes | Pause | Atomic]] = {
            FIRST: self._freeze,
            Store.REPLICATE: self._delete_artefacts,
            Store.STORAGE: self._delete_objects,
            Store.REDIS: self._delete_keys,
            Store.FIRESTORE: self._delete_documents,
            Store.VAULT: self._delete_wrapped_keys,
            Store.AUTH: self._delete_account,
            _VERIFY: self._verify,
            HELD: lambda _: {"step": FIRST},  # a hold has ended: what it kept goes the way of the rest
        }

    def page(self, job: dict[str, Any]) -> Changes | Pause | Atomic:
        """Do one bounded piece of work: of the current step, or of the next one that finds anything to delete."""
        changes: Changes = {}
        self._held_now = None
        while True:
            try:
                outcome = self._steps[job["step"]](job)
            except Exception:
                if not changes:
                    raise
                return changes  # the failure then is of its own step, which staff can see
            if not isinstance(outcome, dict):
                return _after(changes, outcome)
            changes |= outcome
            closed, went_on = job["step"] == FIRST, outcome.get("step", job["step"]) == job["step"]
            if closed or went_on or outcome.get("counts", job["counts"]) != job["counts"]:
                return changes
            # Nothing was deleted: to go on without a checkpoint repeats nothing but looking.
            job = {**job, **outcome}

    def _held(self) -> dict[str, Any]:
        """The entries that no page may delete from, asked anew for each page: a hold counts from when it is placed."""
        if self._held_now is None:
            self._held_now = legal_holds.held(self._holds.get(), self._platform.clock())
        return self._held_now

    def _entries(self, store: Store, held: Container[str]) -> list[Entry]:
        """What of the data map a step deletes."""
        return [
            entry
            for entry in DATA_MAP
            if entry.store is store and entry.disposition is Disposition.DELETE and entry.name not in held
        ]

    def _freeze(self, job: dict[str, Any]) -> Changes:
        """Close every door: no sign-in, no new token, no new key. Note what the person's data is found by."""
        uid, now = job["uid"], self._platform.clock()
        self._trees.clear()
        email, enrolled_until = None, job["createdAt"]
        try:
            # Disabled, and every token from before this second revoked, in one request.
            closed = {"disabled": True, "valid_since": int(now.timestamp())}
            email = auth.update_user(uid, app=self._platform.app, **closed).email
        except auth.UserNotFoundError:
            profile = self._platform.db.collection("users").document(uid).get(["email"]).to_dict()
            email = (profile or {}).get("email")
            # Without an account the address was free before anybody asked: what is still of use may be somebody else's.
            enrolled_until -= lives("enrolments")
        keys = self._platform.vault_db.batch()
        tombstones.bury(keys, self._platform.vault_db, self._subject, now)
        keys.commit()
        rate_limits.close(self._platform.redis, uid)
        found_by = self._platform.pseudonyms.of_email(email) if email else job.get("email")
        return {
            "step": _STEPS[1],
            "cursor": None,
            "email": found_by,
            "enrolledUntil": job.get("enrolledUntil", enrolled_until),
        }

    def _went_on(self, job: dict[str, Any], deleted: "Counter[str]", cursor: object) -> Changes:
        """The next page of this step begins at `cursor`."""
        return {"counts": dict(Counter(job["counts"]) + deleted), "cursor": cursor}

    def _ended(self, job: dict[str, Any], deleted: "Counter[str]", **noted: Any) -> Changes:
        """The next step begins."""
        number = _STEPS.index(job["step"])
        log.write(log.Event.ERASURE_STEP, job=self._subject, step=number)
        return {**noted, **self._went_on(job, deleted, None), "step": _STEPS[number + 1]}

    def _delete_artefacts(self, job: dict[str, Any]) -> Changes:
        """Stop what Replicate computes and delete what it was given. What it made goes by itself: note when.

        Of what is held, the names alone are noted: the verifier asks for it by them.
        """
        doomed = bool(self._entries(Store.REPLICATE, self._held()))
        records = self._platform.db.collection("users", job["uid"], "predictions").order_by("__name__")
        if job["cursor"]:
            records = records.start_after({"__name__": job["cursor"]})
        page = records.limit(_PREDICTIONS_A_RUN).get()
        files, until = set(job.get("files", [])), job.get("replicateUntil")
        deleted: Counter[str] = Counter()
        for record in page:
            prediction = Prediction.of(record)
            if doomed:
                deleted["replicate-artefacts"] += self._artefacts.delete(prediction)
            files |= set(prediction.files)
            until = max(prediction.gone_by, until or prediction.gone_by)
        noted = {"files": sorted(files), "replicateUntil": until} if page else {}
        if len(page) < _PREDICTIONS_A_RUN:
            return self._ended(job, +deleted, **noted)
        return {**noted, **self._went_on(job, +deleted, page[-1].id)}

    def _delete_objects(self, job: dict[str, Any]) -> Changes:
        person, entries = person_of(job, self._subject), self._entries(Store.STORAGE, self._held())
        deleted, more = objects.delete_page(self._platform.bucket, person, entries)
        return self._went_on(job, deleted, None) if more else self._ended(job, deleted)

    def _delete_keys(self, job: dict[str, Any]) -> Changes:
        index, redis = rate_limits.index_of(job["uid"]), self._platform.redis
        names = {entry.name for entry in self._entries(Store.REDIS, self._held())}
        deleted: Counter[str] = Counter()
        for key in sorted(str(key) for key in redis.smembers(index)):
            name = name_of(Store.REDIS, key)
            if name in names or claimant(Store.REDIS, key) is None:
                deleted[name] += redis.unlink(key)
                redis.srem(index, key)
        return self._ended(job, deleted)

    def _delete_documents(self, job: dict[str, Any]) -> Atomic:
        """A page of documents, together with its checkpoint."""
        trees = self._trees_of(Store.FIRESTORE, self._platform.db, job)
        page = trees.page(job["cursor"])

        def write(batch: firestore.WriteBatch, read: Snapshots) -> Changes:
            held = self._with_keys(job, legal_holds.held(read[0], self._platform.clock()))
            deleted = trees.delete(batch, page, read[1:], held)
            return self._went_on(job, deleted, page.cursor) if page.cursor else self._ended(job, deleted)

        return Atomic(write, (self._holds, *page.roots), rare=not page.roots)

    def _delete_wrapped_keys(self, job: dict[str, Any]) -> Changes:
        """A page of the other database, where the job is not: a crash before the checkpoint repeats it."""
        db = self._platform.vault_db
        trees = self._trees_of(Store.VAULT, db, job)
        page, batch = trees.page(job["cursor"]), db.batch()
        held = self._with_keys(job, self._held())
        deleted = trees.delete(batch, page, fetch(db, *page.roots), held)
        if deleted:
            batch.commit()
        return self._went_on(job, deleted, page.cursor) if page.cursor else self._ended(job, deleted)

    def _trees_of(self, store: Store, db: firestore.Client, job: dict[str, Any]) -> Trees:
        # Kept from page to page: it has looked ahead.
        if store not in self._trees:
            everywhere = job["reopened"] > 0
            self._trees[store] = Trees(db, store, person_of(job, self._subject), everywhere=everywhere)
        return self._trees[store]

    def _with_keys(self, job: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
        """What is held, with what it takes to find and to read it."""
        person = person_of(job, self._subject)

        def is_there(entry: Entry) -> bool:
            place = str(person.place(entry))
            match entry.store:
                case Store.STORAGE:
                    return any(self._platform.bucket.list_blobs(prefix=place, max_results=1))
                case Store.FIRESTORE:
                    return any(self._platform.db.collection(place.rstrip("/")).limit(1).get())
                case _:
                    return any(self._artefacts.has_file(name) for name in job.get("files", []))

        return legal_holds.with_keys(held, is_there)

    def _delete_account(self, job: dict[str, Any]) -> Pause:
        """The last of all. Before the verification lies the quiet period."""
        deleted: Counter[str] = Counter()
        for entry in self._entries(Store.AUTH, self._held()):
            try:
                auth.delete_user(job["uid"], app=self._platform.app)
                deleted[entry.name] += 1
            except auth.UserNotFoundError:
                continue
        return Pause(self._ended(job, deleted), self._platform.clock() + self._platform.settings.quiet_period)

    def _verify(self, job: dict[str, Any]) -> Changes | Atomic:
        """Look for what is left: all of it in one page, but for somebody of whom so much is held that it takes long."""
        began, person, look = self._platform.clock(), person_of(job, self._subject), job["cursor"] or {}
        found, seen = Counter[str](look.get("found")), list(look.get("seen", []))
        for entry in DATA_MAP:
            if entry.name in seen:
                continue
            if seen and self._platform.clock() - began > _VERIFICATION_SLICE:
                return {"cursor": {"found": dict(found), "seen": seen}}
            found += verifier.found(self._platform, person, job.get("files", []), [entry])
            seen.append(entry.name)
        return self._verified(job, found)

    def _verified(self, job: dict[str, Any], found: "Counter[str]") -> Changes | Atomic:
        """What follows from `found`, which is of every entry."""
        now, stored = self._platform.clock(), self._holds.get()
        held = legal_holds.with_keys(legal_holds.held(stored, now), lambda entry: found[entry.name] > 0)
        kept = {entry.name for entry in DATA_MAP if entry.disposition is not Disposition.DELETE} | held.keys()
        if remaining := sum(count for name, count in found.items() if name not in kept):
            log.write(log.Event.ERASURE_REOPENED, job=self._subject, remaining=remaining)
            if job["reopened"] >= _MAX_REOPENINGS:
                log.write(log.Event.JOB_STUCK, severity=logging.CRITICAL, job=self._subject)
                return {"state": "stuck", "cursor": None, "nextRunAt": None}
            # From the start: whatever wrote this may have come through any door.
            return {"step": FIRST, "cursor": None, "reopened": job["reopened"] + 1}
        log.write(log.Event.ERASURE_VERIFIED, job=self._subject)
        version = policies.current(self._platform.db, now).version
        certificate = erasure_certificate.issue(
            self._platform.settings,
            self._subject,
            job,
            found,
            held,
            residual_copies.lasting(self._platform),
            now,
            version,
        )
        if holding := [hold["expiresAt"] for name, hold in held.items() if found[name]]:
            ending = {"step": HELD, "cursor": None, "certificate": certificate, "nextRunAt": min(holding)}
        else:
            forgotten = dict.fromkeys(_FORGOTTEN, firestore.DELETE_FIELD)
            ending = {**forgotten, "state": "verified", "certificate": certificate, "nextRunAt": None}
        entry = tlog.Entry(tlog.Action.ERASURE_CERTIFIED, certificate, now, self._subject)

        def unless_holds_changed(transaction: firestore.Transaction, read: Snapshots) -> Changes:
            if read[0].update_time != stored.update_time:
                return {"cursor": None}  # placed or released meanwhile, a hold makes the certificate untrue: look again
            return {**ending, "logged": tlog.append(transaction, self._platform.db, entry)}

        return Atomic(unless_holds_changed, (self._holds,))


def person_of(job: dict[str, Any], subject: Pseudonym) -> Subject:
    """Whom an erasure is of, by everything that it has found out so far."""
    return Subject(job["uid"], subject, job.get("email"), asked_at=job.get("enrolledUntil", job["createdAt"]))


def _after(changes: Changes, outcome: Pause | Atomic) -> Pause | Atomic:
    """`outcome`, with the changes of the steps before it."""
    if isinstance(outcome, Pause):
        return replace(outcome, changes={**changes, **outcome.changes})
    return replace(outcome, write=lambda *given: {**changes, **outcome.write(*given)})
