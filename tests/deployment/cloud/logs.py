"""Cloud Logging and Cloud Monitoring: sinks, metrics and alert policies."""

from __future__ import annotations

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
    mask = [{"output_version_format": "outputVersionFormat"}.get(path, path) for path in ask.mask()]
    apply_mask(sink, ask.json(_SINK), mask, _SINK)
    return sink


@serves("POST", f"{_API}/metrics", permission="logging.logMetrics.create")
def create_metric(cloud: Cloud, ask: Ask) -> Json:
    """Create a metric of log entries."""
    body = ask.json(_METRIC)
    return cloud.create(f"projects/{cloud.project}/metrics/{body['name']}", body)


@serves("GET", f"{_API}/metrics/{{metric}}", permission="logging.logMetrics.get")
def get_metric(cloud: Cloud, ask: Ask) -> Json:
    """Describe a metric."""
    return cloud.get(f"projects/{cloud.project}/metrics/{ask['metric']}")


@serves(
    "POST",
    "monitoring.googleapis.com/v3/projects/{project}/alertPolicies",
    permission="monitoring.alertPolicies.create",
)
def create_alert(cloud: Cloud, ask: Ask) -> Json:
    """Create an alert policy, each of whose conditions says what it looks at."""
    body = ask.json(
        fields("displayName combiner conditions notificationChannels documentation enabled userLabels alertStrategy")
    )
    for condition in body.get("conditions", []):
        if "metric.type=" not in condition.get("conditionThreshold", {}).get("filter", ""):
            raise Refusal("INVALID_ARGUMENT", "Field alert_policy.conditions has a condition without a metric.type.")
    name = f"projects/{cloud.project}/alertPolicies/{len(cloud.resources)}"
    return cloud.create(name, {**body, "name": name})
