"""Erasures as jobs: begun, found, looked at and taken up again. The work itself is the erasure codebase's.

    erasures/{pseudonym}   a job (see `jobs`) with uid, step, cursor and counts until it is verified; then a certificate

`python -m astra.erasure status`, `… show WHO`, `… retry WHO` and `… roll-call` are for staff.
"""

import re
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from google.api_core.exceptions import AlreadyExists, FailedPrecondition, NotFound
from google.cloud import firestore

from astra import campaigns, jobs, operator, roll_call, tables, tlog, tombstones
from astra.campaigns import Channel
from astra.clock import iso
from astra.documents import fetch
from astra.entries import ACCOUNT_ID
from astra.notices import Kind
from astra.platform import Platform
from astra.pseudonyms import Pseudonym
from astra.settings import ReceiptSettings, Settings
from astra.transactions import transact

if TYPE_CHECKING:
    from rich.table import Table

JOBS: Final = "erasures"
FIRST: Final = "freeze"
HELD: Final = "held"
"""The step of an erasure that has done all it may, and waits for a legal hold to end."""
LETTER: Final = "erasure"
"""The name of the letter that confirms one."""
_SHORT: Final = 10
TRIES: Final = 5
"""How often an erasure begins on condition that the profile has not changed, before it locks the profile."""


def reference(db: firestore.Client, subject: Pseudonym) -> firestore.DocumentReference:
    """The job of a person's erasure."""
    return db.collection(JOBS).document(subject)


def begin(
    platform: Platform[Settings],
    uid: str,
    now: datetime,
    letter: Callable[[firestore.WriteBatch], None] = lambda _: None,
    refuse: Callable[["firestore.DocumentSnapshot[Any]"], None] = lambda _: None,
) -> bool:
    """Write down the intent before anything is deleted: tombstone, job, log and closed profile, all or none of them.

    With them goes what `letter` adds, for whoever has a profile. `refuse` raises if the profile, as it is when this is
    committed, is not to be erased. Answers whether this call was the one that began it.
    """
    db, subject = platform.db, platform.pseudonyms.of_uid(uid)

    def write(batch: firestore.WriteBatch, profile: "firestore.DocumentSnapshot[Any]", option: Any = None) -> None:
        intend(batch, platform, uid, now, has_profile=profile.exists, option=option)
        if profile.exists:
            letter(batch)

    for _ in range(TRIES):
        job, profile = fetch(db, reference(db, subject), db.collection("users").document(uid))
        if job.exists:
            return False
        refuse(profile)
        # A batch, not a transaction: of a crowd that asks at once, one creates the job and none waits for another.
        batch = db.batch()
        unchanged = db.write_option(last_update_time=profile.update_time) if profile.exists else None
        write(batch, profile, unchanged)
        try:
            batch.commit()
        except AlreadyExists:
            return False
        except (FailedPrecondition, NotFound):
            continue  # the profile has changed since it was read, and may be frozen
        return True

    def alone(transaction: firestore.Transaction) -> bool:
        job, profile = fetch(db, reference(db, subject), db.collection("users").document(uid), transaction=transaction)
        if not job.exists:
            refuse(profile)
            write(transaction, profile)
        return not job.exists

    return transact(db, alone)  # somebody writes to the profile all the time: keep them waiting


def intend(
    batch: firestore.WriteBatch,
    platform: Platform[Settings],
    uid: str,
    now: datetime,
    *,
    has_profile: bool,
    option: Any = None,
) -> None:
    """Write the intent as part of `batch`, which may be a transaction. It fails if there is one already, and if the
    profile does not meet the condition `option`."""
    db, subject = platform.db, platform.pseudonyms.of_uid(uid)
    batch.create(reference(db, subject), _opened(uid, now))
    tombstones.bury(batch, db, subject, now)
    tlog.append(batch, db, _begun(subject, now))
    if has_profile:
        batch.update(db.collection("users").document(uid), {"state": "erasing"}, option)


