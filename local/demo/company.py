"""Demo: staff, their roles and what they approve."""

import hashlib
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Final

import httpx

from astra import policies
from astra.runtime.clock import iso
from local.demo.client import Client, Person
from local.demo.narration import Listener, refused, wait_for
from local.paths import ROOT
from local.stack.stack import Stack

_NOTICE: Final = timedelta(seconds=20)
"""How long before it takes effect a version is announced here; thirty days elsewhere."""


@dataclass(frozen=True)
class Staff:
    """Colleagues. `deputy` has a role from the CTO alone, the other two have not."""

    cto: Person
    deputy: Person
    security: Person
    privacy: Person


def tell(stack: Stack, client: Client, staff: Staff, listener: Listener) -> None:
    """What staff do for everybody. Raises Broken and CallError as `story.tell` does."""
    listener.chapter("The policy changes, and nobody learns of it too late")
    grace = client.join()
    _policy_changed(stack, client, staff, grace, listener)
    listener.chapter("Time goes by: what has outlived its time goes")
    _swept(stack, client, grace, listener)


def hire(stack: Stack, client: Client, listener: Listener) -> Staff:
    """Four people get their roles. Raises Broken and CallError as `story.tell` does."""
    listener.chapter("Four people begin to work here")
    mary, joan, radia, hedy = (client.join() for _ in range(4))
    early = refused(lambda: client.call("grant_role", {"uid": joan.uid, "role": "privacy"}, mary.token))
    listener.check("nobody has a role because they say so", early is not None and early.status == "PERMISSION_DENIED")
    text = resources.files("astra").joinpath(f"policies/texts/{policies.FIRST_SECURITY}.txt").read_bytes()
    for colleague in (mary, joan, radia, hedy):
        form = {"version": policies.FIRST_SECURITY, "sha256": hashlib.sha256(text).hexdigest()}
        client.call("accept_security_policy", form, colleague.token)
    command = [sys.executable, "-m", "cli", "staff", "first-cto", mary.uid, "--yes"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **stack.environment()}, check=True, timeout=120)
    client.call("grant_role", {"uid": joan.uid, "role": "privacy"}, mary.token)
    granting = {"uid": radia.uid, "role": "security"}
    listener.check("one person alone makes nobody head of security", _proposed(client, granting, mary))
    client.call("grant_role", granting, joan.token)
    client.call("grant_role", {"uid": hedy.uid, "role": "privacy"}, radia.token)
    return Staff(mary, joan, radia, hedy)


def _proposed(client: Client, granting: dict[str, str], by: Person) -> bool:
    return bool(client.call("grant_role", granting, by.token)["state"] == "proposed")


def _policy_changed(stack: Stack, client: Client, staff: Staff, grace: Person, listener: Listener) -> None:
    today = datetime.now(UTC)
    version = f"{today:%Y-%m-%d}"
    before = resources.files("astra").joinpath(f"policies/texts/{policies.FIRST}.txt").read_text(encoding="utf-8")
    form = {
        "version": version,
        "text": before.replace("Last updated: Aug 02, 2025", f"Last updated: {today:%b %d, %Y}"),
        "effectiveAt": iso(today + _NOTICE),
        "material": True,
        "summary": "What we keep of how the Service is used is kept for 90 days.",
    }
    proposed = client.call("publish_policy", form, staff.cto.token)
    listener.check("one person alone publishes nothing", proposed["state"] == "proposed")
    echo = refused(lambda: client.call("publish_policy", form, staff.deputy.token))
    listener.check("nor together with somebody who has their role from them alone", echo is not None)
    client.call("publish_policy", form, staff.privacy.token)
    path = f"policies/{version}"
    letter = wait_for("the letter", lambda: stack.mail.last_to(grace.email))
    listener.saw("Grace is written to", str(letter.message["Subject"]))
    notice = wait_for("the notice", lambda: _fields(client, f"users/{grace.uid}/notices/policy-{version}", grace))
    listener.saw("and reads in the application", notice["title"])
    dated = wait_for("the version to be dated", lambda: _fields(client, path, None, "effectiveAt"))
    told = _fields(client, f"users/{grace.uid}/notices/policy-{version}", grace) or {}
    listener.saw("she was told at, and it takes effect at", f"{told['createdAt']}, {dated['effectiveAt']}")
    listener.check("it takes effect only after everybody was told", told["createdAt"] < dated["effectiveAt"])
    wait_for("the version to be in force", lambda: iso(datetime.now(UTC)) > dated["effectiveAt"] or None)
    late = refused(lambda: client.enrol(f"{secrets.token_hex(8)}@example.com", policyVersion=policies.FIRST))
    listener.check("who signs up from now on agrees to the new one", late is not None)
    client.call("accept_policy", {"policyVersion": version}, grace.token)
    profile = _fields(client, f"users/{grace.uid}", grace) or {}
    listener.check("Grace accepts it, and that is on file", profile["policyVersion"] == version)


def _swept(stack: Stack, client: Client, grace: Person, listener: Listener) -> None:
    client.call("log_event", {"event": "page_viewed", "props": {}, "id": "an-event-of-graces"}, grace.token)
    event = f"users/{grace.uid}/events/an-event-of-graces"
    stack.fire("sweep")
    listener.check("an hourly sweep today leaves what Grace did today", _fields(client, event, grace) is not None)
    later = datetime.now(UTC) + timedelta(days=91)
    stack.fire("sweep", at=later)
    listener.check(f"one on {later:%d %B %Y} does not", _fields(client, event, grace) is None)
    later = datetime.now(UTC) + timedelta(days=701)
    stack.mail.messages.clear()
    stack.fire("sweep", at=later)
    letter = wait_for("the warning", lambda: stack.mail.last_to(grace.email))
    listener.saw(
        f"on {later:%d %B %Y}, if she is not seen until then, Grace is written to", str(letter.message["Subject"])
    )
    again = client.sign_in(grace.email, grace.password)
    stack.fire("sweep", at=datetime.now(UTC) + timedelta(days=729))
    kept = _fields(client, f"users/{grace.uid}", again) is not None
    listener.check("she signs in, and her account stays", kept)


def _fields(client: Client, path: str, person: Person | None, *needed: str) -> dict[str, str] | None:
    """A document's fields, as a client reads them; None if there is none, or it lacks one that is `needed`."""
    answer = client.document(path, person.token if person else None)
    if answer.status_code != httpx.codes.OK:
        return None
    found = {name: next(iter(value.values())) for name, value in answer.json()["fields"].items()}
    return found if all(found.get(name) for name in needed) else None
