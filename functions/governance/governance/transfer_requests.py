"""Business transfers: planning and cancelling."""

import secrets
from datetime import timedelta
from typing import Annotated, Any, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import StringConstraints

from astra import tlog
from astra.notices import campaigns
from astra.notices.campaigns import UNSETTLED, Campaign, Channel
from astra.notices.inbox import Kind
from astra.runtime.callables import Shape
from astra.runtime.clock import iso
from astra.runtime.pseudonyms import Pseudonym
from astra.staff.fields import Moment, Summary, Text, sha256_of
from astra.staff.privileged import Act, Decision, privileged

from governance import transfers
from governance.transfers import State

_CHANNELS: Final = (Channel.IN_APP, Channel.EMAIL)


class PlanTransfer(Shape):
    """To which company, not before when, under which policy it will treat the data, and what people are told of it."""

    recipient: Text
    plannedAt: Moment
    policyUrl: Annotated[str, StringConstraints(max_length=300, pattern=r"^https://[A-Za-z0-9.-]+(/[!-~]*)?$")]
    summary: Summary
    canary: bool = False
    """Whether its notices wait after the first hundredth of people, until two have looked and let them go on: the gate
    opens no sooner."""


class CancelTransfer(Shape):
    """A transfer that is not to happen, or not to go on."""

    transfer: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]


@privileged(tlog.Action.TRANSFER_PLANNED)
def plan_transfer(act: Act, form: PlanTransfer) -> Decision:
    """Tell everybody of a transfer, and shut its gate until they have been told and the waiting period has passed."""
    days = act.platform.settings.transfer_waiting_days
    if form.plannedAt < (soonest := act.now + timedelta(days=days)):
        raise HttpsError(
            FunctionsErrorCode.INVALID_ARGUMENT,
            f"plannedAt: is too soon; at the earliest {iso(soonest + timedelta(seconds=1))}",
        )
    name = secrets.token_hex(8)
    fields: dict[str, Any] = {
        "recipient": form.recipient,
        "policyUrl": form.policyUrl,
        "summary": form.summary,
        "plannedAt": form.plannedAt,
        "waitingDays": days,
        "state": State.PLANNED.value,
        "announcedAt": act.now,
    }

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        transaction.create(transfers.reference(act.db, name), fields)
        facts = {name: getattr(form, name) for name in ("recipient", "policyUrl", "summary")}
        facts |= {"plannedAt": iso(form.plannedAt), "days": f"{days:g}"}
        campaigns.announce(
            transaction,
            act.db,
            transfers.campaign(name),
            Campaign(Kind.TRANSFER, facts, _CHANNELS),
            act.now,
            approvers,
            canary=form.canary,
            newcomers_until=UNSETTLED,
        )

    record = {
        "transfer": name,
        "plannedAt": iso(form.plannedAt),
        "requestSha256": sha256_of(form.model_dump_json()),
    }
    return Decision(write, record, two_people=True, answer={"transfer": name})


@privileged(tlog.Action.TRANSFER_CANCELLED)
def cancel_transfer(act: Act, form: CancelTransfer) -> Decision:
    """Shut a gate for good, from its next page on: whoever is careful needs no second person.

    To tell everybody takes two all the same: the answer names the campaign that they have to send.
    """
    document = transfers.reference(act.db, form.transfer)
    stored = document.get(transaction=act.transaction)
    if not stored.exists:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no such transfer.")
    if stored.get("state") == State.CANCELLED.value:
        raise HttpsError(FunctionsErrorCode.ALREADY_EXISTS, "This transfer is cancelled already.")

    opened = stored.get("state") == State.OPENED.value
    name = f"{transfers.campaign(form.transfer)}-cancelled"
    stop = campaigns.pending_stop(act.transaction, act.db, transfers.campaign(form.transfer))

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        transaction.update(document, {"state": State.CANCELLED.value, "cancelledAt": act.now})
        stop.apply()
        facts = {"recipient": stored.get("recipient"), "opened": "yes" if opened else ""}
        told = Campaign(Kind.TRANSFER_CANCELLED, facts, _CHANNELS)
        campaigns.announce(transaction, act.db, name, told, act.now, approvers, canary=False)

    return Decision(write, {"transfer": form.transfer, "opened": opened}, answer={"campaign": name})
