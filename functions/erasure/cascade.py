"""The erasure of one person, page by page, driven by the data map alone.

Why it can't report what is not true: a count is added only after the store confirmed the deletes; a store that fails
raises, and the job repeats that page; the step after the last is not "done" but "verify", which reads every store anew
after the quiet period and reopens the cascade if anything is left.
"""

import logging
from collections import Counter
from typing import Any, Final

from firebase_admin import auth
from google.api_core.exceptions import NotFound
from google.cloud import firestore

import certificates
import descendants
import verifier
from astra import jobs, limits, log, policy, tombstones
from astra.datamap import DATA_MAP, Disposition, Entry, Store, Subject, claimant
from astra.platform import Platform
from astra.pseudonyms import Pseudonym
from astra.settings import ErasureSettings

FIRST: Final = "freeze"
_PAGE: Final = 400
_MOST_REOPENINGS: Final = 10
_STORES: Final = (Store.STORAGE, Store.REDIS, Store.FIRESTORE, Store.VAULT, Store.AUTH)
_STEPS: Final = (FIRST, *(store.value for store in _STORES), "verify")


class Cascade:
    """One erasure's pages. `page` takes the job's fields and answers what to change in them."""

    def __init__(self, platform: Platform[ErasureSettings], subject: Pseudonym) -> None:
        self._platform = platform
        self._subject = subject

    def page(self, job: dict[str, Any]) -> dict[str, Any] | jobs.Pause:
        """Do one bounded piece of the current step."""
        step = job["step"]
        if step == FIRST:
            return self._freeze(job)
        if step == "verify":
            return self._verify(job)
        deleted, finished = self._delete(Store(step), self._person(job))
        changes: dict[str, Any] = {"counts": dict(Counter(job["counts"]) + deleted)}
        if not finished:
            return changes
        log.write(log.Event.ERASURE_STEP, job=self._subject, step=_STEPS.index(step))
        following = _STEPS[_STEPS.index(step) + 1]
        changes["step"] = following
        if following == "verify":
            return jobs.Pause(changes, self._platform.clock() + self._platform.settings.quiet_period)
        return changes

    def _person(self, job: dict[str, Any]) -> Subject:
        return Subject(job["uid"], self._subject, job["email"], asked_at=job["createdAt"])

    def _freeze(self, job: dict[str, Any]) -> dict[str, Any]:
        """Close every door: no sign-in, no new token, no new key. Note what the person's data is found by."""
        uid, now = job["uid"], self._platform.clock()
        email = None
        try:
            email = auth.get_user(uid, app=self._platform.app).email
            auth.update_user(uid, disabled=True, app=self._platform.app)
            auth.revoke_refresh_tokens(uid, app=self._platform.app)
        except auth.UserNotFoundError:
            profile = self._platform.db.collection("users").document(uid).get(["email"]).to_dict()
            email = (profile or {}).get("email")
        keys = self._platform.vault_db.batch()
        tombstones.bury(keys, self._platform.vault_db, self._subject, now)
        keys.commit()
        found_by = self._platform.pseudonyms.of_email(email) if email else job.get("email")
        return {"step": _STEPS[1], "email": found_by}

    def _delete(self, store: Store, person: Subject) -> tuple["Counter[str]", bool]:
        """Delete one page of the person's data in `store`: how much of each entry, and whether that was all."""
        entries = [entry for entry in DATA_MAP if entry.store is store and entry.disposition is Disposition.DELETE]
        match store:
            case Store.STORAGE:
                return self._delete_objects(entries, person)
            case Store.REDIS:
                return self._delete_keys(person.uid)
            case Store.FIRESTORE:
                return self._delete_documents(self._platform.db, entries, person)
            case Store.VAULT:
                return self._delete_documents(self._platform.vault_db, entries, person)
            case Store.AUTH:
                return self._delete_account(entries[0], person.uid)

    def _delete_objects(self, entries: list[Entry], person: Subject) -> tuple["Counter[str]", bool]:
        deleted: Counter[str] = Counter()
        for entry in entries:
            # Every generation: on a bucket with versioning, the old ones too.
            for blob in self._platform.bucket.list_blobs(prefix=person.place(entry), versions=True, max_results=_PAGE):
                try:
                    blob.delete(if_generation_match=blob.generation)
                    deleted[entry.name] += 1
                except NotFound:
                    continue
                if deleted.total() >= _PAGE:
                    return deleted, False
        return deleted, not deleted

    def _delete_keys(self, uid: str) -> tuple["Counter[str]", bool]:
        index, redis = limits.index_of(uid), self._platform.redis
        keys = sorted(str(key) for key in redis.smembers(index))[:_PAGE]
        deleted: Counter[str] = Counter()
        for key in keys:
            deleted[_owner(Store.REDIS, key)] += redis.unlink(key)
        if keys:
            redis.srem(index, *keys)
            return deleted, False
        redis.unlink(index)
        return deleted, True

    def _delete_documents(
        self, db: firestore.Client, entries: list[Entry], person: Subject
    ) -> tuple["Counter[str]", bool]:
        store = entries[0].store
        deleted: Counter[str] = Counter()
        for entry in entries:
            if any(entry.where.startswith(other.where + "/") for other in entries):
                continue  # below another entry: found among its descendants
            if (path := person.place(entry)) is None:
                continue
            root = db.document(path)
            if page := descendants.page(db, root, _PAGE):
                batch = db.batch()
                for reference in page:
                    batch.delete(reference)
                batch.commit()
                deleted.update(_owner(store, reference.path) for reference in page)
                return deleted, False
            fields = root.get(["createdAt"]).to_dict()
            if fields is not None and person.owns(entry, fields):
                root.delete()
                deleted[entry.name] += 1
        return deleted, True

    def _delete_account(self, entry: Entry, uid: str) -> tuple["Counter[str]", bool]:
        try:
            auth.delete_user(uid, app=self._platform.app)
        except auth.UserNotFoundError:
            return Counter(), True
        return Counter({entry.name: 1}), True

    def _verify(self, job: dict[str, Any]) -> dict[str, Any] | jobs.Pause:
        now = self._platform.clock()
        remaining = verifier.remaining(self._platform, self._person(job))
        if remaining:
            log.write(log.Event.ERASURE_REOPENED, job=self._subject, remaining=sum(remaining.values()))
            if job["reopened"] >= _MOST_REOPENINGS:
                log.write(log.Event.JOB_STUCK, severity=logging.CRITICAL, job=self._subject)
                return {"state": "stuck", "nextRunAt": None}
            # From the start: whatever wrote this may have come through any door.
            return {"step": FIRST, "reopened": job["reopened"] + 1}
        log.write(log.Event.ERASURE_VERIFIED, job=self._subject)
        version = policy.current(self._platform.db, now).version
        certificate = certificates.issue(self._platform.settings, self._subject, job, remaining, now, version)
        forgotten = dict.fromkeys(("uid", "email", "step", "counts"), firestore.DELETE_FIELD)
        return {**forgotten, "state": "verified", "certificate": certificate, "nextRunAt": None}


def _owner(store: Store, path: str) -> str:
    entry = claimant(store, path)
    return entry.name if entry else "unmapped"
