"""Key rotation: begin one, and see how far it is."""

import sys
import time
from datetime import timedelta
from typing import Annotated, Any

import typer
from google.cloud import firestore

from astra.runtime.platform import Platform
from astra.vault.settings import SealingSettings
from cli import common, operator, output
from uploads.key_rotation import JOBS, begin, run


def _status(platform: Platform[SealingSettings]) -> None:
    rows = []
    for snapshot in platform.vault_db.collection(JOBS).get():
        job = snapshot.to_dict() or {}
        named = {"rotation": snapshot.id[:10], "of": job["total"]}
        rows.append(named | {name: job[name] for name in ("state", "done", "failed")})
    if common.CHOSEN.as_json:
        output.show(rows)
        return
    output.note(f"{'rotation':<12}{'state':<10}{'done':>8}{'of':>8}{'failed':>8}")
    for row in rows:
        output.note(f"{row['rotation']:<12}{row['state']:<10}{row['done']:>8}{row['of']:>8}{row['failed']:>8}")


def _to_the_end(platform: Platform[SealingSettings], job: firestore.DocumentReference) -> int:
    """Work on a rotation until nothing is left to do, and show how far it is; return the exit code."""
    before: dict[str, Any] = {}
    while (fields := job.get().to_dict() or {})["nextRunAt"] is not None:
        if fields == before:
            time.sleep(1)  # waiting after a failure, or in another worker's hands
        else:
            output.note(f"{fields['done']} of {fields['total']}")
        before = fields
        run(platform, job, timedelta(seconds=5))
    if fields["state"] != "ended":
        print(f"{fields['state']}: the old key is still needed", file=sys.stderr)  # noqa: T201
        return 1
    return 0


app = typer.Typer()


@app.command()
def status() -> None:
    """List rotations."""
    with operator.platform(SealingSettings, acts=False) as platform:
        _status(platform)


@app.command()
def rotate(user: Annotated[str | None, typer.Option(help="give this account alone a new key")] = None) -> None:
    """Wrap every user's key by the key service's key in use now, or give one user a new key. Content stays as it is."""
    with operator.platform(SealingSettings, acts=True) as platform:
        common.confirm(platform, "give one user a new key" if user else "wrap every user's key anew")
        code = _to_the_end(platform, begin(platform, user))
        _status(platform)
    raise typer.Exit(code)
