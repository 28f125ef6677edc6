"""Requests to the functions of `erasure`, and their effects in the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astra import erasure as erasures
from astra.accounts import tombstones

if TYPE_CHECKING:
    from tests.colleagues import Person
    from tests.deployment.world import World


def delete_account(world: World) -> None:
    ada = world.join()
    answer = world.call("delete_account", {"confirm": True}, ada)
    assert answer["requestId"] == ada.subject
    assert tombstones.reference(world.db, ada.subject).get().exists
    world.task("erase", lambda task: task["job"] == ada.subject)


def delete_item(world: World) -> None:
    ada, now = world.join(), world.platform.clock()
    event = ada.profile.collection("events").document("first-event")
    event.set({"event": "app_opened", "createdAt": now, "expireAt": now})
    world.call("delete_item", {"kind": "event", "id": "first-event"}, ada)
    assert not event.get().exists


def receipt(world: World) -> None:
    ada = begun(world)
    answer = world.call("receipt", {"receipt": world.platform.pseudonyms.receipt(ada.subject)})
    assert answer["state"] == job_of(world, ada)["state"]


def erase(world: World) -> None:
    ada = begun(world)

    def certificate() -> object:
        world.dispatch("erase", {"job": ada.subject})
        return job_of(world, ada).get("certificate")

    # Between the deletion and the verification a worker waits.
    world.eventually(certificate, "the certificate of an erasure")
    assert not ada.profile.get().exists
    # For it the function asks the project itself which copies outlive a deletion.
    assert "ListBackups" in world.production.rpc.calls


def reconcile(world: World) -> None:
    ada = begun(world)
    world.fire("reconcile")
    world.task("erase", lambda task: task["job"] == ada.subject)


def begun(world: World) -> Person:
    """Return somebody whose erasure has begun, and whom no worker has looked at."""
    person = world.join()
    assert erasures.begin(world.platform, person.uid, world.platform.clock())
    return person


def job_of(world: World, person: Person) -> dict[str, object]:
    return erasures.reference(world.db, person.subject).get().to_dict() or {}
