"""Cloud Logging and Cloud Monitoring: sinks, metrics, notification channels and alert policies."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.service import Ask, Json, Refusal, apply_mask, check_name, fields, serves

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_API: Final = "logging.googleapis.com/v2/projects/{project}"
_SINK: Final = fields(
    "name destination filter description disabled outputVersionFormat includeChildren writerIdentity",
    exclusions=[fields("name description filter disabled")],
)
_METRIC: Final = fields(
    "name description filter disabled metricDescriptor valueExtractor labelExtractors bucketOptions"
)
_MONITORING: Final = "monitoring.googleapis.com/v3/projects/{project}"
#: Kinds of notification channels, and the label that holds the address.
_CHANNELS: Final = {"email": "email_address", "sms": "number", "pubsub": "topic"}
_METRIC_TYPE: Final = re.compile(r'metric\.type\s*=\s*"([^"]+)"')
_OF_LOGS: Final = "logging.googleapis.com/user/"


def _sink(cloud: Cloud, ask: Ask) -> str:
    name = f"projects/{cloud.project}/sinks/{ask['sink']}"
    if ask["sink"] == "_Default" and name not in cloud.resources:
        bucket = f"logging.googleapis.com/projects/{cloud.project}/locations/global/buckets/_Default"
        cloud.resources[name] = {
            "name": "_Default",
            "destination": bucket,
            "filter": 'NOT LOG_ID("cloudaudit.googleapis.com/activity")',
        }
    return name


@serves("POST", f"{_API}/sinks", permission="logging.sinks.create")
def create_sink(cloud: Cloud, ask: Ask) -> Json:
    """Create a sink, which writes as an account of its own."""
    body = ask.json(_SINK)
    check_name("Sink name", body.get("name", ""), r"[A-Za-z0-9_.-]{1,100}")
    topic = body.get("destination", "").removeprefix("pubsub.googleapis.com/")
    if topic not in cloud.resources:
        raise Refusal("NOT_FOUND", f"Sink destination {body.get('destination')} was not found")
    writer = f"serviceAccount:{cloud.agent('gcp-sa-logging')}"
    return cloud.create(f"projects/{cloud.project}/sinks/{body['name']}", {**body, "writerIdentity": writer})


@serves("GET", f"{_API}/sinks/{{sink}}", permission="logging.sinks.get")
def get_sink(cloud: Cloud, ask: Ask) -> Json:
    """Describe a sink."""
    return cloud.get(_sink(cloud, ask))


@serves("PATCH", f"{_API}/sinks/{{sink}}", permission="logging.sinks.update")
@serves("PUT", f"{_API}/sinks/{{sink}}", permission="logging.sinks.update")
def update_sink(cloud: Cloud, ask: Ask) -> Json:
    """Change a sink."""
    sink = cloud.get(_sink(cloud, ask))
    body = ask.json(_SINK)
    [(name, times)] = Counter(one["name"] for one in body.get("exclusions", [])).most_common(1) or [("", 0)]
    if times > 1:
        raise Refusal("INVALID_ARGUMENT", f"The sink has {times} exclusions named '{name}': names must be unique.")
    mask = [{"output_version_format": "outputVersionFormat"}.get(path, path) for path in ask.mask()]
    apply_mask(sink, body, mask, _SINK)
    return sink


@serves("POST", f"{_API}/metrics", permission="logging.logMetrics.create")
def create_metric(cloud: Cloud, ask: Ask) -> Json:
    """Create a metric of log entries."""
    body = ask.json(_METRIC)
    metric = cloud.create(f"projects/{cloud.project}/metrics/{body['name']}", body)
    cloud.not_yet_known[body["name"]] = cloud.metric_refusals
    return metric


@serves("GET", f"{_API}/metrics/{{metric}}", permission="logging.logMetrics.get")
def get_metric(cloud: Cloud, ask: Ask) -> Json:
    """Describe a metric."""
    return cloud.get(f"projects/{cloud.project}/metrics/{ask['metric']}")


@serves("POST", f"{_MONITORING}/notificationChannels", permission="monitoring.notificationChannels.create")
def create_channel(cloud: Cloud, ask: Ask) -> Json:
    """Create a notification channel: an address of a kind that Cloud Monitoring can reach."""
    body = ask.json(fields("type displayName description labels userLabels enabled"))
    wanted = _CHANNELS.get(body.get("type", ""))
    if wanted is None or not body.get("labels", {}).get(wanted):
        raise Refusal("INVALID_ARGUMENT", f"A channel of type '{body.get('type')}' is unknown, or lacks {wanted}.")
    name = f"projects/{cloud.project}/notificationChannels/{10**15 + len(cloud.resources)}"
    return cloud.create(name, {**body, "name": name})


@serves("GET", f"{_MONITORING}/notificationChannels", permission="monitoring.notificationChannels.list")
def list_channels(cloud: Cloud, _ask: Ask) -> Json:
    """List notification channels."""
    return {"notificationChannels": cloud.under(f"projects/{cloud.project}", "notificationChannels")}


@serves("GET", f"{_MONITORING}/alertPolicies", permission="monitoring.alertPolicies.list")
def list_alerts(cloud: Cloud, _ask: Ask) -> Json:
    """List alert policies."""
    return {"alertPolicies": cloud.under(f"projects/{cloud.project}", "alertPolicies")}


@serves("POST", f"{_MONITORING}/alertPolicies", permission="monitoring.alertPolicies.create")
def create_alert(cloud: Cloud, ask: Ask) -> Json:
    """Create an alert policy, each of whose conditions says what it looks at. Names need not be unique."""
    body = ask.json(
        fields("displayName combiner conditions notificationChannels documentation enabled userLabels alertStrategy")
    )
    for condition in body.get("conditions", []):
        found = _METRIC_TYPE.search(condition.get("conditionThreshold", {}).get("filter", ""))
        if not found:
            raise Refusal("INVALID_ARGUMENT", "Field alert_policy.conditions has a condition without a metric.type.")
        _check_known(cloud, found[1])
    for channel in body.get("notificationChannels", []):
        if channel not in cloud.resources:
            raise Refusal("NOT_FOUND", f"Notification channel '{channel}' was not found.")
    name = f"projects/{cloud.project}/alertPolicies/{len(cloud.resources)}"
    return cloud.create(name, {**body, "name": name})


def _check_known(cloud: Cloud, kind: str) -> None:
    """Refuse a metric of log entries that Cloud Monitoring does not know: for a while, one that has just been made."""
    metric = kind.removeprefix(_OF_LOGS)
    if metric == kind:
        return
    if f"projects/{cloud.project}/metrics/{metric}" in cloud.resources:
        if not cloud.not_yet_known[metric]:
            return
        cloud.not_yet_known[metric] -= 1
    message = (
        f'Cannot find metric(s) that match type = "{kind}". If a metric was created recently, it could take up to 10 '
        "minutes to become available. Please try again soon."
    )
    raise Refusal("NOT_FOUND", message)
