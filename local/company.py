"""The people behind the service: who may do what, and what reaches everybody."""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources

from astra import policy
from local.client import Client, Person
from local.paths import ROOT
from local.stack import Stack
from local.telling import Listener, refused


@dataclass(frozen=True)
class Staff:
    """Three colleagues."""

    cto: Person
    privacy: Person
    security: Person


def tell(stack: Stack, client: Client, listener: Listener) -> None:
    """What staff do. Raises Broken and CallError as `story.tell` does."""
    listener.chapter("Three people begin to work here")
    _hired(stack, client, listener)


def _hired(stack: Stack, client: Client, listener: Listener) -> Staff:
    mary, joan, radia = client.join(), client.join(), client.join()
    early = refused(lambda: client.call("grant_role", {"uid": joan.uid, "role": "privacy"}, mary.token))
    listener.check("nobody has a role because they say so", early is not None and early.status == "PERMISSION_DENIED")
    text = resources.files("astra").joinpath(f"policies/{policy.FIRST_SECURITY}.txt").read_bytes()
    for colleague in (mary, joan, radia):
        form = {"version": policy.FIRST_SECURITY, "sha256": hashlib.sha256(text).hexdigest()}
        client.call("accept_security_policy", form, colleague.token)
    command = [sys.executable, "-m", "astra.staff", "first-cto", mary.uid]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **stack.environment()}, check=True)
    client.call("grant_role", {"uid": joan.uid, "role": "privacy"}, mary.token)
    granting = {"uid": radia.uid, "role": "security"}
    listener.check("one person alone makes nobody head of security", _proposed(client, granting, mary))
    client.call("grant_role", granting, joan.token)
    return Staff(mary, joan, radia)


def _proposed(client: Client, granting: dict[str, str], by: Person) -> bool:
    return bool(client.call("grant_role", granting, by.token)["state"] == "proposed")
