"""Requests to the functions of `breach`, and their effects in the stores."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from firebase_admin import auth

from astra.accounts import honeytokens
from breach import deadlines, incidents, texts
from local import audit_log
from tests.functions.breach.crowd import Crowd
from tests.functions.breach.desk import SAID, THIEF, Desk

if TYPE_CHECKING:
    from tests.deployment.world import World

_SERVICE = "uploads-functions@demo-astra.iam.gserviceaccount.com"


def report_incident(world: World) -> None:
    form = {"what": "A laptop is gone", "severity": 1, "noticedAt": ago(world)}
    answer = world.call("report_incident", form, world.cleo)
    assert incident(world, answer["incidentId"])["severity"] == 1


def confirm_incident(world: World) -> None:
    name = desk(world).report()
    form = {"incidentId": name, "awareAt": ago(world), "occurredFrom": ago(world, hours=6), "occurredUntil": ago(world)}
    world.call("confirm_incident", form, world.cleo)
    assert incident(world, name)["awareAt"] == datetime.fromisoformat(form["awareAt"])


def contain_incident(world: World) -> None:
    name, thief = desk(world).report(), world.join()
    account = f"projects/{world.project}/serviceAccounts/x@{world.project}.iam.gserviceaccount.com"
    key = f"{account}/keys/{secrets.token_hex(8)}"
    for measure in ({"measure": "disable-user", "uid": thief.uid}, {"measure": "disable-key", "key": key}):
        world.call("contain_incident", {"incidentId": name, **measure}, world.cleo)
    assert auth.get_user(thief.uid, app=world.platform.app).disabled
    assert world.stack.google.disabled[key]


def describe_incident(world: World) -> None:
    name = desk(world).report()
    world.call("describe_incident", {"incidentId": name, **SAID}, world.cleo)
    assert SAID["nature"] in json.dumps(incident(world, name), default=str)


def tell_regulator(world: World) -> None:
    it = desk(world)
    name = counted(world, it)
    clock = deadlines.BY_NAME["gdpr-authority"]
    sent = ago(world)
    text = texts.filing(name, it.incident(name), clock, "initial", "", datetime.fromisoformat(sent))
    form = {"incidentId": name, "clock": clock.name, "phase": "initial", "sentAt": sent, "reference": "FILE-1"}
    world.call("tell_regulator", {**form, "sha256": text.sha256}, world.cleo)
    assert text.sha256 in json.dumps(incident(world, name), default=str)


def delay_notice(world: World) -> None:
    it = desk(world)
    name = counted(world, it)
    until = (world.platform.clock() + timedelta(days=3)).isoformat()
    form = {"incidentId": name, "basis": "The police asked for it, case 7/26", "until": until}
    world.decide("delay_notice", form)
    assert "case 7/26" in json.dumps(incident(world, name), default=str)


def approve_notice(world: World) -> None:
    it = desk(world)
    name = counted(world, it)
    sha256 = texts.notice(name, it.incident(name)).sha256
    world.decide("approve_notice", {"incidentId": name, "sha256": sha256})
    assert incident(world, name)["notice"]["sha256"] == sha256


def notice_page(world: World) -> None:
    it = desk(world)
    name = counted(world, it)
    for person in (it.ada, it.bob):
        it.approve(name, person)
    page = world.ask("notice_page", "GET", f"/?id={name}").text
    assert page == incident(world, name)["notice"]["html"]


def rule_out_people(world: World) -> None:
    it = desk(world)
    name = it.report()
    it.confirm(name)
    it.gather(name)
    world.decide(
        "rule_out_people", {"incidentId": name, "reason": "The disk was encrypted, and the key was not there."}
    )
    assert "The disk was encrypted" in json.dumps(incident(world, name), default=str)


def close_incident(world: World) -> None:
    name = desk(world).report()
    world.call("close_incident", {"incidentId": name, "falseAlarm": True, "reference": "SEC-2026-1"}, world.cleo)
    assert incident(world, name)["state"] == "closed"


def watch(world: World) -> None:
    at, before = world.platform.clock(), {stored.id for stored in incidents.open_ones(world.db)}
    entry = audit_log.read(at, THIEF, f"users/{honeytokens.new_uid(world.platform.pseudonyms)}")
    data = base64.b64encode(json.dumps(entry).encode()).decode()
    published, named = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), {"messageId": "1", "message_id": "1"}
    message = {"data": data, **named, "publishTime": published, "publish_time": published, "attributes": {}}
    topic = f"//pubsub.googleapis.com/projects/{world.project}/topics/audit-logs"
    subscription = f"projects/{world.project}/subscriptions/eventarc-watch"
    kind = "google.cloud.pubsub.topic.v1.messagePublished"
    world.deliver("watch", kind, topic, {"message": message, "subscription": subscription})
    [case] = (stored for stored in incidents.open_ones(world.db) if stored.id not in before)
    assert case.get("detector") == "honey-touched"


def assess(world: World) -> None:
    it = desk(world)
    name = it.report()
    it.confirm(name)
    world.dispatch("assess", {"job": name})
    assert incident(world, name)["countedAt"]


def tick(world: World) -> None:
    it = desk(world)
    name = it.report()
    it.confirm(name)
    world.fire("tick")
    world.task("assess", lambda task: task["job"] == name)


def desk(world: World) -> Desk:
    """Return a desk of the staff that this world has."""
    it = Desk.__new__(Desk)
    it.platform, it.stack, it.db = world.platform, world.stack, world.db
    it.ada, it.bob, it.carol = world.cleo, world.priya, world.priya
    it.hints = Crowd(world.platform).hints
    return it


def counted(world: World, it: Desk) -> str:
    """Return an incident that is confirmed, counted and described: one person of Germany was read."""
    ada = world.join()
    ada.profile.update({"jurisdiction": "DE"})
    it.happened(audit_log.read(world.platform.clock() - timedelta(hours=1), _SERVICE, f"users/{ada.uid}"))
    name = it.report()
    it.confirm(name, serviceAccounts=[_SERVICE.replace("demo-astra", world.project)])
    it.gather(name)
    it.describe(name)
    return name


def incident(world: World, name: str) -> dict[str, Any]:
    return incidents.reference(world.db, name).get().to_dict() or {}


def ago(world: World, **before: float) -> str:
    return (world.platform.clock() - timedelta(**before)).astimezone(UTC).isoformat()