def confirm(batch: firestore.WriteBatch, platform: Platform[ReceiptSettings], uid: str, now: datetime) -> None:
    """Have the letter sent that says that it has begun, with the receipt, as part of the `batch` of its intent."""
    facts = {
        "receipt": platform.pseudonyms.receipt(platform.pseudonyms.of_uid(uid)),
        "url": str(platform.settings.receipt_url),
    }
    campaigns.tell(batch, platform, uid, LETTER, Kind.ERASURE, facts, now, (Channel.EMAIL,))


def begin_again(platform: Platform[Settings], uid: str, now: datetime) -> None:
    """Erase somebody of whom there is data although their erasure has ended: a backup was restored.

    One that is under way goes on. The old certificate stays until there is a new one.
    """
    db, subject = platform.db, platform.pseudonyms.of_uid(uid)

    def body(transaction: firestore.Transaction) -> None:
        profile = db.collection("users").document(uid)
        job, restored = fetch(db, reference(db, subject), profile, transaction=transaction)
        if job.exists and job.get("nextRunAt") is not None:
            if job.get("step") == HELD:
                # Done but for what is held: it goes through everything once more, and waits again.
                transaction.update(job.reference, {"nextRunAt": now})
            return
        tombstones.bury(transaction, db, subject, now)
        tlog.append(transaction, db, _begun(subject, now))
        if restored.exists:
            transaction.update(profile, {"state": "erasing"})
        # The fence goes on counting, so that a worker from before the end stays fenced.
        fence = {"fence": job.get("fence") + 1} if job.exists else {}
        transaction.set(reference(db, subject), {**_opened(uid, now), **fence}, merge=True)

    transact(db, body)


def resuming(
    transaction: firestore.Transaction, db: firestore.Client, subject: Pseudonym, now: datetime
) -> Callable[[], None]:
    """Reads whether an erasure waits for a legal hold. Answers what lets it go on, in the same transaction."""
    job = reference(db, subject).get(["step"], transaction=transaction)
    waits = (job.to_dict() or {}).get("step") == HELD
    return lambda: transaction.update(job.reference, {"nextRunAt": now}) if waits else None


def _opened(uid: str, now: datetime) -> dict[str, Any]:
    if not ACCOUNT_ID.fullmatch(uid):
        raise ValueError("this is no account id: it would be a path to something else")
    return jobs.opened(now, uid=uid, step=FIRST, counts={}, reopened=0)


def _begun(subject: Pseudonym, now: datetime) -> tlog.Entry:
    record = {"subject": subject, "begunAt": iso(now)}
    return tlog.Entry(tlog.Action.ERASURE_BEGUN, record, now, subject)


def retry(platform: Platform[Settings], job: firestore.DocumentReference) -> None:
    """Let an erasure that is stuck or waits after a failure go on now; raises LookupError for one that has ended.

    It takes up the step at which it was. The reconciler hands it to a worker.
    """
    now = platform.clock()

    def body(transaction: firestore.Transaction) -> None:
        fields = job.get(transaction=transaction).to_dict() or {}
        if fields.get("state") not in ("running", "stuck"):
            raise LookupError("there is nothing to retry: it has ended")
        if fields["state"] == "running" and not fields["attempts"]:
            raise LookupError("there is nothing to retry: it goes on by itself, or waits as it should")
        # A round's plan is of what Auth said when it was made: it looks anew.
        anew = roll_call.begun() if job == roll_call.job(platform.db) else {"reopened": 0}
        transaction.update(job, jobs.revived(now) | anew)

    transact(platform.db, body)


