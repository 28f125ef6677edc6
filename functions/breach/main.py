"""Breach: from the first signal to the last notice; and the fan-out of every campaign of notices."""

import base64
from datetime import timedelta
from functools import cache
from typing import Any

from firebase_functions import https_fn, options, pubsub_fn, scheduler_fn, tasks_fn
from firebase_functions.core import CloudEvent
from flask import Request, Response

from astra import callables
from astra.callables import Answer, Call
from astra.limits import Limit
from astra.platform import Platform
from astra.queue import Queue
from astra.settings import BreachSettings

import breach_notice
import containing
import deciding
import declaring
import feedback
import filing
import page
import ticking
import watching

PLATFORM = Platform.at_start(BreachSettings)
REGION = options.SupportedRegion.US_CENTRAL1
ACCOUNT = "breach-functions@"
SECRETS = ["ASTRA_PSEUDONYM_KEY", "ASTRA_REDIS_URL", "ASTRA_SMTP_URL", "ASTRA_BOUNCE_SECRET"]
TASK_TIMEOUT = 1800
TICK_TIMEOUT = 240
#: No person works faster.
STAFF = Limit(30)


@cache
def queue() -> Queue:
    return Queue(PLATFORM.app, "notify")


@tasks_fn.on_task_dispatched(
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    timeout_sec=TASK_TIMEOUT,
    retry_config=options.RetryConfig(max_attempts=5, min_backoff_seconds=10),
    rate_limits=options.RateLimits(max_concurrent_dispatches=20),
)
@callables.guarded
def notify(request: https_fn.CallableRequest[Any]) -> None:
    ticking.notify(PLATFORM, queue(), request.data["job"], budget=timedelta(seconds=TASK_TIMEOUT * 0.7))


@callables.on_call(PLATFORM, feedback.SeeNotice, Limit(120), region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def see_notice(call: Call[feedback.SeeNotice]) -> Answer:
    return feedback.see_notice(PLATFORM, call)


@https_fn.on_request(region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def bounced(request: Request) -> Response:
    return feedback.bounced(PLATFORM, request)


@scheduler_fn.on_schedule(
    schedule="every 5 minutes",
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    timeout_sec=TICK_TIMEOUT,
)
@callables.guarded
def tick(_event: scheduler_fn.ScheduledEvent) -> None:
    ticking.tick(PLATFORM, queue())


@pubsub_fn.on_message_published(
    topic="audit-logs",
    retry=True,  # what was not counted comes again
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
)
@callables.guarded
def watch(event: CloudEvent[pubsub_fn.MessagePublishedData[Any]]) -> None:
    watching.watch(PLATFORM, [base64.b64decode(event.data.message.data)])


@callables.on_call(PLATFORM, deciding.ReportIncident, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def report_incident(call: Call[deciding.ReportIncident]) -> Answer:
    return deciding.report_incident(PLATFORM, call)


@callables.on_call(PLATFORM, declaring.ConfirmIncident, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def confirm_incident(call: Call[declaring.ConfirmIncident]) -> Answer:
    return declaring.confirm_incident(PLATFORM, call)


@callables.on_call(PLATFORM, containing.ContainIncident, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def contain_incident(call: Call[containing.ContainIncident]) -> Answer:
    return containing.contain_incident(PLATFORM, call)


@callables.on_call(PLATFORM, deciding.DescribeIncident, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def describe_incident(call: Call[deciding.DescribeIncident]) -> Answer:
    return deciding.describe_incident(PLATFORM, call)


@callables.on_call(PLATFORM, filing.TellRegulator, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def tell_regulator(call: Call[filing.TellRegulator]) -> Answer:
    return filing.tell_regulator(PLATFORM, call)


@callables.on_call(PLATFORM, deciding.DelayNotice, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def delay_notice(call: Call[deciding.DelayNotice]) -> Answer:
    return deciding.delay_notice(PLATFORM, call)


@callables.on_call(
    PLATFORM, breach_notice.ApproveNotice, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT
)
def approve_notice(call: Call[breach_notice.ApproveNotice]) -> Answer:
    return breach_notice.approve_notice(PLATFORM, call)


@callables.on_call(PLATFORM, declaring.RuleOutPeople, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def rule_out_people(call: Call[declaring.RuleOutPeople]) -> Answer:
    return declaring.rule_out_people(PLATFORM, call)


@callables.on_call(PLATFORM, deciding.CloseIncident, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def close_incident(call: Call[deciding.CloseIncident]) -> Answer:
    return deciding.close_incident(PLATFORM, call)


@https_fn.on_request(region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def notice_page(request: Request) -> Response:
    return page.notice_page(PLATFORM, request)
