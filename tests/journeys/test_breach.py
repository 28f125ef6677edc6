"""From a touched honey image to the notices in two people's mailboxes, through the deployed functions."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from google.cloud import firestore

from astra import staff
from astra.runtime.platform import Platform
from astra.staff import Role
from breach import incidents, texts
from cli import honeytokens
from local.breach_story import SAID, steal
from local.client import Client, Person
from local.life import PHOTOGRAPH, wait_sealed
from local.stack import Stack
from local.telling import wait_for
from retention.settings import RetentionSettings
from tests.journeys.test_staff import accept


@pytest.fixture
def ours(stack: Stack) -> Platform[Any]:
    return Platform(RetentionSettings)


@pytest.fixture
def on_call(client: Client, ours: Platform[Any]) -> Iterator[list[Person]]:
    """Two who answer for security, for as long as this takes: others begin with a project that has no CTO."""
    people = [client.join(), client.join()]
    for person, role in zip(people, (Role.CTO, Role.SECURITY), strict=True):
        accept(client, person)
        staff.reference(ours.db, person.uid).update(staff.granted(role, [], datetime.now(UTC)))
    yield people
    for person in people:
        staff.reference(ours.db, person.uid).delete()


def test_from_a_touched_honey_image_to_two_mailboxes(
    stack: Stack, client: Client, ours: Platform[Any], on_call: list[Person]
) -> None:
    platform, (boss, sam) = ours, on_call
    ada, grace, ann = client.join(), client.join(), client.join()
    image_id = client.upload(ada, PHOTOGRAPH.read_bytes())
    wait_sealed(client, ada, image_id)
    bait = honeytokens.plant(platform, "Mary Shelley", f"{secrets.token_hex(4)}@example.com", PHOTOGRAPH.read_bytes())

    def planted() -> str | None:
        images = platform.db.collection("users", bait, "images")
        return next((one.id for one in images.get() if one.get("status") == "ready"), None)

    bait_image = wait_for("the honey image is sealed", planted)

    at = datetime.now(UTC) - timedelta(minutes=5)
    thief = steal(stack, at, (ada, image_id), grace, (bait, bait_image))
    about = platform.pseudonyms.of_principal(thief)
    query = platform.db.collection(incidents.INCIDENTS).where(filter=firestore.FieldFilter("about", "==", about))
    case = wait_for("a case", lambda: next(iter(query.get()), None))
    assert (case.get("severity"), case.get("state")) == (1, "suspected")
    wait_for("the letter to who is on call", lambda: stack.mail.last_to(sam.email, "honey"))

    now = datetime.now(UTC)
    times = {"awareAt": now, "occurredFrom": at - timedelta(hours=1), "occurredUntil": now}
    form = {name: moment.isoformat() for name, moment in times.items()}
    client.call("contain_incident", {"incidentId": case.id, "measure": "freeze-exports"}, sam.token)
    assert client.call("confirm_incident", {"incidentId": case.id, **form}, sam.token) == {"state": "done"}

    def counted() -> dict[str, Any] | None:
        fields = incidents.reference(platform.db, case.id).get().to_dict() or {}
        return fields if fields["cohort"] == "frozen" else None

    assert sum(wait_for("who is affected", counted)["affected"].values()) == 2
    client.call("describe_incident", {"incidentId": case.id, **SAID}, sam.token)
    notice = texts.notice(case.id, counted() or {})
    approval = {"incidentId": case.id, "sha256": notice.sha256}
    assert client.call("approve_notice", approval, sam.token)["state"] == "proposed"
    assert client.call("approve_notice", approval, boss.token)["state"] == "done"

    def told() -> bool | None:
        letters = (one for one in stack.mail.messages if one.message["Subject"] == "Notice of Data Breach")
        return {ada.email, grace.email} <= {to for letter in letters for to in letter.recipients} or None

    wait_for("letters", told)
    for person, theirs in ((ada, True), (grace, False)):
        found = client.document(f"users/{person.uid}/notices/breach-{case.id}", person.token).raise_for_status().json()
        assert ("- images\n" in found["fields"]["body"]["stringValue"]) is theirs
    assert client.document(f"users/{ann.uid}/notices/breach-{case.id}", ann.token).status_code == 404
    page = httpx.get(stack.function_url("notice_page"), params={"id": case.id}, timeout=30)
    assert page.status_code == 200
    assert notice.sha256 in page.text
    thawed = {"incidentId": case.id, "measure": "freeze-exports", "undo": True}
    assert client.call("contain_incident", thawed, sam.token)["state"] == "done"
