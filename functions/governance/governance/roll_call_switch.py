"""The switch of the roll call: two people turn it on, one turns it off."""

from typing import Annotated

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import StringConstraints

from astra import jobs, tlog
from astra.erasure import roll_call
from astra.runtime.callables import Shape
from astra.runtime.pseudonyms import Pseudonym
from astra.staff import freezes
from astra.staff.privileged import Act, Decision, privileged


class SwitchRollCall(Shape):
    """On takes the digest of the newest dry run's report, as both have seen it."""

    enabled: bool
    report: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None


@privileged(tlog.Action.ROLL_CALL_SWITCHED)
def switch_roll_call(act: Act, form: SwitchRollCall) -> Decision:
    """Let rounds freeze and erase orphans until it is switched off, or switch it off, which gives back what is frozen.

    Either way the round begins anew, also one that had stopped.
    """
    if form.enabled != (form.report is not None):
        raise HttpsError(
            FunctionsErrorCode.INVALID_ARGUMENT,
            "report: is required to switch the roll call on, and not allowed to switch it off",
        )
    job = roll_call.job(act.db).get(["state"], transaction=act.transaction)
    if form.report is not None:
        _refuse_while_contained(act)
        found = roll_call.report(act.db).get(transaction=act.transaction).to_dict()
        if wrong := roll_call.refusal(found, form.report, act.now):
            raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, wrong)

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        fields = roll_call.switched(enabled=form.enabled, report=form.report, approvers=approvers, now=act.now)
        transaction.set(roll_call.switch(act.db), fields)
        if job.exists:
            transaction.update(job.reference, {**jobs.revived(act.now), **roll_call.begun(), "stopped": None})

    return Decision(write, {"enabled": form.enabled, "report": form.report}, two_people=form.enabled)


def _refuse_while_contained(act: Act) -> None:
    # To switch it off contains a breach; to switch it on does not.
    try:
        freezes.refuse_frozen(act.db, freezes.Control.STAFF, act.transaction)
    except freezes.Frozen:
        message = "A breach is being contained: switch the roll call on once that is over."
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, message) from None
