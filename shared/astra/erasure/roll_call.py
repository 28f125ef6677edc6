"""Roll call: its switch, the report of its newest dry run, and the state of its rounds.

The erasure codebase runs the rounds (see `orphans` there). They erase people whom nobody asked it to erase, so they are
off until two staff members switch them on, having seen what a dry run found.

    rounds/roll-call           a job (see `jobs`): the round under way, and the suspects of the rounds before it
    rounds/roll-call-dry-run   the same for a round that only looks
    rounds/roll-call-report    what the newest dry run found, with its `digest`
    controls/roll-call         {enabled, report, approvers, at}: no document is off
"""

import enum
import hashlib
import logging
from datetime import datetime, timedelta
from typing import Any, Final

import rfc8785
from google.cloud import firestore

from astra import jobs
from astra.runtime import log
from astra.runtime.clock import iso
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings

REPORT_AGE: Final = timedelta(days=7)
"""A report older than this says too little of today's accounts to switch anything on."""
REPORTED: Final = "reported"
"""The state of a dry run that has ended."""


class Stop(enum.StrEnum):
    """Why a round stopped: a person must look."""

    CONTRADICTION = "contradiction"
    """Auth named an account and denied it within one round."""
    TOO_MANY = "too-many"
    """More people would be erased than the limits allow."""
    FAILED = "failed"
    """A page of the round failed too often."""


MEANING: Final = {
    Stop.CONTRADICTION: "Auth named accounts and denied them within one round. Wait until it answers rightly",
    Stop.TOO_MANY: "it found more people than ASTRA_MOST_ORPHANS or ASTRA_ORPHANS_SHARE allow, or than 1,000. Find out "
    "why; raise the limit if they are to be erased indeed",
    Stop.FAILED: "a page of it failed too often. Read the functions' log",
}


class Trouble(enum.StrEnum):
    """What keeps the roll call from working."""

    OFF = "off"
    STOPPED = "stopped"


def job(db: firestore.Client) -> firestore.DocumentReference:
    """The job of the rounds that act."""
    return db.document("rounds/roll-call")


def dry_run(db: firestore.Client) -> firestore.DocumentReference:
    """The job of a round that only looks."""
    return db.document("rounds/roll-call-dry-run")


def report(db: firestore.Client) -> firestore.DocumentReference:
    """What the newest dry run found."""
    return db.document("rounds/roll-call-report")


def switch(db: firestore.Client) -> firestore.DocumentReference:
    """Whether the rounds may act."""
    return db.document("controls/roll-call")


def begun() -> dict[str, Any]:
    """The fields of a round that begins: where it is, what it has seen there, and what it is going to do."""
    return {
        "phase": "look",
        "roster": 0,
        "cursor": None,
        "here": 0,
        "longest": 0,
        "accounts": 0,
        "withoutProfile": 0,
        "seen": {},  # orphans by pseudonym, each with the places that name it
        "restored": [],  # people with a tombstone of whom there is data
        "plan": {},  # what to do with whom, once everything was looked at
        "contradictions": 0,
        "odd": 0,
        "more": 0,
        "beganAt": None,
        "plannedAt": None,
    }


def switched(*, enabled: bool, report: str | None, approvers: list[Any], now: datetime) -> dict[str, Any]:
    """The fields of the switch."""
    return {"enabled": enabled, "report": report, "approvers": approvers, "at": now}


def is_on(db: firestore.Client) -> bool:
    """True if the rounds may act. Asked anew before each page, so that switching off stops them at once."""
    return bool((switch(db).get(["enabled"]).to_dict() or {}).get("enabled"))


def sealed(found: dict[str, Any]) -> dict[str, Any]:
    """A report with its digest: SHA-256 of the rest in canonical JSON (RFC 8785)."""
    content = {name: value for name, value in found.items() if name != "digest"}
    return {**content, "digest": hashlib.sha256(rfc8785.dumps(content)).hexdigest()}


def refusal(found: dict[str, Any] | None, digest: str, now: datetime) -> str | None:
    """Why a report, as stored, can't switch the roll call on; None if it can."""
    again = "Make a new one: `astra erasure roll-call --dry-run`."
    if found is None or found["digest"] != digest or sealed(found) != found:
        return f"report: is not the digest of the newest dry run. {again}"
    if datetime.fromisoformat(found["at"]) < now - REPORT_AGE:
        return f"report: is of {found['at']}, more than {REPORT_AGE.days} days old. {again}"
    if found["contradictions"]:
        return f"report: Auth contradicted itself about {found['contradictions']} accounts. Find out why. {again}"
    if not found["withinLimits"]:
        return (
            "report: finds more people than ASTRA_MOST_ORPHANS or ASTRA_ORPHANS_SHARE allow, so that each round would "
            f"stop. Find out why; raise the limit if they are to be erased indeed. {again}"
        )
    return None


def trouble(db: firestore.Client) -> tuple[Trouble, Stop | None] | None:
    """What keeps the roll call from working and, if it has stopped, why; None if nothing does."""
    if not is_on(db):
        return Trouble.OFF, None
    fields = job(db).get(["state", "stopped"]).to_dict() or {}
    if fields.get("state") == jobs.STUCK:
        return Trouble.STOPPED, Stop(fields.get("stopped") or Stop.FAILED)
    return None


def alarm(platform: Platform[Settings]) -> None:
    """Log what keeps the roll call from working. Called every hour, so that nobody forgets it."""
    if found := trouble(platform.db):
        log.write(log.Event.ROLL_CALL_IDLE, severity=logging.ERROR, trouble=found[0], stopped=found[1])


def state_line(db: firestore.Client) -> str:
    """The roll call's state in one sentence, with the next command."""
    match trouble(db):
        case Trouble.OFF, _:
            suspects = (job(db).get(["suspects"]).to_dict() or {}).get("suspects", {}).values()
            frozen = sum(suspect["frozen"] for suspect in suspects)
            return (
                "roll call: OFF. Data of accounts deleted in the console stays, and so does what a restored backup "
                "brought back. `astra erasure roll-call --dry-run` shows what it would find."
                + (f" {frozen} profiles that it had frozen are still to be opened: within minutes." if frozen else "")
            )
        case _, Stop() as stop:
            return f"roll call: STOPPED: {MEANING[stop]}, then run `astra erasure retry roll-call`."
        case _:
            fields = switch(db).get().to_dict() or {}
            return f"roll call: on since {iso(fields['at'])}."
