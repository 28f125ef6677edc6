"""Callables for one's profile, acceptance of the policy, and the sign-in lock."""

from datetime import datetime
from typing import Self

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from pydantic import model_validator

from astra import policies
from astra.erasure.change_gate import WITHDRAWAL
from astra.policies import Policy
from astra.runtime import log
from astra.runtime.callables import Answer, Call, Shape
from astra.runtime.platform import Platform

from signup import consent_receipts
from signup.enrolment import Jurisdiction, Name, Version
from signup.revision import Revision, revise
from signup.settings import SignupSettings


class UpdateProfile(Shape):
    """What to change; at least one. `jurisdiction: null` removes it."""

    name: Name | None = None
    jurisdiction: Jurisdiction | None = None
    electronicNotices: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        given = self.model_fields_set
        if not given:
            raise ValueError("name, jurisdiction or electronicNotices: give at least one")
        if any(getattr(self, name) is None for name in given & {"name", "electronicNotices"}):
            raise ValueError("name, electronicNotices: can't be null")
        return self


class AcceptPolicy(Shape):
    """The version that was read and agreed to."""

    policyVersion: Version


class SetIpLock(Shape):
    """On: sign-in only from the network that this request comes from. Off: from anywhere."""

    enabled: bool


def update_profile(platform: Platform[SignupSettings], call: Call[UpdateProfile]) -> Answer:
    """Change the caller's profile. What it was before is not kept; that it was changed is."""
    form, now = call.data, platform.clock()
    changes = form.model_dump(include=form.model_fields_set & {"name", "jurisdiction"})

    def change(revision: Revision) -> None:
        revision.rectify(changes)
        if form.electronicNotices is not None:
            revision.consent(consent_receipts.NOTICES, given=form.electronicNotices)

    # Of a request, only what does more than withdraw a consent can be barred.
    gated = ({"profile"} if changes else set()) | ({"consents"} if form.electronicNotices else set())
    revise(platform, call.caller.uid, change, now, changes=gated, even_if=() if gated else WITHDRAWAL)
    log.write(log.Event.PROFILE_RECTIFIED, fields=len(form.model_fields_set))
    return {}


def accept_policy(platform: Platform[SignupSettings], call: Call[AcceptPolicy]) -> Answer:
    """Note that the caller agrees to a version: the one in force, or one that has been announced."""
    uid, now = call.caller.uid, platform.clock()
    accepted = acceptable(platform, call.data.policyVersion, now)
    revise(platform, uid, lambda revision: _accept(revision, accepted), now, changes=(), even_if=WITHDRAWAL)
    return {}


def set_ip_lock(platform: Platform[SignupSettings], call: Call[SetIpLock]) -> Answer:
    """Lock the caller's sign-in to the network that they call from, or unlock it and forget the network at once."""
    uid, now, network = call.caller.uid, platform.clock(), call.network

    def change(revision: Revision) -> None:
        if not call.data.enabled:
            revision.unlock()
        elif network is None:
            raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "We can't tell your network: nothing was locked.")
        else:
            revision.lock(network)
        revision.consent(consent_receipts.IP_LOCK, given=call.data.enabled)

    gated = {"profile", "consents"} if call.data.enabled else set()
    revise(platform, uid, change, now, changes=gated, even_if=() if gated else WITHDRAWAL)
    log.write(log.Event.IP_LOCK_SET, enabled=call.data.enabled)
    return {}


def acceptable(platform: Platform[SignupSettings], version: str, now: datetime) -> Policy:
    """A version that may be agreed to: the one in force, or one that is announced. Refuses the request otherwise."""
    in_force = policies.current(platform.db, now)
    asked = in_force if version == in_force.version else policies.find(platform.db, version)
    if asked is None or asked.ended or asked.version < in_force.version:
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION,
            f"This version can't be accepted: read version {in_force.version} and agree to it.",
        )
    return asked


def _accept(revision: Revision, policy: Policy) -> None:
    if revision.accept(policy):
        log.write(log.Event.POLICY_ACCEPTED)
