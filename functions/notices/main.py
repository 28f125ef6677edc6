"""Notices: triggers and options of campaigns, their delivery and what comes back."""

from datetime import timedelta
from functools import cache
from typing import Any

from firebase_functions import https_fn, scheduler_fn, tasks_fn
from flask import Request, Response

from astra.runtime import callables
from astra.runtime.callables import Answer, Call
from astra.runtime.deployment import TASK_TIMEOUT_SECONDS, Group, defaults, long_task
from astra.runtime.rate_limits import Limit
from astra.runtime.settings import Environment, RedisSettings
from astra.runtime.task_queue import Queue

from notices import campaign_requests, dispatch, reports
from notices.settings import BounceSettings, CampaignSettings

defaults(cpu=0.2, concurrency=1, max_instances=2)
# What staff and recipients ask for needs no mail server.
NOTICES = Group("notices-functions", RedisSettings)
CAMPAIGNS = Group("campaigns-functions", CampaignSettings)
DELIVERY = Group("campaigns-functions", Environment)
BOUNCES = Group("bounces-functions", BounceSettings)
# What customers ask for, each by themselves.
PUBLIC: dict[str, Any] = {"max_instances": 20}
DELIVER_TIMEOUT = 240
#: No person works faster.
LIMIT = Limit(30)


@cache
def queue(group: Group[Any]) -> Queue:
    return Queue(group.platform, "notify")


@tasks_fn.on_task_dispatched(**CAMPAIGNS.options(**long_task()))
@CAMPAIGNS.serves
def notify(request: https_fn.CallableRequest[Any]) -> None:
    budget = timedelta(seconds=TASK_TIMEOUT_SECONDS * 0.7)
    dispatch.notify(CAMPAIGNS.platform, queue(CAMPAIGNS), request.data["job"], budget=budget)


@scheduler_fn.on_schedule(
    **DELIVERY.options(schedule="every 5 minutes", timeout_sec=DELIVER_TIMEOUT, cpu=0.1, max_instances=1)
)
@DELIVERY.serves
def deliver(_event: scheduler_fn.ScheduledEvent) -> None:
    dispatch.deliver(DELIVERY.platform, queue(DELIVERY))


@callables.on_call(NOTICES, reports.SeeNotice, Limit(120), **PUBLIC)
def see_notice(call: Call[reports.SeeNotice]) -> Answer:
    return reports.see_notice(NOTICES.platform, call)


@https_fn.on_request(**BOUNCES.options(**PUBLIC))
@BOUNCES.serves
def bounced(request: Request) -> Response:
    return reports.bounced(BOUNCES.platform, request)


@callables.on_call(NOTICES, campaign_requests.SendCampaign, LIMIT)
def send_campaign(call: Call[campaign_requests.SendCampaign]) -> Answer:
    return campaign_requests.send_campaign(NOTICES.platform, call)


@callables.on_call(NOTICES, campaign_requests.StopCampaign, LIMIT)
def stop_campaign(call: Call[campaign_requests.StopCampaign]) -> Answer:
    return campaign_requests.stop_campaign(NOTICES.platform, call)


@callables.on_call(NOTICES, campaign_requests.ResumeCampaign, LIMIT)
def resume_campaign(call: Call[campaign_requests.ResumeCampaign]) -> Answer:
    return campaign_requests.resume_campaign(NOTICES.platform, call)


@callables.on_call(NOTICES, campaign_requests.PreviewCampaign, LIMIT)
def preview_campaign(call: Call[campaign_requests.PreviewCampaign]) -> Answer:
    return campaign_requests.preview_campaign(NOTICES.platform, call)
