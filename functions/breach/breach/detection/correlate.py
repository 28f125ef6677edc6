"""Correlation: one incident for all signals of one detector about one thing.

A case is named by a keyed hash of detector, thing and day. What goes on over midnight goes on in yesterday's case, as
long as that is open. A false alarm that is seen again is reopened. A breach that was confirmed and closed is over: its
clocks, its cohort and its campaign were of that one, so that what comes after it is the day's next case, and the hash
has its number. Opening is one transaction with the log's entry and the call to staff; their letters follow, and are
sent again by `tick` if that broke off (`alertDue`).
"""

import logging
from datetime import datetime, timedelta
from typing import Any, Final

from firebase_admin import auth
from google.cloud import firestore

from astra import tlog
from astra.notices import smtp
from astra.runtime import log
from astra.runtime.clock import iso
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.settings import MailSettings

from breach import deadlines, incidents
from breach.detection.audit_log import Detector, Severity, Signal
from breach.incidents import MAX_SIGNALS, State

Rows = dict[str, dict[str, Any]]
"""Signals, as a case keeps them, by their names in it."""
_ID_CHARACTERS: Final = 20
_MAX_INCIDENTS_A_DAY: Final = 20
"""Cases of one detector and thing: each but the last was confirmed, counted, told of and closed by people."""
_HINT: Final = "`astra breach status` shows it, with the next step."


def open_all(platform: Platform[MailSettings], signals: list[Signal]) -> list[str]:
    """Open a case for each of `signals`, or add it to the one that is open. Answers their names."""
    grouped: dict[tuple[Detector, str], list[Signal]] = {}
    for signal in signals:
        grouped.setdefault((signal.detector, signal.about), []).append(signal)
    return [_open(platform, group) for group in grouped.values()]


def name_of(platform: Platform[MailSettings], detector: Detector, about: str, day: datetime, number: int = 0) -> str:
    """The case of one day; `number` counts those that were over before it on that day."""
    when = f"{day:%Y-%m-%d}" + (f" {number}" if number else "")
    return platform.pseudonyms.of_case(detector, about, when)[:_ID_CHARACTERS]


def _open(platform: Platform[MailSettings], signals: list[Signal]) -> str:
    db, now, first = platform.db, platform.clock(), min(signals, key=lambda signal: signal.at)
    seen = {_row_name(platform, signal): _row(signal) for signal in signals}

    def body(transaction: firestore.Transaction) -> tuple[str, int, bool]:
        stored, rows = _case_of(transaction, platform, first, seen)
        case: dict[str, Any] = stored.to_dict() or {}
        severity = min(row["severity"] for row in rows.values())
        changes, again = _added(case, rows, severity, now) if stored.exists else ({}, False)
        calls = not stored.exists or "alertDue" in changes
        people = incidents.called(platform, now, transaction) if calls else []
        began = min(row["at"] for row in rows.values())
        if not stored.exists:
            fields = {
                "detector": first.detector.value,
                "about": first.about,
                "severity": severity,
                "detectedAt": now,
                "firstSignalAt": began,
                "lastSignalAt": now,
                "signals": dict(list(rows.items())[:MAX_SIGNALS]),
            }
            transaction.create(stored.reference, incidents.opened(**fields))
        elif changes:
            transaction.update(stored.reference, changes)
        if again or not stored.exists:
            record = {"incident": stored.id, "detector": first.detector.value, "severity": severity}
            record |= {"again": True} if again else {}
            tlog.append(transaction, db, tlog.Entry(tlog.Action.INCIDENT_OPENED, record, now))
        title = f"Severity {severity}: {first.detector.value.replace('-', ' ')}"
        text = f"Case {stored.id}, {'closed before, ' if again else ''}seen at {iso(began)}. {_HINT}"
        notice = f"incident-{stored.id}" + (f"-{severity}" if stored.exists else "")
        notice += f"-{changes['reopened']}" if again else ""
        incidents.tell_staff(transaction, platform, people, notice, title, text, now)
        return stored.id, severity, calls

    name, severity, calls = transact(db, body)
    if calls:
        log.write(
            log.Event.INCIDENT_OPENED,
            severity=logging.CRITICAL if severity == Severity.GETS_SOMEBODY_UP else logging.ERROR,
            detector=first.detector,
            level=severity,
            incident=Pseudonym(name),
        )
        try:
            alert(platform, name)
        except Exception as error:  # noqa: BLE001  (the case is open: `tick` sends its letters again)
            log.failure(log.Event.FOLLOW_UP_FAILED, error)
    return name


