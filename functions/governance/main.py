"""Governance: what staff may do and who agreed to it, what comes due, and a log of it that nobody can change."""

from datetime import timedelta

from firebase_functions import https_fn, options, scheduler_fn
from flask import Request, Response

from astra import callables
from astra.callables import Answer, Call
from astra.limits import Limit
from astra.platform import Platform
from astra.settings import GovernanceSettings

import campaigning
import children
import disclosing
import holding
import policy_pages
import processing
import publishing
import reviewing
import reviews
import roles
import roll_call_switch
import sequencing
import transferring

PLATFORM = Platform.at_start(GovernanceSettings)
REGION = options.SupportedRegion.US_CENTRAL1
ACCOUNT = "governance-functions@"
SECRETS = [
    *("ASTRA_PSEUDONYM_KEY", "ASTRA_REDIS_URL"),
    *("ASTRA_LOG_KEY", "ASTRA_WITNESS_KEY_ID", "ASTRA_WITNESS_SECRET"),
]
SCHEDULE_TIMEOUT = 240
#: No person works faster. Where it can't be counted, the log still can't be flooded: see `privileged`.
STAFF = Limit(30)


@callables.on_call(PLATFORM, roles.AcceptSecurityPolicy, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def accept_security_policy(call: Call[roles.AcceptSecurityPolicy]) -> Answer:
    return roles.accept_security_policy(PLATFORM, call)


@callables.on_call(PLATFORM, roles.GrantRole, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def grant_role(call: Call[roles.GrantRole]) -> Answer:
    return roles.grant_role(PLATFORM, call)


@callables.on_call(PLATFORM, roles.RevokeRole, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def revoke_role(call: Call[roles.RevokeRole]) -> Answer:
    return roles.revoke_role(PLATFORM, call)


@callables.on_call(PLATFORM, reviews.SignReview, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def sign_review(call: Call[reviews.SignReview]) -> Answer:
    return reviews.sign_review(PLATFORM, call)


@callables.on_call(PLATFORM, holding.PlaceHold, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def place_hold(call: Call[holding.PlaceHold]) -> Answer:
    return holding.place_hold(PLATFORM, call)


@callables.on_call(PLATFORM, holding.ReleaseHold, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def release_hold(call: Call[holding.ReleaseHold]) -> Answer:
    return holding.release_hold(PLATFORM, call)


@callables.on_call(
    PLATFORM, disclosing.RecordDisclosure, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT
)
def record_disclosure(call: Call[disclosing.RecordDisclosure]) -> Answer:
    return disclosing.record_disclosure(PLATFORM, call)


@callables.on_call(
    PLATFORM, processing.RegisterProcessor, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT
)
def register_processor(call: Call[processing.RegisterProcessor]) -> Answer:
    return processing.register_processor(PLATFORM, call)


@callables.on_call(
    PLATFORM, roll_call_switch.SwitchRollCall, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT
)
def switch_roll_call(call: Call[roll_call_switch.SwitchRollCall]) -> Answer:
    return roll_call_switch.switch_roll_call(PLATFORM, call)


@callables.on_call(PLATFORM, children.RemoveChild, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def remove_child(call: Call[children.RemoveChild]) -> Answer:
    return children.remove_child(PLATFORM, call)


@callables.on_call(PLATFORM, publishing.PublishPolicy, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def publish_policy(call: Call[publishing.PublishPolicy]) -> Answer:
    return publishing.publish_policy(PLATFORM, call)


@callables.on_call(PLATFORM, publishing.WithdrawPolicy, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def withdraw_policy(call: Call[publishing.WithdrawPolicy]) -> Answer:
    return publishing.withdraw_policy(PLATFORM, call)


@https_fn.on_request(region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def policy_page(request: Request) -> Response:
    return policy_pages.policy_page(PLATFORM, request)


@callables.on_call(PLATFORM, transferring.PlanTransfer, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def plan_transfer(call: Call[transferring.PlanTransfer]) -> Answer:
    return transferring.plan_transfer(PLATFORM, call)


@callables.on_call(
    PLATFORM, transferring.CancelTransfer, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT
)
def cancel_transfer(call: Call[transferring.CancelTransfer]) -> Answer:
    return transferring.cancel_transfer(PLATFORM, call)


@callables.on_call(PLATFORM, campaigning.SendCampaign, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def send_campaign(call: Call[campaigning.SendCampaign]) -> Answer:
    return campaigning.send_campaign(PLATFORM, call)


@callables.on_call(PLATFORM, campaigning.StopCampaign, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def stop_campaign(call: Call[campaigning.StopCampaign]) -> Answer:
    return campaigning.stop_campaign(PLATFORM, call)


@callables.on_call(PLATFORM, campaigning.ResumeCampaign, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def resume_campaign(call: Call[campaigning.ResumeCampaign]) -> Answer:
    return campaigning.resume_campaign(PLATFORM, call)


@callables.on_call(
    PLATFORM, campaigning.PreviewCampaign, STAFF, region=REGION, secrets=SECRETS, service_account=ACCOUNT
)
def preview_campaign(call: Call[campaigning.PreviewCampaign]) -> Answer:
    return campaigning.preview_campaign(PLATFORM, call)


@scheduler_fn.on_schedule(
    schedule="every 1 hours",
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    timeout_sec=SCHEDULE_TIMEOUT,
)
@callables.guarded
def review(_event: scheduler_fn.ScheduledEvent) -> None:
    reviewing.review(PLATFORM)


@scheduler_fn.on_schedule(
    schedule="every 1 minutes",
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    timeout_sec=SCHEDULE_TIMEOUT,
)
@callables.guarded
def sequence(_event: scheduler_fn.ScheduledEvent) -> None:
    sequencing.sequence(PLATFORM, budget=timedelta(seconds=SCHEDULE_TIMEOUT * 0.7))
