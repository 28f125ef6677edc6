"""Eventarc triggers that come with a function: their region, their account and whether an event arrives at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.run import service_name
from tests.deployment.cloud.service import Ask, Json, Refusal, serves

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

#: Regions that a function may be in which listens to a bucket in a multi-region or dual-region.
_WITHIN: Final = {
    "us": ("us-",),
    "eu": ("europe-",),
    "asia": ("asia-",),
    "nam4": ("us-central1", "us-east1"),
    "eur4": ("europe-north1", "europe-west4"),
}
_STORAGE: Final = "google.cloud.storage.object.v1."
_PUBSUB: Final = "google.cloud.pubsub.topic.v1.messagePublished"


def check_trigger(cloud: Cloud, ask: Ask, function: Json) -> None:
    """Refuse a trigger whose source or account is not there, or whose region is not its source's."""
    trigger = function["eventTrigger"]
    region = function["name"].split("/")[3]
    kind = trigger.get("eventType", "")
    account = trigger.get("serviceAccountEmail") or cloud.build_account
    cloud.act_as(ask.caller, account)
    if kind.startswith(_STORAGE):
        _check_bucket(cloud, trigger, region)
    elif kind == _PUBSUB:
        if trigger.get("pubsubTopic", "") not in cloud.resources:
            raise Refusal("NOT_FOUND", f"Topic {trigger.get('pubsubTopic')} was not found")
    else:
        raise Refusal("INVALID_ARGUMENT", f"The event type '{kind}' is not known to the rehearsal.")
    if not cloud.may(f"serviceAccount:{account}", "eventarc.events.receiveEvent"):
        message = (
            f"Permission 'eventarc.events.receiveEvent' denied for the trigger's service account {account}: it needs "
            "roles/eventarc.eventReceiver."
        )
        raise Refusal("FAILED_PRECONDITION", message)


def _check_bucket(cloud: Cloud, trigger: Json, region: str) -> None:
    [bucket] = [one["value"] for one in trigger.get("eventFilters", []) if one["attribute"] == "bucket"] or [""]
    found = cloud.resources.get(f"b/{bucket}")
    if found is None:
        raise Refusal("FAILED_PRECONDITION", f"Bucket {bucket} does not exist.")
    location = found["location"].lower()
    if trigger.get("triggerRegion", region) != location:
        message = f"Bucket {bucket} is in {location}; the trigger's region is {trigger.get('triggerRegion', region)}."
        raise Refusal("INVALID_ARGUMENT", message)
    if region != location and not region.startswith(_WITHIN.get(location, ("none",))):
        raise Refusal("INVALID_ARGUMENT", f"A function in {region} cannot listen to bucket {bucket} in {location}.")
    agent = f"serviceAccount:service-{cloud.number}@gs-project-accounts.iam.gserviceaccount.com"
    if not cloud.may(agent, "pubsub.topics.publish"):
        message = (
            "The Cloud Storage service account for your bucket is unable to publish to Cloud Pub/Sub topics in the "
            "specified project. It needs roles/pubsub.publisher."
        )
        raise Refusal("FAILED_PRECONDITION", message)


def make_trigger(cloud: Cloud, function: Json) -> None:
    """Make the trigger of a function, or change it."""
    name = _trigger_name(function)
    trigger = function["eventTrigger"]
    trigger["trigger"] = name
    cloud.resources[name] = {
        "name": name,
        "serviceAccount": trigger.get("serviceAccountEmail") or cloud.build_account,
        "destination": service_name(function),
        "eventType": trigger["eventType"],
    }


def _trigger_name(function: Json) -> str:
    return f"{service_name(function)}/trigger".replace("/services/", "/triggers/")


def undelivered(cloud: Cloud) -> dict[str, str]:
    """Triggers whose events would be refused by their function's service, and why.

    Nothing refuses such a deployment: events vanish, with a 403 in the service's log.
    """
    problems = {}
    for name, trigger in cloud.named(r"projects/[^/]+/locations/[^/]+/triggers/.+").items():
        member = f"serviceAccount:{trigger['serviceAccount']}"
        if not cloud.may(member, "run.routes.invoke", trigger["destination"]):
            problems[name] = f"{trigger['serviceAccount']} lacks roles/run.invoker on {trigger['destination']}"
    return problems


@serves(
    "GET",
    "eventarc.googleapis.com/v1/projects/{project}/locations/{location}/triggers",
    permission="eventarc.triggers.list",
)
def list_triggers(cloud: Cloud, ask: Ask) -> Json:
    """List triggers."""
    pattern = f"projects/{cloud.project}/locations/{ask['location']}/triggers/.+".replace("/-/", "/[^/]+/")
    return {"triggers": list(cloud.named(pattern).values())}
