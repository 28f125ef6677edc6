"""Governance: triggers and options of staff's callables, the policy page and reviews."""

from firebase_functions import https_fn, scheduler_fn
from flask import Request, Response

from astra.runtime import callables
from astra.runtime.callables import Answer, Call
from astra.runtime.deployment import Group, defaults
from astra.runtime.rate_limits import Limit
from astra.runtime.settings import RedisSettings, Settings

from governance import (
    child_removal,
    disclosures,
    legal_holds,
    policies,
    policy_pages,
    processor_register,
    reviews,
    roles,
    roll_call_switch,
    schedule,
    transfer_requests,
)
from governance.settings import GovernanceSettings

defaults(cpu=0.2, concurrency=1, max_instances=2)
STAFF = Group("governance-functions", GovernanceSettings)
REVIEW = Group("governance-functions", Settings)
PAGES = Group("pages-functions", RedisSettings)
SCHEDULE_TIMEOUT = 240
#: No person works faster. Where it can't be counted, the log still can't be flooded.
LIMIT = Limit(30)


@callables.on_call(STAFF, roles.AcceptSecurityPolicy, LIMIT)
def accept_security_policy(call: Call[roles.AcceptSecurityPolicy]) -> Answer:
    return roles.accept_security_policy(STAFF.platform, call)


@callables.on_call(STAFF, roles.GrantRole, LIMIT)
def grant_role(call: Call[roles.GrantRole]) -> Answer:
    return roles.grant_role(STAFF.platform, call)


@callables.on_call(STAFF, roles.RevokeRole, LIMIT)
def revoke_role(call: Call[roles.RevokeRole]) -> Answer:
    return roles.revoke_role(STAFF.platform, call)


@callables.on_call(STAFF, reviews.SignReview, LIMIT)
def sign_review(call: Call[reviews.SignReview]) -> Answer:
    return reviews.sign_review(STAFF.platform, call)


@callables.on_call(STAFF, legal_holds.PlaceHold, LIMIT)
def place_hold(call: Call[legal_holds.PlaceHold]) -> Answer:
    return legal_holds.place_hold(STAFF.platform, call)


@callables.on_call(STAFF, legal_holds.ReleaseHold, LIMIT)
def release_hold(call: Call[legal_holds.ReleaseHold]) -> Answer:
    return legal_holds.release_hold(STAFF.platform, call)


@callables.on_call(STAFF, disclosures.RecordDisclosure, LIMIT)
def record_disclosure(call: Call[disclosures.RecordDisclosure]) -> Answer:
    return disclosures.record_disclosure(STAFF.platform, call)


@callables.on_call(STAFF, processor_register.RegisterProcessor, LIMIT)
def register_processor(call: Call[processor_register.RegisterProcessor]) -> Answer:
    return processor_register.register_processor(STAFF.platform, call)


@callables.on_call(STAFF, roll_call_switch.SwitchRollCall, LIMIT)
def switch_roll_call(call: Call[roll_call_switch.SwitchRollCall]) -> Answer:
    return roll_call_switch.switch_roll_call(STAFF.platform, call)


@callables.on_call(STAFF, child_removal.RemoveChild, LIMIT)
def remove_child(call: Call[child_removal.RemoveChild]) -> Answer:
    return child_removal.remove_child(STAFF.platform, call)


@callables.on_call(STAFF, policies.PublishPolicy, LIMIT)
def publish_policy(call: Call[policies.PublishPolicy]) -> Answer:
    return policies.publish_policy(STAFF.platform, call)


@callables.on_call(STAFF, policies.WithdrawPolicy, LIMIT)
def withdraw_policy(call: Call[policies.WithdrawPolicy]) -> Answer:
    return policies.withdraw_policy(STAFF.platform, call)


@https_fn.on_request(**PAGES.options(cpu=0.3, max_instances=20))
@PAGES.serves
def policy_page(request: Request) -> Response:
    return policy_pages.policy_page(PAGES.platform, request)


@callables.on_call(STAFF, transfer_requests.PlanTransfer, LIMIT)
def plan_transfer(call: Call[transfer_requests.PlanTransfer]) -> Answer:
    return transfer_requests.plan_transfer(STAFF.platform, call)


@callables.on_call(STAFF, transfer_requests.CancelTransfer, LIMIT)
def cancel_transfer(call: Call[transfer_requests.CancelTransfer]) -> Answer:
    return transfer_requests.cancel_transfer(STAFF.platform, call)


@scheduler_fn.on_schedule(**REVIEW.options(schedule="every 1 hours", timeout_sec=SCHEDULE_TIMEOUT, max_instances=1))
@REVIEW.serves
def review(_event: scheduler_fn.ScheduledEvent) -> None:
    schedule.review(REVIEW.platform)