def _case_of(
    transaction: firestore.Transaction, platform: Platform[MailSettings], first: Signal, rows: Rows
) -> "tuple[firestore.DocumentSnapshot[Any], Rows]":
    """The case that these are of, there yet or not, and which of them are to be looked at in it."""
    stored, left = _of_day(transaction, platform, first, first.at, rows)
    if stored.exists:
        return stored, left
    before, known = _of_day(transaction, platform, first, first.at - timedelta(days=1), rows)
    case = before.to_dict() or {}
    # Delivered again, it is of the case that has it, though that was closed meanwhile.
    if case and (case["state"] != State.CLOSED or known.keys() <= case["signals"].keys()):
        return before, known
    return stored, left


def _of_day(
    transaction: firestore.Transaction,
    platform: Platform[MailSettings],
    first: Signal,
    day: datetime,
    rows: Rows,
) -> "tuple[firestore.DocumentSnapshot[Any], Rows]":
    for number in range(_MAX_INCIDENTS_A_DAY):
        name = name_of(platform, first.detector, first.about, day, number)
        stored = incidents.reference(platform.db, name).get(transaction=transaction)
        case: dict[str, Any] = stored.to_dict() or {}
        later = _later(case, rows) if _is_over(case) else {}
        if not later:
            break
        rows = {name: row for name, row in rows.items() if name in later or name not in case["signals"]}
    return stored, rows


def _is_over(case: dict[str, Any]) -> bool:
    """Whether it was a breach, and is closed."""
    return bool(case) and case["state"] == State.CLOSED and bool(case.get("awareAt"))


def _later(case: dict[str, Any], rows: Rows) -> Rows:
    """What came after the case was closed. A count that goes on has the name that it had before."""
    known, closed = case["signals"], case["closedAt"]
    return {name: row for name, row in rows.items() if row["at"] > closed and (name not in known or "count" in row)}


def _added(case: dict[str, Any], rows: Rows, severity: int, now: datetime) -> tuple[dict[str, Any], bool]:
    """The changes that add what is new, where a count that has become graver takes the place of what it was; with
    `alertDue`, if staff are to be called anew: it is graver, or came after the case was closed. And whether that
    reopens it."""
    known = case["signals"]
    risen = {name: row for name, row in rows.items() if name in known and row["severity"] < known[name]["severity"]}
    new = {name: row for name, row in rows.items() if name not in known}
    after = case["state"] == State.CLOSED and any(row["at"] > case["closedAt"] for row in (new | risen).values())
    if _is_over(case):  # and no number is left in this day: somebody looks at it all the same
        after = bool(_later(case, rows))
    if not (new or risen or after):
        return {}, False
    kept = risen | dict(list(new.items())[: MAX_SIGNALS - len(known)])
    changes: dict[str, Any] = {f"signals.{name}": row for name, row in kept.items()}
    changes["lastSignalAt"] = now
    if after or severity < case["severity"]:
        changes |= {"severity": min(severity, case["severity"])} | incidents.alerted(case, {"of": "case"})
    again = after and not _is_over(case)
    if again:
        state = {"state": State.SUSPECTED.value, "closedAt": None, "falseAlarm": False}
        changes |= {**state, "reopened": case.get("reopened", 0) + 1}
    return changes, again


