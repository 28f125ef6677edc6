"""Roll call, for staff: `python -m astra.erasure roll-call`, with its dry run and its switch.

    roll-call                            its state, and the newest report
    roll-call --dry-run                  has the deployed function look for orphans, and shows its report
    roll-call enable --report DIGEST     two staff members run this, each with an ID token of their own
    roll-call disable                    one is enough

The switch is the callable `switch_roll_call`: who asks is proved by `ASTRA_ID_TOKEN`, the ID token of a staff member
who is signed in to the application, and by `ASTRA_APP_CHECK_TOKEN` where App Check is enforced.
"""

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from astra import jobs
from astra.erasure import roll_call
from astra.runtime.platform import Platform
from astra.runtime.settings import Environment, Settings, emulated
from cli import operator, output
from cli.access import Refused

if TYPE_CHECKING:
    from requests import Session
    from rich.table import Table

_PATIENCE: Final = 900
"""Seconds for which a dry run is waited for: `reconcile` begins it within 5 minutes."""
_POLL: Final = 1
_TIMEOUT: Final = 60
_SHORT: Final = 10


class Failed(Exception):
    """The message says what went wrong, and what to do."""


def add_to(verbs: "argparse._SubParsersAction[operator.Parser]") -> None:
    """Add the verb `roll-call` to a command."""
    parser = verbs.add_parser("roll-call", help="look for data whose account is gone: its state, dry run and switch")
    parser.add_argument("--dry-run", action="store_true", help="look for orphans now and store what is found")
    parser.add_argument("switch", nargs="?", choices=("enable", "disable"), help="two enable it, one disables it")
    parser.add_argument("--report", metavar="DIGEST", help="for enable: the digest of the newest dry run's report")


def run(chosen: argparse.Namespace) -> int:
    """Do what was asked for; return the exit code."""
    if chosen.switch and chosen.dry_run:
        raise Failed("--dry-run goes without enable or disable")
    if (chosen.switch == "enable") != bool(chosen.report):
        raise Failed("enable needs --report DIGEST, and only enable takes it")
    if chosen.switch:
        print(_switch(chosen))  # noqa: T201
        return 0
    with operator.platform(Settings, chosen, acts=chosen.dry_run) as platform:
        if chosen.dry_run:
            _look(platform)
            _show(platform)
        else:
            print(roll_call.state_line(platform.db))  # noqa: T201
            _show(platform)
    return 0


def _look(platform: Platform[Settings]) -> None:
    """Ask the deployed function for a dry run and wait for it, showing how far it is. Raises Failed."""
    document = roll_call.dry_run(platform.db)
    fields = document.get().to_dict() or {}
    if fields.get("state") != jobs.RUNNING:
        document.set(jobs.opened(platform.clock(), **roll_call.begun()))
    deadline = time.monotonic() + _PATIENCE
    shown = ""
    while time.monotonic() < deadline:
        fields = document.get().to_dict() or {}
        if fields["state"] == roll_call.REPORTED:
            return
        if fields["state"] == jobs.STUCK:
            raise Failed("the dry run failed too often: see the functions' log, then begin it again")
        line = "waiting for the schedule `reconcile`"
        if fields["beganAt"]:
            line = f"looking in place {fields['roster'] + 1}: {fields['here']} accounts seen there"
        if line != shown:
            print(line, file=sys.stderr)  # noqa: T201
            shown = line
        time.sleep(_POLL)
    raise Failed("the dry run goes on; `python -m astra.erasure roll-call` shows its report once it has ended")


def _show(platform: Platform[Settings]) -> None:
    """Print the newest report as a table, with the next command."""
    found = roll_call.report(platform.db).get().to_dict()
    if found is None:
        print("No dry run was made yet: `python -m astra.erasure roll-call --dry-run`.")  # noqa: T201
        return
    output.show(_summary(found))
    if found["orphans"]:
        table = output.table("orphan", "found in")
        for orphan in found["orphans"]:
            table.add_row(orphan["subject"][:_SHORT], ", ".join(orphan["places"]))
        output.show(table)
    wrong = roll_call.refusal(found, found["digest"], platform.clock())
    print(wrong or f"To switch it on, two staff members run: roll-call enable --report {found['digest']}")  # noqa: T201


