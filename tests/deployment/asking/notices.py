"""Requests to the functions of `notices`, and their effects in the stores."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from astra import tlog
from astra.notices import campaigns, deliveries, inbox
from astra.notices.campaigns import Campaign, Channel, State
from astra.notices.inbox import Kind
from astra.runtime.callables import parse
from local.webhooks import signed
from notices import campaign_requests
from tests.colleagues import logged
from tests.functions.breach.crowd import FACTS

if TYPE_CHECKING:
    from tests.deployment.world import World


def notify(world: World) -> None:
    ada, name = world.join(), campaign(world, Channel.IN_APP)
    for _ in range(20):
        for shard in campaigns.reference(world.db, name).collection("shards").list_documents():
            world.dispatch("notify", {"job": f"{name}/{shard.id}"})
        if campaigns.completed_at(world.db, name):
            break
    assert inbox.reference(world.db, ada.uid, name).get().exists


def deliver(world: World) -> None:
    crowd = campaign(world, Channel.IN_APP)
    world.fire("deliver")
    world.task("notify", lambda task: task["job"].startswith(crowd))


def see_notice(world: World) -> None:
    ada = world.join()
    notice = inbox.reference(world.db, ada.uid, "a-notice")
    notice.set(
        {"kind": "policy-change", "title": "t", "body": "b", "createdAt": world.platform.clock(), "seenAt": None}
    )
    world.call("see_notice", {"id": "a-notice"}, ada)
    assert (notice.get().to_dict() or {})["seenAt"]


def bounced(world: World) -> None:
    ada, name, now = world.join(), campaign(world, Channel.EMAIL), world.platform.clock()
    letter = deliveries.row(world.platform, ada.uid, name, {}, now, due=None, campaign=name)
    deliveries.row_of(world.db, ada.uid, name).set(letter | {"state": "accepted"})
    body = json.dumps({"messageId": f"<{letter['key']}@astra-engineering.co>", "status": "5.1.1"}).encode()
    headers = signed(body, world.stack.environment()["ASTRA_BOUNCE_SECRET"], "msg_1")
    assert world.ask("bounced", "POST", content=body, headers=headers).status_code == 204
    assert (deliveries.row_of(world.db, ada.uid, name).get().to_dict() or {})["state"] == "bounced"
    assert inbox.reference(world.db, ada.uid, name).get().exists, "in the application after all"


def send_campaign(world: World) -> None:
    name = proposed(world)
    world.decide("send_campaign", {"name": name, "state": "proposed"})
    assert state(world, name) is State.CANARY


def stop_campaign(world: World) -> None:
    name = proposed(world)
    start(world, name)
    world.decide("stop_campaign", {"name": name})
    assert state(world, name) is State.STOPPED


def resume_campaign(world: World) -> None:
    name = proposed(world)
    start(world, name)
    world.beforehand(campaign_requests.stop_campaign, campaign_requests.StopCampaign(name=name))
    world.decide("resume_campaign", {"name": name})
    assert state(world, name) is State.CANARY


def preview_campaign(world: World) -> None:
    shown = world.decide("preview_campaign", {"kind": "policy-change", "facts": FACTS})
    assert "We say more about" in shown["text"]
    assert logged(world.platform, tlog.Action.CAMPAIGN_PREVIEWED)


def campaign(world: World, channel: Channel) -> str:
    """Open a campaign for everybody. Return its name."""
    name, batch = f"policy-{secrets.token_hex(4)}", world.db.batch()
    campaigns.announce(
        batch,
        world.db,
        name,
        Campaign(Kind.POLICY_CHANGE, FACTS, (channel,)),
        world.platform.clock(),
        ("a" * 64, "b" * 64),
        canary=False,
    )
    batch.commit()
    return name


def proposed(world: World) -> str:
    """Propose a campaign. Return its name."""
    name, batch, told = (
        f"policy-{secrets.token_hex(4)}",
        world.db.batch(),
        Campaign(Kind.POLICY_CHANGE, FACTS, (Channel.IN_APP,)),
    )
    campaigns.announce(batch, world.db, name, told, world.platform.clock())
    batch.commit()
    return name


def start(world: World, name: str) -> None:
    form = parse(campaign_requests.SendCampaign, {"name": name, "state": "proposed"})
    world.beforehand(campaign_requests.send_campaign, form)


def state(world: World, name: str) -> State:
    return State((campaigns.reference(world.db, name).get().to_dict() or {})["state"])
