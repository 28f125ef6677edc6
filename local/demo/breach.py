"""Demo: a breach, from the first signal to the notice."""

import os
import re
import secrets
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from local.demo.client import Client, Person
from local.demo.company import Staff
from local.demo.customer_life import PHOTOGRAPH, wait_sealed
from local.demo.narration import Listener, wait_for
from local.paths import ROOT
from local.stack.stack import Stack
from local.stand_ins import audit_log

SAID: Final = {
    "nature": "Confidentiality: accounts were read with a stolen credential",
    "whatHappened": "Somebody used a stolen credential of ours to read accounts.",
    "weAreDoing": "We have turned the credential off.",
    "youCanDo": "Be wary of letters that know of your pictures.",
    "measures": "The credential is off.",
    "contact": "privacy@astra-engineering.co",
}


def tell(stack: Stack, client: Client, staff: Staff, listener: Listener) -> None:
    """The breach. Raises Broken and CallError as `story.tell` does."""
    listener.chapter("Somebody reads what they must not")
    lise, emmy, rosalind = (client.join() for _ in range(3))
    image_id = client.upload(lise, PHOTOGRAPH.read_bytes())
    wait_sealed(client, lise, image_id)
    bait = _astra(
        stack, "honeytokens", "plant", "Mary Shelley", f"{secrets.token_hex(4)}@example.com", str(PHOTOGRAPH)
    ).split()[-1]
    image = wait_for("the honey image to be sealed", lambda: _sealed(stack, bait))

    at = datetime.now(UTC) - timedelta(minutes=5)
    steal(stack, at, (lise, image_id), emmy, (bait, image))
    alert = wait_for("the alert", lambda: stack.mail.last_to(staff.security.email, "honey"))
    listener.saw("the head of security is written to", str(alert.message["Subject"]))
    case = wait_for(
        "the case", lambda: next(iter(re.findall(r"\b[0-9a-f]{16,}\b", _astra(stack, "breach", "status"))), None)
    )
    customers = (lise, emmy, rosalind)
    listener.check("no customer is, by a detector", not any(_told(stack, person) for person in customers))

    now = datetime.now(UTC)
    times = {"awareAt": now, "occurredFrom": at - timedelta(hours=1), "occurredUntil": now}
    form = {name: moment.isoformat() for name, moment in times.items()}
    client.call("contain_incident", {"incidentId": case, "measure": "freeze-exports"}, staff.security.token)
    client.call("confirm_incident", {"incidentId": case, **form}, staff.security.token)
    overview = wait_for(
        "who is affected", lambda: text if "people affected" in (text := _astra(stack, "breach", "status")) else None
    )
    listener.saw("on her phone", "\n" + overview.rstrip())
    listener.check("two people are affected: not who was not read", "2 people affected" in overview)

    client.call("describe_incident", {"incidentId": case, **SAID}, staff.security.token)
    [sha256] = re.findall(r"\b[0-9a-f]{64}\b", _astra(stack, "breach", "notice", case))
    approval = {"incidentId": case, "sha256": sha256}
    alone = client.call("approve_notice", approval, staff.security.token)
    listener.check("one person alone sends nothing", alone["state"] == "proposed")
    client.call("approve_notice", approval, staff.cto.token)
    letters = [wait_for("the letter", lambda who=who: _told(stack, who)) for who in (lise, emmy)]
    listener.saw("Lise and Emmy are written to", str(letters[0].message["Subject"]))
    listener.check("Rosalind is not", _told(stack, rosalind) is None)
    theirs = [letter.message.get_body(("plain",)).get_content().splitlines() for letter in letters]
    listener.check(
        "each learns what of theirs was read: Lise's image, whose key was, too",
        "- images" in theirs[0] and "- images" not in theirs[1],
    )
    page = httpx.get(stack.function_url("notice_page"), params={"id": case}, timeout=30)
    listener.check("anybody can read the notice, under the hash that was approved", sha256 in page.text)


def steal(stack: Stack, at: datetime, opened: tuple[Person, str], read: Person, bait: tuple[str, str]) -> str:
    """Somebody reads two people, opens an image of the first with the key that they took too, and touches the bait.

    The emulators write no audit log: this is what Google's would say, handed on as its sink hands it on. Answers who.
    """
    thief, (person, image) = f"{secrets.token_hex(4)}@example.com", opened
    entries = [
        audit_log.read(at, thief, f"users/{person.uid}", f"users/{read.uid}"),
        audit_log.object_read(at, thief, f"images/{person.uid}/{image}"),
        audit_log.read(at, thief, f"keys/{person.uid}", database="vault"),
        audit_log.decrypted(at, thief),
        audit_log.object_read(at, thief, f"images/{'/'.join(bait)}"),
    ]
    httpx.post(f"{stack.google.url}/v2/entries:write", json={"entries": entries}, timeout=30).raise_for_status()
    return thief


def _told(stack: Stack, person: Person) -> Any:
    return stack.mail.last_to(person.email, "Breach")


def _sealed(stack: Stack, uid: str) -> str | None:
    """The only image of somebody who never signs in, once it is sealed."""
    url = f"{stack.firestore_url}/v1/projects/{stack.project}/databases/(default)/documents/users/{uid}/images"
    found = httpx.get(url, headers={"Authorization": "Bearer owner"}, timeout=30).json().get("documents", [])
    ready = (one["name"].rpartition("/")[2] for one in found if one["fields"]["status"]["stringValue"] == "ready")
    return next(ready, None)


def _astra(stack: Stack, *arguments: str) -> str:
    """Return what the staff command prints."""
    command = [sys.executable, "-m", "cli", *arguments, "--yes"]
    environment = {**os.environ, **stack.environment(), "COLUMNS": "60"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=120
    ).stdout
