"""The roll call's switch: two staff members switch it on, on what a dry run has found; one switches it off."""

from typing import Annotated

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import StringConstraints

from astra import roll_call, tlog
from astra.callables import Shape
from astra.privileged import Act, Decision, privileged
from astra.pseudonyms import Pseudonym


class SwitchRollCall(Shape):
    """On takes the digest of the newest dry run's report, as both have seen it."""

    enabled: bool
    report: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None


@privileged(tlog.Action.ROLL_CALL_SWITCHED)
def switch_roll_call(act: Act, form: SwitchRollCall) -> Decision:
    """Let rounds freeze and erase orphans until it is switched off, or switch it off."""
    if form.enabled != (form.report is not None):
        raise HttpsError(
            FunctionsErrorCode.INVALID_ARGUMENT,
            "report: is required to switch the roll call on, and not allowed to switch it off",
        )
    if form.report is not None:
        found = roll_call.report(act.db).get(transaction=act.transaction).to_dict()
        if wrong := roll_call.refusal(found, form.report, act.now):
            raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, wrong)

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        fields = roll_call.switched(enabled=form.enabled, report=form.report, approvers=approvers, now=act.now)
        transaction.set(roll_call.switch(act.db), fields)

    return Decision(write, {"enabled": form.enabled, "report": form.report}, two_people=form.enabled)
