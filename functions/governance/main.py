"""Governance: staff roles, policies, legal holds, disclosures, transfers and processors, and what comes due of them."""

from firebase_functions import https_fn, scheduler_fn
from flask import Request, Response

from astra.runtime import callables
from astra.runtime.callables import Answer, Call
from astra.runtime.deployment import Group, defaults
from astra.runtime.rate_limits import Limit
from astra.runtime.settings import RedisSettings, Settings

from governance import child_removal as children
from governance import disclosures as disclosing
from governance import legal_holds as holding
from governance import policies as publishing
from governance import policy_pages, reviews, roles, roll_call_switch
from governance import processor_register as processing
from governance import schedule as reviewing
from governance import transfer_requests as transferring
from governance.settings import GovernanceSettings

defaults(cpu=0.2, concurrency=1, max_instances=2)
STAFF = Group("governance-functions", GovernanceSettings)
REVIEW = Group("governance-functions", Settings)
PAGES = Group("pages-functions", RedisSettings)
SCHEDULE_TIMEOUT = 240
#: No person works faster. Where it can't be counted, the log still can't be flooded: see `privileged`.
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


@callables.on_call(STAFF, holding.PlaceHold, LIMIT)
def place_hold(call: Call[holding.PlaceHold]) -> Answer:
    return holding.place_hold(STAFF.platform, call)


@callables.on_call(STAFF, holding.ReleaseHold, LIMIT)
def release_hold(call: Call[holding.ReleaseHold]) -> Answer:
    return holding.release_hold(STAFF.platform, call)


@callables.on_call(STAFF, disclosing.RecordDisclosure, LIMIT)
def record_disclosure(call: Call[disclosing.RecordDisclosure]) -> Answer:
    return disclosing.record_disclosure(STAFF.platform, call)


@callables.on_call(STAFF, processing.RegisterProcessor, LIMIT)
def register_processor(call: Call[processing.RegisterProcessor]) -> Answer:
    return processing.register_processor(STAFF.platform, call)


@callables.on_call(STAFF, roll_call_switch.SwitchRollCall, LIMIT)
def switch_roll_call(call: Call[roll_call_switch.SwitchRollCall]) -> Answer:
    return roll_call_switch.switch_roll_call(STAFF.platform, call)


@callables.on_call(STAFF, children.RemoveChild, LIMIT)
def remove_child(call: Call[children.RemoveChild]) -> Answer:
    return children.remove_child(STAFF.platform, call)


@callables.on_call(STAFF, publishing.PublishPolicy, LIMIT)
def publish_policy(call: Call[publishing.PublishPolicy]) -> Answer:
    return publishing.publish_policy(STAFF.platform, call)


@callables.on_call(STAFF, publishing.WithdrawPolicy, LIMIT)
def withdraw_policy(call: Call[publishing.WithdrawPolicy]) -> Answer:
    return publishing.withdraw_policy(STAFF.platform, call)


@https_fn.on_request(**PAGES.options(cpu=0.3, max_instances=20))
@PAGES.serves
def policy_page(request: Request) -> Response:
    return policy_pages.policy_page(PAGES.platform, request)


@callables.on_call(STAFF, transferring.PlanTransfer, LIMIT)
def plan_transfer(call: Call[transferring.PlanTransfer]) -> Answer:
    return transferring.plan_transfer(STAFF.platform, call)


@callables.on_call(STAFF, transferring.CancelTransfer, LIMIT)
def cancel_transfer(call: Call[transferring.CancelTransfer]) -> Answer:
    return transferring.cancel_transfer(STAFF.platform, call)


@scheduler_fn.on_schedule(**REVIEW.options(schedule="every 1 hours", timeout_sec=SCHEDULE_TIMEOUT, max_instances=1))
@REVIEW.serves
def review(_event: scheduler_fn.ScheduledEvent) -> None:
    reviewing.review(REVIEW.platform)
