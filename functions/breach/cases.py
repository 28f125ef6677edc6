"""One case for everything that one detector sees of one thing, however often it is seen and delivered.

A case is named by a keyed hash of detector, thing and day. What goes on over midnight goes on in yesterday's case, as
long as that is open. Opening is one transaction with the log's entry and the call to staff; their letters follow, and
are sent again by `tick` if that broke off (`alertDue`).
"""

import contextlib
import logging
import smtplib
from datetime import datetime, timedelta
from typing import Any, Final

from firebase_admin import auth
from google.cloud import firestore

from astra import incidents, log, mail, tlog
from astra.clock import iso
from astra.documents import fetch
from astra.incidents import MOST_SIGNALS, State
from astra.platform import Platform
from astra.pseudonyms import Pseudonym
from astra.settings import BreachSettings
from astra.transactions import transact
from signals import Detector, Severity, Signal

_SHORT: Final = 20
_MAIL_TROUBLE: Final = (OSError, smtplib.SMTPException)
_HINT: Final = "`python -m astra.breach` shows it, with the next step."


def open_all(platform: Platform[BreachSettings], signals: list[Signal]) -> list[str]:
    """Open a case for each of `signals`, or add it to the one that is open. Answers their names."""
    grouped: dict[tuple[Detector, str], list[Signal]] = {}
    for signal in signals:
        grouped.setdefault((signal.detector, signal.about), []).append(signal)
    return [_open(platform, group) for group in grouped.values()]


def name_of(platform: Platform[BreachSettings], detector: Detector, about: str, day: datetime) -> str:
    """The case of one day."""
    return platform.pseudonyms.of_case(detector, about, f"{day:%Y-%m-%d}")[:_SHORT]


def _open(platform: Platform[BreachSettings], signals: list[Signal]) -> str:
    db, now, first = platform.db, platform.clock(), min(signals, key=lambda signal: signal.at)
    days = (first.at, first.at - timedelta(days=1))
    today, yesterday = (incidents.reference(db, name_of(platform, first.detector, first.about, day)) for day in days)
    rows = {_row_name(platform, signal): _row(signal) for signal in signals}
    severity = min(signal.severity for signal in signals)

    def body(transaction: firestore.Transaction) -> tuple[str, bool]:
        stored, before = fetch(db, today, yesterday, transaction=transaction)
        if not stored.exists and before.exists and before.get("state") != State.CLOSED:
            stored = before
        graver = stored.exists and severity < stored.get("severity")
        people = [] if stored.exists and not graver else incidents.called(platform, now, transaction)
        title = f"Severity {int(severity)}: {first.detector.value.replace('-', ' ')}"
        text = f"Case {stored.id}, seen at {iso(first.at)}. {_HINT}"
        if stored.exists:
            calls = _add(transaction, stored, rows, severity, now)
            notice = f"incident-{stored.id}-{int(severity)}"
            incidents.tell_staff(transaction, platform, people, notice, title, text, now)
            return stored.id, calls
        fields = {
            "detector": first.detector.value,
            "about": first.about,
            "severity": int(severity),
            "detectedAt": now,
            "firstSignalAt": first.at,
            "lastSignalAt": now,
            "signals": dict(list(rows.items())[:MOST_SIGNALS]),
        }
        transaction.create(today, incidents.opened(**fields))
        record = {"incident": today.id, "detector": first.detector.value, "severity": int(severity)}
        tlog.append(transaction, db, tlog.Entry(tlog.Action.INCIDENT_OPENED, record, now))
        incidents.tell_staff(transaction, platform, people, f"incident-{today.id}", title, text, now)
        return today.id, True

    name, calls = transact(db, body)
    if calls:
        log.write(
            log.Event.INCIDENT_OPENED,
            severity=logging.CRITICAL if severity is Severity.GETS_SOMEBODY_UP else logging.ERROR,
            detector=first.detector,
            level=int(severity),
            incident=Pseudonym(name),
        )
        try:
            alert(platform, name)
        except _MAIL_TROUBLE as error:
            log.failure(log.Event.FOLLOW_UP_FAILED, error)  # `tick` sends it again
    return name


def _add(
    transaction: firestore.Transaction,
    stored: "firestore.DocumentSnapshot[Any]",
    rows: dict[str, dict[str, Any]],
    severity: Severity,
    now: datetime,
) -> bool:
    """Add what is new; a count that has become graver takes the place of what it was. Answers whether that calls staff
    anew: it is graver, or came after the case was closed."""
    case: dict[str, Any] = stored.to_dict() or {}
    known = case["signals"]
    risen = {name: row for name, row in rows.items() if name in known and row["severity"] < known[name]["severity"]}
    new = {name: row for name, row in rows.items() if name not in known}
    if not new and not risen:
        return False
    kept = risen | dict(list(new.items())[: MOST_SIGNALS - len(known)])
    changes: dict[str, Any] = {f"signals.{name}": row for name, row in kept.items()}
    changes["lastSignalAt"] = now
    graver = severity < case["severity"]
    again = case["state"] == State.CLOSED and any(row["at"] > case["closedAt"] for row in new.values())
    if graver or again:
        changes |= {"severity": min(int(severity), case["severity"]), "alertDue": True}
    if again:
        changes |= {"state": State.SUSPECTED.value, "closedAt": None}
    transaction.update(stored.reference, changes)
    return graver or again


def _row_name(platform: Platform[BreachSettings], signal: Signal) -> str:
    # Not the entry's own name: it is the platform's, and may hold what a field's name must not.
    key = signal.insert_id if not signal.count else f"{signal.about} {signal.at:%Y%m%d%H}"
    return "s" + platform.pseudonyms.of_case(signal.detector, "signal", key)[:12]


def _row(signal: Signal) -> dict[str, Any]:
    fields = {"at": signal.at, "severity": int(signal.severity), "what": signal.what, "insertId": signal.insert_id}
    return fields | ({"count": signal.count, "threshold": signal.threshold} if signal.count else {})


def alert(platform: Platform[BreachSettings], name: str) -> None:
    """Send the letters of a case to who answers for security. What fails is sent again by `alert_again`."""
    db, stored = platform.db, incidents.reference(platform.db, name).get()
    fields = stored.to_dict() or {}
    if not fields.get("alertDue"):
        return
    settings, level = platform.settings, fields["severity"]
    subject = f"Severity {level}: {fields['detector'].replace('-', ' ')}"
    text = f"Case {name}, opened at {iso(fields['detectedAt'])}.\n\n{_HINT}\n"
    for member in incidents.called(platform, platform.clock()):
        with contextlib.suppress(auth.UserNotFoundError):
            to = auth.get_user(member.uid, app=platform.app).email
            if to:
                key = platform.pseudonyms.of_case("alert", member.uid, f"{name}{level}")
                mail.send(settings.smtp_url.get_secret_value(), settings.mail_from, to, subject, text, key)
    stored.reference.update({"alertDue": False}, db.write_option(last_update_time=stored.update_time))


def alert_again(platform: Platform[BreachSettings]) -> None:
    """Send what a crash, or the mail server, has held up."""
    due = platform.db.collection(incidents.INCIDENTS).where(filter=firestore.FieldFilter("alertDue", "==", True))
    for stored in due.limit(20).stream():
        try:
            alert(platform, stored.id)
        except Exception as error:  # noqa: BLE001  (one letter must not keep back another's)
            log.failure(log.Event.FAILED, error)