def _summary(found: dict[str, Any]) -> "Table":
    table = output.table("what", "how many", "what a round does with them")
    table.title = f"Dry run of {found['at']}"
    more = f"{len(found['orphans']) + found['more']}" if not found["more"] else f"more than {len(found['orphans'])}"
    for row in (
        ("accounts", found["accounts"], "nothing"),
        ("accounts without a profile", found["withoutProfile"], "nothing: Auth knows them"),
        ("orphans: data without an account", more, "looks again a day later, freezes, erases days after that"),
        ("erased people of whom data came back", len(found["restored"]), "erases again"),
        ("contradictions between Auth's two views", found["contradictions"], "stops, and calls staff"),
        ("names that no account can have", found["oddNames"], "reports them"),
    ):
        table.add_row(*map(str, row))
    return table


def _switch(chosen: argparse.Namespace) -> str:
    """Ask `switch_roll_call` as the staff member whose ID token the environment holds. Raises Failed."""
    import httpx  # noqa: PLC0415

    token, base = os.environ.get("ASTRA_ID_TOKEN"), os.environ.get("ASTRA_FUNCTIONS_URL")
    if not token:
        raise Failed("ASTRA_ID_TOKEN is missing: it must hold the ID token of a staff member who is signed in")
    if not base:
        desk = operator.Desk(Environment, getattr(chosen, "project", None), operator.GOOGLE, acts=False)
        try:
            base = f"https://{desk.settings.region}-{desk.project}.cloudfunctions.net"
        except Refused as refused:
            raise Failed(str(refused)) from None
    headers = {"Authorization": f"Bearer {token}"}
    if app_check := os.environ.get("ASTRA_APP_CHECK_TOKEN"):
        headers["X-Firebase-AppCheck"] = app_check
    enabled = chosen.switch == "enable"
    data = {"enabled": enabled} | ({"report": chosen.report} if chosen.report else {})
    try:
        answer = httpx.post(f"{base}/switch_roll_call", json={"data": data}, headers=headers, timeout=_TIMEOUT)
    except httpx.HTTPError as error:
        raise Failed(f"switch_roll_call can't be asked at {base}: {type(error).__name__}") from None
    try:
        body = answer.json()
        if "error" in body:
            raise Failed(f"{body['error']['status']}: {body['error']['message']}")
        state = body["result"]["state"]
    except (ValueError, LookupError, TypeError):
        raise Failed(
            f"{base}/switch_roll_call is not deployed, or answered wrongly: HTTP {answer.status_code}"
        ) from None
    if state == "proposed":
        return "proposed: within 3 days a second staff member must run the same command"
    return f"roll call: {'on' if enabled else 'off'}"


def deletion_line(project: str, session: "Session", api: str) -> str:
    """Whether clients may delete accounts in Auth itself, past `delete_account`, in one sentence."""
    from requests import RequestException  # noqa: PLC0415

    what = "accounts deleted by clients in Auth"
    if emulated():
        return f"{what}: possible in the emulators, which have no such setting."
    try:
        headers = {"X-Goog-User-Project": project}
        answer = session.get(f"{api}/admin/v2/projects/{project}/config", headers=headers, timeout=_TIMEOUT)
        answer.raise_for_status()
        off = ((answer.json().get("client") or {}).get("permissions") or {}).get("disabledUserDeletion")
    except (RequestException, ValueError) as error:
        status = getattr(getattr(error, "response", None), "status_code", "")
        return f"{what}: NOT KNOWN: Identity Platform can't be asked ({type(error).__name__} {status})."
    if off is True:
        return f"{what}: impossible, as it should be: `delete_account` is the only way."
    return f"{what}: POSSIBLE: what is left of such people is found by the roll call alone. See the deployment docs."
