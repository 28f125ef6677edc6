"""Key rotation, as jobs: wraps keys anew and leaves content untouched.

Why nothing is lost, wherever it stops: old and new stay side by side until nothing needs the old. Each re-wrapping is
one update of one document under the precondition that it is still what was read; what a race or a crash left out is
found by the next page, because a page asks for what is not done yet instead of keeping a list. An old KEK is dropped
only in a state where no object is wrapped by it, and no new one can be: see `Vault.new_object`.

    rotations/kms           the key service's key: KEKs are wrapped by the key in use when it was begun, `target`
    rotations/{pseudonym}   one user's KEK: a new version, `target`, and that user's DEKs wrapped by it

A job is `ended` when nothing needs the old key any more. It is `incomplete` when all that is left are keys that nothing
opens: they are counted as `failed`, marked, and tried again by the next rotation.

`astra keys rotate`, `… --user UID` and `astra keys status` are for staff.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from google.api_core.exceptions import AlreadyExists, FailedPrecondition, NotFound
from google.cloud import firestore

from astra import jobs
from astra.runtime.documents import read
from astra.runtime.platform import Platform
from astra.vault import Vault, vault_of
from astra.vault.kms import KmsError, Undecryptable
from astra.vault.settings import SealingSettings

JOBS: Final = "rotations"
_PAGE_KEYS: Final = 100
_RETRY_DELAY: Final = timedelta(seconds=30)


def begin(platform: Platform[SealingSettings], uid: str | None = None) -> firestore.DocumentReference:
    """Open the rotation of the key service's key, or of one user's KEK; one that is under way goes on."""
    vault, now = vault_of(platform), platform.clock()
    job = vault.db.collection(JOBS).document(platform.pseudonyms.of_uid(uid) if uid else "kms")
    if uid:
        user = vault.user(uid).get().to_dict()
        if user is None:
            raise LookupError("this user has no key")
        rows = vault.user(uid).collection("objects")
        kind = {"kind": "user", "uid": uid, "target": user["version"] + 1}
    else:
        rows = vault.db.collection("keys")
        kind = {"kind": "kms", "before": now, "target": vault.keyring.uri}
    [[total]] = rows.count().get()
    fields = jobs.opened(now, **kind, done=0, failed=0, total=int(total.value))
    try:
        job.create(fields)
    except AlreadyExists:
        stored = job.get().to_dict()
        if stored and stored["nextRunAt"] is None:
            job.set(fields)
    return job


def resume(platform: Platform[SealingSettings], budget: timedelta) -> int:
    """Work on every rotation that is due. Answers how many."""
    names = list(jobs.due(platform.vault_db.collection(JOBS), platform.clock()))
    for name in names:
        run(platform, platform.vault_db.collection(JOBS).document(name), budget / len(names))
    return len(names)


def run(platform: Platform[SealingSettings], job: firestore.DocumentReference, budget: timedelta) -> None:
    """Work on one rotation until it ends or `budget` is used up."""
    jobs.Worker(platform.vault_db, platform.clock, _RETRY_DELAY).run(
        job, lambda fields: _page(platform, fields), budget
    )


def _page(platform: Platform[SealingSettings], job: dict[str, Any]) -> dict[str, Any] | jobs.Pause:
    vault = vault_of(platform)
    return _user_page(vault, job) if job["kind"] == "user" else _kms_page(vault, job, platform.clock())


def _kms_page(vault: Vault, job: dict[str, Any], now: datetime) -> dict[str, Any] | jobs.Pause:
    before, target = job["before"], job["target"]
    if vault.keyring.uri != target:
        raise KmsError("this instance wraps by another key: one that was deployed since must do this")
    keys = vault.db.collection("keys")
    rows = keys.where(filter=firestore.FieldFilter("wrappedAt", "<", before)).order_by("wrappedAt")
    page = rows.limit(_PAGE_KEYS).get()
    if not page:
        others = keys.where(filter=firestore.FieldFilter("kms", "!=", target)).select(["rewrapFailed"])
        if all(read(others, lambda other: (other.to_dict() or {}).get("rewrapFailed"))):
            return _end(job)
        # Made since by an instance that had not heard of the new key: all that is left is gone through once more.
        return jobs.Pause({"before": now, "failed": 0}, now + _RETRY_DELAY)
    changes: list[tuple[firestore.DocumentSnapshot[Any], dict[str, Any]]] = []
    for snapshot in page:
        try:
            fields = vault.rewrapped_keks(snapshot.to_dict() or {}, snapshot.id)
        except Undecryptable:
            # One damaged key must not hold up the others. A key service that is down is another matter: it fails the
            # page, and nothing is stepped over, for who reads "ended" may switch the old key off.
            fields = {"wrappedAt": before, "rewrapFailed": True}
        changes.append((snapshot, fields))
    return _write(vault, job, changes)


def _user_page(vault: Vault, job: dict[str, Any]) -> dict[str, Any]:
    uid, target = job["uid"], job["target"]
    snapshot = vault.user(uid).get()
    user = snapshot.to_dict()
    if user is None:
        return _end(job)  # erased meanwhile
    if user["version"] < target:
        fresh = vault.fresh_kek(uid, target)
        old = vault.rewrapped_keks(user, uid)  # one document, one key of the key service
        _update(vault, snapshot, {**old, **fresh, "version": target, "keks": old["keks"] | fresh["keks"]})
        return {}
    rows = vault.user(uid).collection("objects").where(filter=firestore.FieldFilter("kekVersion", "<", target))
    if page := rows.limit(_PAGE_KEYS).get():
        changes = [(row, vault.rewrapped_deks(user, row.to_dict() or {}, uid, row.id)) for row in page]
        return _write(vault, job, changes)
    dropped = _update(vault, snapshot, {"keks": {str(target): user["keks"][str(target)]}})
    return _end(job) if dropped else {}


def _end(job: dict[str, Any]) -> dict[str, Any]:
    state = "incomplete" if job["failed"] else "ended"
    return {"state": state, "nextRunAt": None, "uid": firestore.DELETE_FIELD}


def _write(
    vault: Vault, job: dict[str, Any], changes: "list[tuple[firestore.DocumentSnapshot[Any], dict[str, Any]]]"
) -> dict[str, Any]:
    """Change a page of documents. Answers the counts."""
    counts = {"done": job["done"], "failed": job["failed"]}
    for snapshot, fields in changes:
        counts["failed" if fields["rewrapFailed"] is True else "done"] += _update(vault, snapshot, fields)
    return counts


def _update(vault: Vault, snapshot: "firestore.DocumentSnapshot[Any]", fields: dict[str, Any]) -> int:
    """Change a document if it still is what was read. Answers whether it was, as 0 or 1."""
    unchanged = vault.db.write_option(last_update_time=snapshot.update_time)
    try:
        snapshot.reference.update(fields, option=unchanged)
    except (FailedPrecondition, NotFound):
        return 0
    return 1
