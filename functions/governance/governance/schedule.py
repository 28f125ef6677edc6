"""The schedule `review`: runs what is due by the calendar."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from google.cloud import firestore

from astra import staff, tlog
from astra.accounts import state as account_state
from astra.erasure import roll_call
from astra.notices import inbox
from astra.runtime import log
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings
from astra.staff import Member, Role

from governance import child_removal, disclosures, policies, processor_register
from governance.reviews import REVIEWS, UNSIGNED, ReviewState, material, of_change, of_july, stage, weeks

_MARKED: Final = {
    ReviewState.ESCALATED: tlog.Action.REVIEW_ESCALATED,
    ReviewState.OVERDUE: tlog.Action.REVIEW_OVERDUE,
}


def review(platform: Platform[Settings]) -> None:
    """Open, remind, escalate; let policies take effect; tell whom a ban kept from knowing; look at agreements;
    mend what a crash broke off."""
    parts: tuple[Callable[[Platform[Settings]], object], ...] = (
        policies.take_effect,
        open_reviews,
        advance,
        disclosures.tell,
        processor_register.look,
        roll_call.alarm,
        end_roles,
        mend,
    )
    for part in parts:
        try:
            part(platform)
        except Exception as error:  # noqa: BLE001  (one part's failure must not cost another its date)
            log.failure(log.Event.FAILED, error)


def open_reviews(platform: Platform[Settings]) -> None:
    """Open each July's review that is due, and one for what has changed since it was last looked at."""
    db, now = platform.db, platform.clock()
    seen, state = material(platform, now), db.document("rounds/review")

    def body(transaction: firestore.Transaction) -> None:
        noted = state.get(transaction=transaction).to_dict() or {"since": now, "material": seen}
        # Of a July that was over when this began nothing is known: it is not for us to call it missed.
        years = [y for y in range(noted["since"].year, now.year + 1) if _began_in_time(y, noted["since"], now)]
        julys = fetch(db, *(db.collection(REVIEWS).document(str(y)) for y in years), transaction=transaction)
        unsigned = firestore.FieldFilter("state", "in", UNSIGNED)
        waiting = db.collection(REVIEWS).where(filter=unsigned).limit(1)
        open_one = next((stored.id for stored in waiting.get(transaction=transaction)), None)
        for july in julys:
            if not july.exists:
                _open(transaction, july.reference, of_july(int(july.id)), now)
                open_one = open_one or july.id
        if noted["material"] != seen and open_one:
            record = {"review": open_one, "material": seen}
            tlog.append(transaction, db, tlog.Entry(tlog.Action.REVIEW_WIDENED, record, now))
        elif noted["material"] != seen:
            named = db.collection(REVIEWS).document(f"{now:%Y-%m-%d}-{seen[:8]}")
            _open(transaction, named, of_change(now), now)
        transaction.set(state, {"since": noted["since"], "material": seen})

    transact(db, body)


def advance(platform: Platform[Settings]) -> None:
    """Remind, escalate and call overdue whatever is not signed."""
    unsigned = firestore.FieldFilter("state", "in", UNSIGNED)
    for stored in platform.db.collection(REVIEWS).where(filter=unsigned).get():
        _advance(platform, stored.reference)


def _advance(platform: Platform[Settings], document: firestore.DocumentReference) -> None:
    db, now = platform.db, platform.clock()

    def body(transaction: firestore.Transaction) -> str | None:
        review = document.get(transaction=transaction).to_dict() or {}
        people = staff.find_members(db, now, Role.CTO, Role.SECURITY, Role.PRIVACY, transaction=transaction)
        people = staff.present(platform, people, transaction)
        if review.get("state") not in UNSIGNED:
            return None
        ctos = [member for member in people if member.role is Role.CTO]
        changes: dict[str, Any] = {"state": stage(review, now, vacant=not ctos).value}
        # Filled and vacant again, it escalates again: those who were told then believe that it is settled.
        changes["vacantAt"] = None if ctos else review["vacantAt"] or now
        vacated = not ctos and review["vacantAt"] is None
        moved = changes["state"] != review["state"]
        reminders = weeks(review, now)
        if not moved and not vacated and reminders == review["reminders"]:
            transaction.update(document, changes)
            return None
        changes["reminders"] = reminders
        if moved or vacated:
            record = {"review": document.id, "vacant": not ctos}
            action = _MARKED[changes["state"]] if moved else tlog.Action.REVIEW_ESCALATED
            tlog.append(transaction, db, tlog.Entry(action, record, now))
        for member in ctos if changes["state"] == ReviewState.OPEN else people:
            _remind(transaction, db, member, document.id, changes["state"], now)
        transaction.update(document, changes)
        return changes["state"] if moved or vacated else None

    if transact(db, body):
        log.write(log.Event.REVIEW_MOVED, severity=logging.CRITICAL)


def end_roles(platform: Platform[Settings]) -> None:
    """Take away the roles whose time is up. They count for nothing already."""
    db, now = platform.db, platform.clock()
    ended = db.collection(staff.STAFF).where(filter=firestore.FieldFilter("until", "<=", now)).limit(100)
    for stored in ended.get():
        transact(db, partial(_end, platform=platform, document=stored.reference, now=now))


def mend(platform: Platform[Settings]) -> None:
    """Carry through at Auth what was decided and broke off."""
    due = firestore.FieldFilter("claimDue", "==", True)
    for stored in platform.db.collection(staff.STAFF).where(filter=due).select([]).limit(100).get():
        _each(partial(staff.mirror, platform, stored.id))
    for uid in child_removal.unsettled(platform):
        _each(partial(account_state.settle, platform, uid))


def _each(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001  (one account that fails must not stand before the others)
        log.failure(log.Event.FAILED, error)


def _end(
    transaction: firestore.Transaction,
    platform: Platform[Settings],
    document: firestore.DocumentReference,
    now: datetime,
) -> None:
    fields = document.get(transaction=transaction).to_dict() or {}
    if not fields.get("until") or fields["until"] > now:
        return
    entry = tlog.Entry(
        tlog.Action.ROLE_REVOKED,
        {"role": fields["role"], "state": "ended"},
        now,
        platform.pseudonyms.of_uid(document.id),
    )
    tlog.append(transaction, platform.db, entry)
    transaction.update(document, staff.revoked([], now))


def _began_in_time(year: int, since: datetime, now: datetime) -> bool:
    return since < datetime(year, 8, 1, tzinfo=UTC) and now >= datetime(year, 7, 1, tzinfo=UTC)


def _open(
    transaction: firestore.Transaction, document: firestore.DocumentReference, review: dict[str, Any], now: datetime
) -> None:
    record = {"review": document.id, "reason": review["reason"]}
    tlog.append(transaction, document._client, tlog.Entry(tlog.Action.REVIEW_OPENED, record, now))
    transaction.create(document, review)


def _remind(
    transaction: firestore.Transaction, db: firestore.Client, member: Member, name: str, state: str, now: datetime
) -> None:
    notice = inbox.Notice(
        inbox.Kind.STAFF,
        f"The security policy's review {name} is {state}",
        "The CTO reviews the security policy and signs with `sign_review`. If there is no CTO, appoint one.",
    )
    inbox.write(transaction, db, member.uid, f"review-{name}.{now:%Y-%m-%d}", notice, now)