def _row_name(platform: Platform[MailSettings], signal: Signal) -> str:
    # Not the entry's own name: it is the platform's, and may hold what a field's name must not.
    key = signal.insert_id if not signal.count else f"{signal.about} {signal.at:%Y%m%d%H}"
    return "s" + platform.pseudonyms.of_case(signal.detector, "signal", key)[:12]


def _row(signal: Signal) -> dict[str, Any]:
    fields = {"at": signal.at, "severity": int(signal.severity), "what": signal.what, "insertId": signal.insert_id}
    return fields | ({"count": signal.count, "threshold": signal.threshold} if signal.count else {})


def alert(platform: Platform[MailSettings], name: str) -> None:
    """Send the letters of a case to who answers for security. What fails is sent again by `alert_again`, but for what a
    mailbox refuses for good: whose it is has the notice in the application."""
    db, stored = platform.db, incidents.reference(platform.db, name).get()
    fields = stored.to_dict() or {}
    if not fields.get("alertDue"):
        return
    settings = platform.settings
    due = fields["alerts"]
    letters = [_of_case(name, fields) if one["of"] == "case" else _of_clocks(name, one["clocks"]) for one in due]
    held_up: smtp.Undeliverable | None = None
    for member in incidents.called(platform, platform.clock()):
        try:
            to = auth.get_user(member.uid, app=platform.app).email
            for about, subject, text in letters if to else ():
                key = platform.pseudonyms.of_case("alert", member.uid, about)
                smtp.send(settings.smtp_url.get_secret_value(), settings.mail_from, to, subject, text, key)
        except auth.UserNotFoundError:
            continue
        except smtp.Undeliverable as error:  # one mailbox must not keep back another's letters
            log.failure(log.Event.FOLLOW_UP_FAILED, error)
            held_up = held_up if error.for_good else error
    if held_up:
        raise held_up
    changes = {"alertDue": False, "alerts": []}
    stored.reference.update(changes, db.write_option(last_update_time=stored.update_time))


def _of_case(name: str, fields: dict[str, Any]) -> tuple[str, str, str]:
    """What makes a letter another one than all others, its subject and its text."""
    level, again = fields["severity"], fields.get("reopened")
    subject = f"Severity {level}: {fields['detector'].replace('-', ' ')}"
    text = f"Case {name}, opened at {iso(fields['detectedAt'])}."
    text += " It was closed, and is open again." if again else ""
    return f"{name}{level}" + (f" again {again}" if again else ""), subject, f"{text}\n\n{_HINT}\n"


def _of_clocks(name: str, rows: list[dict[str, Any]]) -> tuple[str, str, str]:
    """The same for the clocks that called together, each with its mark."""
    ordered = sorted(rows, key=lambda row: (-row["percent"], row["due"], row["clock"]))
    about = " ".join(f"{row['clock']} {row['percent']} {iso(row['due'])}" for row in ordered)
    subject = f"{ordered[0]['clock']}: {deadlines.mark(ordered[0]['percent'])}"
    subject += f", and {len(rows) - 1} more" if len(rows) > 1 else ""
    lines = [
        f"- {row['clock']}: {deadlines.mark(row['percent'])}. {deadlines.BY_NAME[row['clock']].owed(row['due'])}"
        for row in ordered
    ]
    text = f"Deadlines of case {name}:\n\n" + "\n".join(lines) + f"\n\n{_HINT}\n"
    return f"{name} {about}", subject, text


def alert_again(platform: Platform[MailSettings]) -> None:
    """Send what a crash, or the mail server, has held up."""
    due = platform.db.collection(incidents.INCIDENTS).where(filter=firestore.FieldFilter("alertDue", "==", True))
    for stored in due.limit(20).get():
        try:
            alert(platform, stored.id)
        except Exception as error:  # noqa: BLE001  (one letter must not keep back another's)
            log.failure(log.Event.FAILED, error)
