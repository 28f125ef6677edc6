"""First data of a new local stack: the first policy, and the roll call switched on."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx

from local.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping


def write(firestore_url: str, project: str, environment: Mapping[str, str]) -> str | None:
    """Write it. Return why it could not be written, or None."""
    # By the command that a deployer uses.
    done = subprocess.run(
        [sys.executable, "-m", "cli", "policies", "publish-first", "--yes"],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        return f"the first policy can't be published: {done.stderr.strip().rpartition(chr(10))[2]}"
    # Here Auth has no outages, and nobody works here yet who could decide it.
    switch = f"projects/{project}/databases/(default)/documents/controls/roll-call"
    now = {"timestampValue": datetime.now(UTC).isoformat()}
    fields = {"enabled": {"booleanValue": True}, "report": {"nullValue": None}, "at": now}
    owner = {"Authorization": "Bearer owner"}  # the emulator's administrator
    answer = httpx.patch(f"{firestore_url}/v1/{switch}", json={"fields": fields}, headers=owner, trust_env=False)
    return None if answer.is_success else f"the roll call can't be switched on: HTTP {answer.status_code}"
