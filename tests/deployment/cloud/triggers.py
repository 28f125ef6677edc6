"""Cloud Scheduler, Cloud Tasks and Pub/Sub: what calls functions beside people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tests.deployment.cloud.policies import serves_policies
from tests.deployment.cloud.service import Ask, Json, Refusal, apply_mask, check_name, fields, serves

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_PLACE: Final = "/projects/{project}/locations/{location}"
_JOBS: Final = f"cloudscheduler.googleapis.com/v1{_PLACE}/jobs"
_JOB: Final = fields(
    "name description schedule timeZone attemptDeadline pubsubTarget appEngineHttpTarget state",
    httpTarget=fields(
        "uri httpMethod headers body oauthToken",
        oidcToken=fields("serviceAccountEmail audience"),
    ),
    retryConfig=fields("retryCount maxRetryDuration minBackoffDuration maxBackoffDuration maxDoublings"),
)
_SCHEDULE: Final = re.compile(r"every \d+ (minutes|hours|mins|days)|every day \d\d:\d\d|(\S+ ){4}\S+")


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?s", text):
        raise Refusal("INVALID_ARGUMENT", f"Invalid duration '{text}'.")
    return float(text[:-1])


def _check_job(cloud: Cloud, ask: Ask, job: Json) -> None:
    if not _SCHEDULE.fullmatch(job.get("schedule", "")):
        raise Refusal("INVALID_ARGUMENT", f"Schedule or time zone is invalid: {job.get('schedule')!r}.")
    if not 15 <= _seconds(job.get("attemptDeadline", "180s")) <= 1800:
        raise Refusal("INVALID_ARGUMENT", "attemptDeadline must be between 15 seconds and 30 minutes.")
    target = job.get("httpTarget", {})
    if not re.fullmatch(r"https://[^/]+(/.*)?", target.get("uri") or ""):
        raise Refusal("INVALID_ARGUMENT", f"Invalid httpTarget.uri: {target.get('uri')!r}.")
    email = target.get("oidcToken", {}).get("serviceAccountEmail", "")
    if not re.fullmatch(r"[^@\s]+@[a-z0-9-]+(\.[a-z0-9-]+)+", email):
        raise Refusal("INVALID_ARGUMENT", f"Invalid value for oidcToken.serviceAccountEmail: {email!r}.")
    # Scheduler looks the account up, and asks whether the caller may act as it.
    cloud.act_as(ask.caller, email)


@serves("GET", f"{_JOBS}/{{job}}", permission="cloudscheduler.jobs.get")
def get_job(cloud: Cloud, ask: Ask) -> Json:
    """Describe a job."""
    return cloud.get(_job(ask))


@serves("GET", _JOBS, permission="cloudscheduler.jobs.list")
def list_jobs(cloud: Cloud, ask: Ask) -> Json:
    """List jobs."""
    return {"jobs": cloud.under(f"projects/{cloud.project}/locations/{ask['location']}", "jobs")}


def _job(ask: Ask) -> str:
    return f"projects/{ask['project']}/locations/{ask['location']}/jobs/{ask['job']}"


@serves("POST", _JOBS, permission="cloudscheduler.jobs.create")
def create_job(cloud: Cloud, ask: Ask) -> Json:
    """Create a job. Its account must exist and be named in full."""
    job = ask.json(_JOB, "job")
    parent = f"projects/{cloud.project}/locations/{ask['location']}/jobs/"
    check_name("Job name", job.get("name", ""), re.escape(parent) + r"[a-zA-Z0-9_-]{1,500}")
    _check_job(cloud, ask, job)
    return cloud.create(job["name"], {**job, "state": "ENABLED"})


@serves("PATCH", f"{_JOBS}/{{job}}", permission="cloudscheduler.jobs.update")
def update_job(cloud: Cloud, ask: Ask) -> Json:
    """Change a job."""
    job = dict(cloud.get(_job(ask)))
    apply_mask(job, ask.json(_JOB, "job"), ask.mask(), _JOB)
    _check_job(cloud, ask, job)
    cloud.resources[_job(ask)] = job
    return job


@serves("DELETE", f"{_JOBS}/{{job}}", permission="cloudscheduler.jobs.delete")
def delete_job(cloud: Cloud, ask: Ask) -> Json:
    """Delete a job."""
    cloud.delete(_job(ask))
    return {}


_QUEUES: Final = f"cloudtasks.googleapis.com/v2{_PLACE}/queues"
_QUEUE: Final = fields(
    "name state purgeTime appEngineRoutingOverride",
    rateLimits=fields("maxDispatchesPerSecond maxConcurrentDispatches maxBurstSize"),
    retryConfig=fields("maxAttempts maxRetryDuration minBackoff maxBackoff maxDoublings"),
    stackdriverLoggingConfig=fields("samplingRatio"),
)


def _queue(ask: Ask) -> str:
    return f"projects/{ask['project']}/locations/{ask['location']}/queues/{ask['queue']}"


def _check_queue(queue: Json) -> None:
    limits: dict[str, Any] = queue.get("rateLimits") or {}
    if not 0 < float(limits.get("maxDispatchesPerSecond", 500)) <= 500:
        raise Refusal("INVALID_ARGUMENT", "rateLimits.maxDispatchesPerSecond must be between 0 and 500.")
    if not 1 <= int(limits.get("maxConcurrentDispatches", 1000)) <= 5000:
        raise Refusal("INVALID_ARGUMENT", "rateLimits.maxConcurrentDispatches must be between 1 and 5000.")
    retry: dict[str, Any] = queue.get("retryConfig") or {}
    if _seconds(retry.get("minBackoff", "0.1s")) > _seconds(retry.get("maxBackoff", "3600s")):
        raise Refusal("INVALID_ARGUMENT", "retryConfig.minBackoff must not exceed maxBackoff.")


@serves("GET", f"{_QUEUES}/{{queue}}", permission="cloudtasks.queues.get")
def get_queue(cloud: Cloud, ask: Ask) -> Json:
    """Describe a queue."""
    return cloud.get(_queue(ask))


@serves("POST", _QUEUES, permission="cloudtasks.queues.create")
def create_queue(cloud: Cloud, ask: Ask) -> Json:
    """Create a queue, whose ID knows no underscore."""
    queue = ask.json(_QUEUE, "queue")
    parent = f"projects/{cloud.project}/locations/{ask['location']}/queues/"
    check_name("Queue name", queue.get("name", ""), re.escape(parent) + r"[a-zA-Z0-9-]{1,100}")
    _check_queue(queue)
    return cloud.create(queue["name"], queue)


@serves("PATCH", f"{_QUEUES}/{{queue}}", permission="cloudtasks.queues.update")
def update_queue(cloud: Cloud, ask: Ask) -> Json:
    """Change a queue."""
    queue = cloud.get(_queue(ask))
    mask = [path for path in ask.mask() if path not in ("name", "state")]
    apply_mask(queue, ask.json(_QUEUE, "queue"), mask, _QUEUE)
    _check_queue(queue)
    return queue


serves_policies(f"{_QUEUES}/{{queue}}", "cloudtasks.queues", _queue, get="POST")

_TOPIC: Final = "pubsub.googleapis.com/v1/projects/{project}/topics/{topic}"


def _topic(ask: Ask) -> str:
    return f"projects/{ask['project']}/topics/{ask['topic']}"


@serves("PUT", _TOPIC, permission="pubsub.topics.create")
def create_topic(cloud: Cloud, ask: Ask) -> Json:
    """Create a topic."""
    check_name("Topic", ask["topic"], r"[a-zA-Z][a-zA-Z0-9._~+%-]{2,254}")
    ask.json(fields("name labels kmsKeyName messageRetentionDuration messageStoragePolicy"))
    return cloud.create(_topic(ask), {"name": _topic(ask)})


@serves("GET", _TOPIC, permission="pubsub.topics.get")
def get_topic(cloud: Cloud, ask: Ask) -> Json:
    """Describe a topic."""
    return cloud.get(_topic(ask))


serves_policies(_TOPIC, "pubsub.topics", _topic)
