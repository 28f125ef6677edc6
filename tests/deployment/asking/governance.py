"""Requests to the functions of `governance`, and their effects in the stores."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from astra import policies, staff
from astra.erasure import roll_call
from astra.runtime.callables import parse
from astra.runtime.clock import iso
from astra.staff import Role
from governance import legal_holds, reviews, transfer_requests
from governance import policies as governance_policies
from tests.announcing import SUMMARY, text_of

if TYPE_CHECKING:
    from tests.deployment.world import World

_BASIS = "Code of civil procedure 142, case 7 O 12/26"
_FOUND = {"accounts": 40, "withoutProfile": 2, "orphans": [], "more": 0, "restored": [], "contradictions": 0}


def accept_security_policy(world: World) -> None:
    ada, required = world.join(), policies.current(world.db, world.platform.clock(), policies.SECURITY)
    world.call("accept_security_policy", {"version": required.version, "sha256": required.sha256}, ada)
    assert staff.Member.of(staff.reference(world.db, ada.uid).get(), world.platform.clock()).accepted(required)


def grant_role(world: World) -> None:
    ada = world.join()
    ada.accept()
    world.decide("grant_role", {"uid": ada.uid, "role": "security"})
    assert ada.role() is Role.SECURITY
    assert ada.claim() == "security"


def revoke_role(world: World) -> None:
    ada = world.team.hire(Role.SUPPORT)
    world.decide("revoke_role", {"uid": ada.uid})
    assert ada.role() is None


def sign_review(world: World) -> None:
    year = world.platform.clock().year
    world.db.document(f"{reviews.REVIEWS}/{year}").set(reviews.of_july(year))
    version = policies.current(world.db, world.platform.clock(), policies.SECURITY).version
    world.decide("sign_review", {"review": str(year), "policyVersion": version})
    assert world.fields(f"{reviews.REVIEWS}/{year}")["state"] == "signed"


def place_hold(world: World) -> None:
    ada = world.join()
    hold = world.decide("place_hold", hold_of(world, ada.uid))["holdId"]
    assert world.fields(f"holds/{ada.subject}")[hold]["basis"] == _BASIS


def release_hold(world: World) -> None:
    ada = world.join()
    form = parse(legal_holds.PlaceHold, hold_of(world, ada.uid))
    hold = world.beforehand(legal_holds.place_hold, form)["holdId"]
    world.decide("release_hold", {"uid": ada.uid, "holdId": hold})
    assert world.fields(f"holds/{ada.subject}")[hold]["releasedAt"]


def hold_of(world: World, uid: str) -> dict[str, Any]:
    until = (world.platform.clock() + timedelta(days=30)).isoformat()
    return {"uid": uid, "entries": ["consents"], "basis": _BASIS, "expiresAt": until}


def record_disclosure(world: World) -> None:
    ada, form = world.join(), {"ground": "legal-obligation", "recipient": "New York County District Court"}
    form |= {"uid": ada.uid, "processReference": "SUB-2026-0042"}
    name = world.decide("record_disclosure", {**form, "scope": ["profile"]})["disclosureId"]
    assert world.fields(f"disclosures/{ada.subject}")[name]["recipient"] == "New York County District Court"


def register_processor(world: World) -> None:
    ends = (world.platform.clock() + timedelta(days=365)).isoformat()
    form = {"name": "Replicate", "agreementReference": "DPA 2026/17", "agreementExpiresAt": ends}
    world.decide("register_processor", {**form, "dataShared": ["prompts", "replicate-artefacts"]})
    assert world.fields("processors/Replicate")["agreement"]["reference"] == "DPA 2026/17"


def remove_child(world: World) -> None:
    ada = world.join()
    world.decide("remove_child", {"uid": ada.uid, "step": "freeze", "reference": "TICKET-17"})
    assert world.fields(f"users/{ada.uid}")["state"] == "frozen"


def switch_roll_call(world: World) -> None:
    world.decide("switch_roll_call", {"enabled": False})
    assert not roll_call.is_on(world.db)
    found = {"at": iso(world.platform.clock()), **_FOUND, "oddNames": 0, "withinLimits": True}
    roll_call.report(world.db).set(report := roll_call.sealed(found))
    world.decide("switch_roll_call", {"enabled": True, "report": report["digest"]})
    assert roll_call.is_on(world.db)


def publish_policy(world: World) -> None:
    form = policy_of(world, days_ahead=0)
    world.decide("publish_policy", form)
    assert world.fields(f"{policies.PUBLIC}/{form['version']}")["text"] == form["text"]


def withdraw_policy(world: World) -> None:
    form = policy_of(world, days_ahead=1)
    world.beforehand(governance_policies.publish_policy, parse(governance_policies.PublishPolicy, form))
    world.decide("withdraw_policy", {"version": form["version"], "reason": "It says what we did not mean."})
    assert world.fields(f"{policies.PUBLIC}/{form['version']}")["state"] == "withdrawn"


def policy_of(world: World, days_ahead: int) -> dict[str, Any]:
    now = world.platform.clock()
    version = f"{now + timedelta(days=days_ahead):%Y-%m-%d}"
    effective = (now + timedelta(days=40)).isoformat()
    return {
        "version": version,
        "text": text_of(version),
        "effectiveAt": effective,
        "material": True,
        "summary": SUMMARY,
    }


def policy_page(world: World) -> None:
    text = world.ask("policy_page", "GET", f"/{policies.FIRST}?format=txt").content
    assert hashlib.sha256(text).hexdigest() == world.fields(f"{policies.PUBLIC}/{policies.FIRST}")["sha256"]


def plan_transfer(world: World) -> None:
    transfer = world.decide("plan_transfer", transfer_of(world))["transfer"]
    assert world.fields(f"transfers/{transfer}")["recipient"] == "Acme Holding, Inc."


def cancel_transfer(world: World) -> None:
    form = parse(transfer_requests.PlanTransfer, transfer_of(world))
    transfer = world.beforehand(transfer_requests.plan_transfer, form)["transfer"]
    world.decide("cancel_transfer", {"transfer": transfer})
    assert world.fields(f"transfers/{transfer}")["cancelledAt"]


def transfer_of(world: World) -> dict[str, Any]:
    planned = (world.platform.clock() + timedelta(days=31, seconds=secrets.randbelow(10**6))).isoformat()
    summary = "Acme Holding, Inc. buys the service and goes on running it."
    about = {"recipient": "Acme Holding, Inc.", "policyUrl": "https://acme.example/privacy", "summary": summary}
    return {**about, "plannedAt": planned}


def review(world: World) -> None:
    found = world.db.collection("findings")
    before = {finding.id for finding in found.get()}
    world.fire("review")
    assert {finding.id for finding in found.get()} - before
