"""Demo: an account deleted in the console, and the roll call that finds its data."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from astra.accounts.state import ProfileState
from local.demo.client import Client, Person
from local.demo.customer_life import PHOTOGRAPH, wait_sealed
from local.demo.narration import Listener, wait_for
from local.demo.scan import scan
from local.stack.stack import Stack

_ADMINISTRATOR = {"Authorization": "Bearer owner"}
"""What the emulators take for one."""


def tell(stack: Stack, client: Client, listener: Listener) -> None:
    """The roll call, as if twelve days went by. Raises Broken and CallError as `story.tell` does."""
    listener.chapter("An account is deleted in the console, and what it leaves behind is found")
    ida, maria = client.join(), client.join()
    wait_sealed(client, ida, client.upload(ida, PHOTOGRAPH.read_bytes()))
    url = f"{stack.auth_url}/identitytoolkit.googleapis.com/v1/projects/{stack.project}/accounts:delete"
    httpx.post(url, json={"localId": ida.uid}, headers=_ADMINISTRATOR, timeout=30).raise_for_status()
    needles = {"account id": ida.uid.encode(), "address": ida.email.encode()}
    left = scan(stack, needles)
    stores = ", ".join(sorted({finding.store for finding in left}))
    listener.saw("what it leaves behind: its id and address occur", f"{len(left)} times in {stores}")
    today = datetime.now(UTC)
    stack.fire("reconcile", at=today + timedelta(days=2))
    listener.check("the first round that misses it does nothing", _state(stack, ida) == ProfileState.ACTIVE)
    stack.fire("reconcile", at=today + timedelta(days=4))
    listener.check("a day later its profile is frozen, which can be undone", _state(stack, ida) == ProfileState.FROZEN)
    listener.check("and its image is still there", len(scan(stack, needles)) >= len(left))
    stack.fire("reconcile", at=today + timedelta(days=12))
    wait_for("its profile to go", lambda: None if _state(stack, ida) else True, 90)
    wait_for("everything of it to go", lambda: None if scan(stack, needles) else True, 90)
    listener.check("a week later it is erased with all that is left of it", held=True)
    listener.check("whoever has an account keeps everything", _state(stack, maria) == ProfileState.ACTIVE)


def _state(stack: Stack, person: Person) -> Any:
    """The state of a profile; None if there is none."""
    path = f"projects/{stack.project}/databases/(default)/documents/users/{person.uid}"
    answer = httpx.get(f"{stack.firestore_url}/v1/{path}", headers=_ADMINISTRATOR, timeout=30)
    return answer.json()["fields"]["state"]["stringValue"] if answer.is_success else None
