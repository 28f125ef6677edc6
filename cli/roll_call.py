"""The roll call: its state, the newest report, a dry run and its switch.

The switch is the callable `switch_roll_call`: who asks is proved by `ASTRA_ID_TOKEN`, the ID token of a staff member
who is signed in to the application, and by `ASTRA_APP_CHECK_TOKEN` where App Check is enforced.
"""

import os
import sys
import time
from typing import Annotated, Any, Final

import httpx
import typer
from requests import RequestException, Session

from astra import jobs
from astra.erasure import roll_call
from astra.runtime.platform import Platform
from astra.runtime.settings import Environment, Settings, emulated
from cli import common, operator, output
from cli.common import Failed

_PATIENCE: Final = 900
"""Seconds for which a dry run is waited for: `reconcile` begins it within 5 minutes."""
_POLL: Final = 1
_TIMEOUT: Final = 60
_SHORT: Final = 10


def look_or_switch(
    switch: Annotated[str, typer.Argument(help="enable, which takes two people, or disable")] = "",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="look for orphans now, and store what is found")] = False,
    report: Annotated[str, typer.Option(help="for enable: the digest of the newest dry run's report")] = "",
) -> None:
    """Show the roll call's state and newest report; look for orphans; switch it on or off."""
    if switch not in ("", "enable", "disable"):
        raise typer.BadParameter("is neither enable nor disable", param_hint="SWITCH")
    if switch and dry_run:
        raise Failed("--dry-run goes without enable or disable")
    if (switch == "enable") != bool(report):
        raise Failed("enable needs --report DIGEST, and only enable takes it")
    if switch:
        output.show(_switch(report, enabled=switch == "enable"))
        return
    with operator.platform(Settings, acts=dry_run) as platform:
        if dry_run:
            common.confirm(platform, "have the deployed function look for orphans, and store its report")
            _look(platform)
        _show(platform)


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
    raise Failed("the dry run goes on; `astra erasure roll-call` shows its report once it has ended")


def _show(platform: Platform[Settings]) -> None:
    """Print the roll call's state, and the newest report as a table, with the next command."""
    state, found = roll_call.state_line(platform.db), roll_call.report(platform.db).get().to_dict()
    if found is None:
        output.parts(state=state, next="No dry run was made yet: `astra erasure roll-call --dry-run`.")
        return
    orphans = output.table("orphan", "found in")
    for orphan in found["orphans"]:
        orphans.add_row(orphan["subject"][:_SHORT], ", ".join(orphan["places"]))
    wrong = roll_call.refusal(found, found["digest"], platform.clock())
    switch = f"To switch it on, two staff members run: astra erasure roll-call enable --report {found['digest']}"
    output.parts(state=state, summary=_summary(found), orphans=orphans, next=wrong or switch)


def _summary(found: dict[str, Any]) -> output.Table:
    table = output.table("what", "how many", "what a round does with them")
    table.facts = {"dry run of": found["at"]}
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


def _switch(report: str, *, enabled: bool) -> str:
    """Ask `switch_roll_call` as the staff member whose ID token the environment holds. Raises Failed."""
    token, base = os.environ.get("ASTRA_ID_TOKEN"), os.environ.get("ASTRA_FUNCTIONS_URL")
    if not token:
        raise Failed("ASTRA_ID_TOKEN is missing: it must hold the ID token of a staff member who is signed in")
    desk = operator.Desk(Environment, common.CHOSEN.project, operator.GOOGLE, acts=False)
    if not base:
        base = f"https://{desk.settings.region}-{desk.project}.cloudfunctions.net"
    common.confirm(desk, f"switch the roll call {'on' if enabled else 'off'}")
    headers = {"Authorization": f"Bearer {token}"}
    if app_check := os.environ.get("ASTRA_APP_CHECK_TOKEN"):
        headers["X-Firebase-AppCheck"] = app_check
    data = {"enabled": enabled} | ({"report": report} if report else {})
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


def deletion_line(project: str, session: Session, api: str) -> str:
    """Whether clients may delete accounts in Auth itself, past `delete_account`, in one sentence."""
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
