"""Staff's callables for campaigns: send, stop, resume, preview."""

import enum
from collections.abc import Callable, Collection
from typing import Annotated, Any

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import Field, StringConstraints

from astra import jobs, tlog
from astra.notices import campaigns, deliveries, messages
from astra.notices.campaigns import State
from astra.notices.deliveries import NEWCOMERS, OPENING, SHARDS
from astra.notices.inbox import Kind
from astra.runtime.callables import Shape
from astra.staff.fields import sha256_of
from astra.staff.privileged import Act, Decision, privileged

from notices.progress import Progress

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
Fact = Annotated[str, StringConstraints(max_length=5000)]
_UNDER_WAY = (State.CANARY, State.WAITING, State.RUNNING)


class After(enum.StrEnum):
    """As what both have seen it."""

    PROPOSAL = "proposed"
    CANARY = "waiting"


class SendCampaign(Shape):
    """Which campaign, and whether it is only proposed, or waits since its first members were told."""

    name: Name
    state: Annotated[After, Field(strict=False)]


class StopCampaign(Shape):
    """Which campaign."""

    name: Name


class ResumeCampaign(Shape):
    """Which campaign."""

    name: Name


class PreviewCampaign(Shape):
    """What a notice of `kind` would say of these facts."""

    kind: Annotated[Kind, Field(strict=False)]
    facts: Annotated[dict[Annotated[str, StringConstraints(pattern=r"^[a-zA-Z]{1,40}$")], Fact], Field(max_length=40)]


@privileged(tlog.Action.CAMPAIGN_SENT)
def send_campaign(act: Act, form: SendCampaign) -> Decision:
    """Start a campaign, or let it go on after its first members were told. It takes two people, each time."""
    stored, fields = _read(act, form.name)
    _refuse_unless(fields["state"] == form.state.value, f"It is {fields['state']} by now: look again.")
    _refuse_unless(fields["closed"], "Its list is not closed yet.")
    if form.state is After.CANARY:
        return _decided(form, _going_on(act, stored, fields, {"state": State.RUNNING.value}), two_people=True)

    def write(transaction: firestore.Transaction, approvers: Collection[str]) -> None:
        campaigns.start(transaction, stored.reference, fields, approvers, act.now)

    return _decided(form, write, two_people=True)


@privileged(tlog.Action.CAMPAIGN_STOPPED)
def stop_campaign(act: Act, form: StopCampaign) -> Decision:
    """Stop a campaign, at once: nobody is told anything from here on, nor who signs up. One person is enough."""
    stored, fields = _read(act, form.name)
    _refuse_unless(fields["state"] in _UNDER_WAY, "It is not under way.")
    changes = {"state": State.STOPPED.value, "stoppedIn": fields["state"], "stoppedAt": act.now}
    return _decided(form, lambda transaction, _: transaction.update(stored.reference, changes), two_people=False)


@privileged(tlog.Action.CAMPAIGN_RESUMED)
def resume_campaign(act: Act, form: ResumeCampaign) -> Decision:
    """Let a campaign go on that was stopped, with what of it is stuck; last of all, who signed up meanwhile is told. It
    takes two people."""
    stored, fields = _read(act, form.name)
    _refuse_unless(fields["state"] == State.STOPPED, "It is not stopped.")
    _refuse_unless(fields["stoppedIn"] is not None, "It is stopped for good: what it tells of does not come.")
    changes = {"state": fields["stoppedIn"], "stoppedIn": None}
    return _decided(form, _going_on(act, stored, fields, changes), two_people=True)


@privileged(tlog.Action.CAMPAIGN_PREVIEWED)
def preview_campaign(_act: Act, form: PreviewCampaign) -> Decision:
    """Show what it would say. Nothing is sent."""
    try:
        letter = messages.render(form.kind, form.facts)
    except (ValueError, LookupError) as wrong:
        raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, str(wrong)) from None
    answer = {"title": letter.notice.title, "text": letter.notice.body, "html": letter.html}
    # Free text may name somebody: the log commits to it without repeating it.
    record = {"kind": form.kind.value, "factsSha256": sha256_of(form.model_dump_json())}
    return Decision(lambda *_: None, record, answer=answer)


def _read(act: Act, name: str) -> "tuple[firestore.DocumentSnapshot[Any], dict[str, Any]]":
    stored = campaigns.reference(act.db, name).get(transaction=act.transaction)
    if not stored.exists:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no campaign of this name.")
    return stored, stored.to_dict() or {}


def _refuse_unless(so: bool, why: str) -> None:
    if not so:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, why)


def _going_on(
    act: Act, stored: "firestore.DocumentSnapshot[Any]", fields: dict[str, Any], changes: dict[str, Any]
) -> Callable[[firestore.Transaction, Collection[str]], None]:
    """Reads the jobs. Answers what lets those go on that wait for somebody to say so, or are stuck, and opens those
    that are missing once the first members were told."""
    shards = stored.reference.collection(SHARDS).get(transaction=act.transaction)
    opening = next((shard.to_dict() or {} for shard in shards if shard.id == OPENING), {})
    earlier = sum(shard.id.startswith(NEWCOMERS) for shard in shards)
    going_on = Progress.of(act.platform, stored).going_on()

    def write(transaction: firestore.Transaction, _: Collection[str]) -> None:
        transaction.update(stored.reference, changes | going_on)
        if fields["state"] == State.WAITING:
            deliveries.open_ranges(transaction, stored.reference, fields["count"], opening["cursor"], act.now)
        if fields["state"] == State.STOPPED and fields["newcomersUntil"] and fields["frozenAt"]:
            since = max(fields["frozenAt"], fields.get("stoppedAt") or fields["frozenAt"])
            deliveries.open_newcomers(transaction, stored.reference, earlier, since, act.now)
        for shard in shards:
            if shard.get("state") in ("running", "stuck"):
                transaction.update(shard.reference, jobs.revived(act.now))

    return write


def _decided(form: SendCampaign | StopCampaign | ResumeCampaign, write: Any, *, two_people: bool) -> Decision:
    return Decision(write, form.model_dump(mode="json"), two_people=two_people)
