"""Approval of a breach notice by two people, which starts its campaign.

Nobody is told anything by a detector. Two people approve the very text: the request names its hash, so that none of
them approves what the other has not seen, and from then on it does not change. They approve it for the very people that
were counted: counted again, one approval counts no more. Whoever is told is told in the application and by letter, so
that a mailbox whose password got out is never the only way.

    campaigns/breach-{incident}     the campaign; see `astra.notices.campaigns`
    incidents/{id}.notice           {sha256, text, html, approvedAt, approvers}: what was approved, word for word
"""

from functools import partial
from typing import Annotated, Any

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import StringConstraints

from astra import tlog
from astra.notices import campaigns
from astra.notices.campaigns import Campaign, Channel
from astra.notices.inbox import Kind
from astra.runtime.callables import Shape
from astra.runtime.clock import iso
from astra.runtime.pseudonyms import Pseudonym
from astra.staff.privileged import Act, Decision, privileged

from breach import incidents, texts
from breach.assessment import affected
from breach.incidents import Cohort, State
from breach.response.contain import IncidentId


class ApproveNotice(Shape):
    """Which notice, by the SHA-256 of its text: `astra breach notice INCIDENT` shows both."""

    incidentId: IncidentId
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


@privileged(tlog.Action.NOTICE_APPROVED)
def approve_notice(act: Act, form: ApproveNotice) -> Decision:
    """Let everybody who is affected be told exactly this. Takes two people."""
    stored = incidents.reference(act.db, form.incidentId).get(transaction=act.transaction)
    incident: dict[str, Any] = stored.to_dict() or {}
    if not stored.exists:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no such incident.")
    if incident["state"] != State.CONFIRMED or incident["cohort"] != Cohort.FROZEN:
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION,
            "It must be confirmed, and counted who is affected, and not told yet.",
        )
    if incident["affected"] is None:
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION, "It is not known who is affected: confirm it again, wider."
        )
    if (delay := incident.get("delay")) and delay["until"] > act.now:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, f"The law has us wait until {iso(delay['until'])}.")
    try:
        notice = texts.notice(form.incidentId, incident)
    except texts.Missing as missing:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, f"Describe it first: {missing}.") from None
    if notice.sha256 != form.sha256:
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION, "The notice says something else by now: read it again."
        )
    name = texts.campaign_of(form.incidentId)

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        sample = {"elements": texts.elements(incident.get("exposed") or [])}
        campaign = Campaign(Kind.BREACH, notice.facts, (Channel.IN_APP, Channel.EMAIL), sample)
        campaigns.gather(transaction, act.db, name, campaign, act.now, approvers, canary=False)
        words = {"sha256": notice.sha256, "text": notice.text, "html": notice.html}
        approved = {**words, "approvedAt": act.now, "approvers": approvers}
        transaction.update(stored.reference, {"notice": approved, "cohort": Cohort.ENLISTING.value})
        transaction.update(incidents.cohort_job(act.db, form.incidentId), affected.resumed(act.now))

    record = {"incident": form.incidentId, "noticeSha256": notice.sha256, "people": sum(incident["affected"].values())}
    told = partial(affected.hint, act.platform, form.incidentId)
    return Decision(write, record, two_people=True, about=incident["countedAt"].isoformat(), afterwards=told)