def find(platform: Platform[Settings], who: str) -> firestore.DocumentReference:
    """The erasure that a receipt, an account id or the first digits of a pseudonym stand for; raises LookupError."""
    if who == roll_call.job(platform.db).id:
        return roll_call.job(platform.db)
    stored, digits = platform.db.collection(JOBS), who.partition(".")[0]
    if re.fullmatch(rf"[0-9a-f]{{{_SHORT},64}}", digits):
        first, last = (stored.document(digits + end) for end in ("", "\uf8ff"))
        query = stored.where(filter=firestore.FieldFilter("__name__", ">=", first))
        found = query.where(filter=firestore.FieldFilter("__name__", "<", last)).select([]).limit(2).get()
        if len(found) == 1:
            return found[0].reference
    # Only now: what staff mostly give needs no key.
    by_uid = stored.document(platform.pseudonyms.of_uid(who))
    if by_uid.get(["state"]).exists:
        return by_uid
    raise LookupError(f"no erasure is known by this: give a receipt, an account id, or {_SHORT} digits or more")


def _open(platform: Platform[Settings]) -> list["firestore.DocumentSnapshot[Any]"]:
    """The roll call, and erasures that are not verified: first what needs somebody, then what is due longest."""
    states = firestore.FieldFilter("state", "in", ["running", "stuck"])
    jobs_ = [*platform.db.collection(JOBS).where(filter=states).get(), roll_call.job(platform.db).get()]
    return sorted(
        (job for job in jobs_ if job.exists), key=lambda job: (job.get("state") != "stuck", str(job.get("nextRunAt")))
    )


def _due(job: dict[str, Any], now: datetime) -> str:
    if job["nextRunAt"] is None:
        return ""
    minutes = round((job["nextRunAt"] - now).total_seconds() / 60)
    return f"in {minutes} min" if minutes > 0 else f"{-minutes} min ago" if minutes else "now"


def _status(platform: Platform[Settings]) -> "Table":
    table = tables.table("erasure", "state", "step", "deleted", "failures", "reopened", "due")
    for snapshot in _open(platform):
        job = snapshot.to_dict() or {}
        numbers = (sum(job.get("counts", {}).values()), job["attempts"], job.get("reopened", 0))
        row = (snapshot.id[:_SHORT], job["state"], job.get("step", ""), *map(str, numbers))
        table.add_row(*row, _due(job, platform.clock()))
    return table


def _show(job: dict[str, Any], now: datetime) -> "Table":
    table = tables.table("entry", "deleted", "retained", "until", "basis")
    certificate = job.get("certificate")
    table.title = f"{job['state']}, asked {iso(job['createdAt'])}"
    if certificate:
        table.title += f", verified {certificate['verifiedAt']}"
        for line in certificate["stores"]:
            until = line.get("until", "")
            table.add_row(line["entry"], str(line["deleted"]), str(line["retained"]), until, line.get("basis", ""))
    else:
        table.title += f", at step {job.get('step', '')}, due {_due(job, now)}"
        for name, count in job.get("counts", {}).items():
            table.add_row(name, str(count))
    return table


def main() -> int:
    """Run the command of the command line; answers the exit code."""
    from astra import roll_call_desk  # noqa: PLC0415  (functions import this module, and run no command)

    parser = operator.Parser(prog="python -m astra.erasure", description="Look after erasures.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("status", help="list what is not verified: stuck first, then what is due longest")
    for verb, what in (("show", "how far one is, or its certificate"), ("retry", "let a stuck one go on")):
        verbs.add_parser(verb, help=what).add_argument(
            "who", help="receipt, account id, or the pseudonym's first digits"
        )
    roll_call_desk.add_to(verbs)
    chosen = parser.parse_args()
    try:
        if chosen.verb == "roll-call":
            return roll_call_desk.run(chosen)
        with operator.platform(Settings, chosen, acts=chosen.verb == "retry") as platform:
            if chosen.verb == "status":
                tables.show(_status(platform))
                print(roll_call.state_line(platform.db))  # noqa: T201
                google = platform.google.identity
                print(roll_call_desk.deletion_line(platform.project, platform.session, google))  # noqa: T201
                return 0
            job = find(platform, chosen.who)
            if chosen.verb == "retry":
                retry(platform, job)
            tables.show(_show(job.get().to_dict() or {}, platform.clock()))
    except (LookupError, roll_call_desk.Failed) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
