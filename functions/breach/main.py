"""Breach alerts: triggers and options of detection, assessment and response."""

import base64
from datetime import timedelta
from functools import cache
from typing import Any

from firebase_functions import https_fn, pubsub_fn, scheduler_fn, tasks_fn
from firebase_functions.core import CloudEvent
from flask import Request, Response

from astra.runtime import callables
from astra.runtime.callables import Answer, Call
from astra.runtime.deployment import TASK_TIMEOUT_SECONDS, Group, defaults, long_task
from astra.runtime.rate_limits import Limit
from astra.runtime.settings import RedisSettings
from astra.runtime.task_queue import Queue

from breach import schedule
from breach.assessment import affected
from breach.detection import watch as detection_watch
from breach.response import approve_notice as response_approve_notice
from breach.response import confirm, contain, decisions, regulators
from breach.response import notice_page as response_notice_page
from breach.settings import AssessmentSettings, IncidentSettings, TickSettings, WatchSettings

defaults(cpu=0.2, concurrency=1, max_instances=2)
STAFF = Group("breach-functions", IncidentSettings)
WATCH = Group("alerts-functions", WatchSettings)
ASSESSMENT = Group("assessment-functions", AssessmentSettings)
TICK = Group("alerts-functions", TickSettings)
PAGES = Group("pages-functions", RedisSettings)
TICK_TIMEOUT = 240
#: No person works faster.
LIMIT = Limit(30)


@cache
def assessments(group: Group[Any]) -> Queue:
    return Queue(group.platform, "assess")


@tasks_fn.on_task_dispatched(**ASSESSMENT.options(**long_task(cpu=0.2, concurrency=1, max_instances=2)))
@ASSESSMENT.serves
def assess(request: https_fn.CallableRequest[Any]) -> None:
    budget = timedelta(seconds=TASK_TIMEOUT_SECONDS * 0.7)
    affected.work(ASSESSMENT.platform, assessments(ASSESSMENT), request.data["job"], budget=budget)


@scheduler_fn.on_schedule(**TICK.options(schedule="every 5 minutes", timeout_sec=TICK_TIMEOUT, max_instances=1))
@TICK.serves
def tick(_event: scheduler_fn.ScheduledEvent) -> None:
    schedule.tick(TICK.platform, assessments(TICK))


# What was not counted comes again.
@pubsub_fn.on_message_published(**WATCH.options(topic="audit-logs", retry=True, cpu=0.3, max_instances=20))
@WATCH.serves
def watch(event: CloudEvent[pubsub_fn.MessagePublishedData[Any]]) -> None:
    detection_watch.watch(WATCH.platform, [base64.b64decode(event.data.message.data)])


@callables.on_call(STAFF, decisions.ReportIncident, LIMIT)
def report_incident(call: Call[decisions.ReportIncident]) -> Answer:
    return decisions.report_incident(STAFF.platform, call)


@callables.on_call(STAFF, confirm.ConfirmIncident, LIMIT)
def confirm_incident(call: Call[confirm.ConfirmIncident]) -> Answer:
    return confirm.confirm_incident(STAFF.platform, call)


@callables.on_call(STAFF, contain.ContainIncident, LIMIT)
def contain_incident(call: Call[contain.ContainIncident]) -> Answer:
    return contain.contain_incident(STAFF.platform, call)


@callables.on_call(STAFF, decisions.DescribeIncident, LIMIT)
def describe_incident(call: Call[decisions.DescribeIncident]) -> Answer:
    return decisions.describe_incident(STAFF.platform, call)


@callables.on_call(STAFF, regulators.TellRegulator, LIMIT)
def tell_regulator(call: Call[regulators.TellRegulator]) -> Answer:
    return regulators.tell_regulator(STAFF.platform, call)


@callables.on_call(STAFF, decisions.DelayNotice, LIMIT)
def delay_notice(call: Call[decisions.DelayNotice]) -> Answer:
    return decisions.delay_notice(STAFF.platform, call)


@callables.on_call(STAFF, response_approve_notice.ApproveNotice, LIMIT)
def approve_notice(call: Call[response_approve_notice.ApproveNotice]) -> Answer:
    return response_approve_notice.approve_notice(STAFF.platform, call)


@callables.on_call(STAFF, confirm.RuleOutPeople, LIMIT)
def rule_out_people(call: Call[confirm.RuleOutPeople]) -> Answer:
    return confirm.rule_out_people(STAFF.platform, call)


@callables.on_call(STAFF, decisions.CloseIncident, LIMIT)
def close_incident(call: Call[decisions.CloseIncident]) -> Answer:
    return decisions.close_incident(STAFF.platform, call)


@https_fn.on_request(**PAGES.options(cpu=0.3, max_instances=20))
@PAGES.serves
def notice_page(request: Request) -> Response:
    return response_notice_page.notice_page(PAGES.platform, request)
