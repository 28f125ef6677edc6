"""Publication and withdrawal of policy versions.

Two people publish the very same text. A version with material changes gets no `effectiveAt`, without which nothing
finds it in force, until `take_effect` sees in one transaction that its notices are complete; then it is the announced
time or that moment, whichever is later. A version whose changes are not material is not announced to people; it must
not carry along what is: while a material one waits for its notices there can be none.

The security policy concerns who works here, and takes effect as said: they are told, and must accept it to go on.
"""

import re
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import AfterValidator, StringConstraints

from astra import policies, staff, tlog
from astra.datamap.lookup import lives
from astra.notices import campaigns, inbox
from astra.notices.campaigns import UNSETTLED, Campaign, Channel
from astra.policies import Policy, State, campaign_of
from astra.runtime import log
from astra.runtime.callables import Shape
from astra.runtime.clock import iso
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.settings import Settings
from astra.staff.fields import Moment, Summary, sha256_of
from astra.staff.privileged import Act, Decision, privileged

from governance import processors

_LAST_UPDATED: Final = re.compile(r"^Last updated: (.{1,40})$", re.MULTILINE)
_CHANNELS: Final = (Channel.IN_APP, Channel.EMAIL)
_ACCEPT: Final = "Read it and accept it with `accept_security_policy`: from then on nothing can be done without."


def _real(version: str) -> str:
    policies.dated(version)
    return version


Version = Annotated[
    str,
    StringConstraints(pattern=r"^(security-)?20[0-9]{2}-[01][0-9]-[0-3][0-9](\.[2-9])?$"),
    AfterValidator(_real),
]
"""The day that it is of; `.2` to `.9` for another of the same day. The security policy's begin with `security-`."""


class PublishPolicy(Shape):
    """The whole text, byte for byte, and when it is to take effect. `material`: whether people must be told of it
    first; `summary` is what they are told."""

    version: Version
    text: Annotated[
        str, StringConstraints(min_length=200, max_length=200_000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]+$")
    ]
    effectiveAt: Moment
    material: bool
    summary: Summary
    canary: bool = False
    """Whether its notices wait after the first hundredth of people, until two have looked and let them go on: it takes
    effect no sooner. Only of one that people are told of."""


class WithdrawPolicy(Shape):
    """An announced version that is not to take effect, and why, as people are told."""

    version: Version
    reason: Summary


@privileged(tlog.Action.POLICY_ANNOUNCED)
def publish_policy(act: Act, form: PublishPolicy) -> Decision:
    """Announce a version. It takes two people; what the second one sends must be what the first one sent."""
    collection = _collection(form.version)
    _refuse_text(form, collection)
    earlier = policies.versions(act.db, collection, act.transaction)
    _refuse_order(act, form, earlier)
    fields = policies.fields_of(
        form.version, form.text, form.summary, act.now, form.effectiveAt, material=form.material
    )
    waits = form.material and collection == policies.PUBLIC
    if form.canary and not waits:
        raise _invalid("canary: people are not told of this version")
    if not waits:
        fields |= {"effectiveAt": form.effectiveAt, "state": State.PUBLISHED.value}
    colleagues = [] if collection == policies.PUBLIC else _colleagues(act)

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        transaction.create(act.db.collection(collection).document(form.version), fields)
        if waits:
            campaigns.announce(
                transaction,
                act.db,
                campaign_of(form.version),
                _change(act, form),
                act.now,
                approvers,
                canary=form.canary,
                newcomers_until=UNSETTLED,
            )
        for uid in colleagues:
            title = f"The security policy {form.version} takes effect on {form.effectiveAt:%-d %B %Y}"
            notice = inbox.Notice(inbox.Kind.STAFF, title, _ACCEPT)
            inbox.write(transaction, act.db, uid, campaign_of(form.version), notice, act.now)

    record = {
        "version": form.version,
        "sha256": fields["sha256"],
        "summarySha256": sha256_of(form.summary),
        "material": form.material,
        "announcedFor": iso(form.effectiveAt),
    }
    return Decision(write, record, two_people=True, answer={"version": form.version, "sha256": fields["sha256"]})


@privileged(tlog.Action.POLICY_WITHDRAWN)
def withdraw_policy(act: Act, form: WithdrawPolicy) -> Decision:
    """Take an announced version back before it takes effect. Nobody else is told of it; of this, everybody."""
    collection = _collection(form.version)
    document = act.db.collection(collection).document(form.version)
    stored = document.get(transaction=act.transaction)
    if not stored.exists:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "No such version has been announced.")
    version = Policy.of(stored)
    if version.ended:
        raise HttpsError(FunctionsErrorCode.ALREADY_EXISTS, f"This version is {version.state.value} already.")
    if version.is_in_force(act.now):
        raise _impossible("This version has taken effect: publish another one in its place.")
    if newer := [
        one.version
        for one in policies.versions(act.db, collection, act.transaction, after=form.version)
        if not one.ended
    ]:
        raise _impossible(f"Version {newer[-1]} goes on from this one: withdraw that one first.")
    announced = version.material and collection == policies.PUBLIC
    stop = campaigns.pending_stop(act.transaction, act.db, campaign_of(form.version)) if announced else None
    colleagues = [] if collection == policies.PUBLIC else _colleagues(act)

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        transaction.update(document, {"state": State.WITHDRAWN.value, "effectiveAt": None, "withdrawnAt": act.now})
        if stop:
            stop.apply()
            told = Campaign(inbox.Kind.POLICY_WITHDRAWN, {"version": form.version, "reason": form.reason}, _CHANNELS)
            name = f"{campaign_of(form.version)}-withdrawn"
            campaigns.announce(transaction, act.db, name, told, act.now, approvers, canary=False)
        for uid in colleagues:
            notice = inbox.Notice(inbox.Kind.STAFF, f"The security policy {form.version} is withdrawn", form.reason)
            inbox.write(transaction, act.db, uid, f"{campaign_of(form.version)}-withdrawn", notice, act.now)

    record = {"version": form.version, "sha256": version.sha256, "reasonSha256": sha256_of(form.reason)}
    return Decision(write, record, two_people=True)


def take_effect(platform: Platform[Settings]) -> None:
    """Give each announced version of which everybody has been told the time from which it is in force."""
    waiting = firestore.FieldFilter("state", "==", State.ANNOUNCED.value)
    found = platform.db.collection(policies.PUBLIC).where(filter=waiting).select([]).get()
    for version in sorted(stored.id for stored in found):
        try:
            moved = transact(platform.db, partial(_take_effect, platform=platform, version=version))
        except Exception as error:  # noqa: BLE001  (one version must not keep another from its date)
            log.failure(log.Event.FAILED, error)
        else:
            if moved:
                log.write(log.Event.POLICY_DATED)


def _take_effect(transaction: firestore.Transaction, platform: Platform[Settings], version: str) -> bool:
    db, now = platform.db, platform.clock()
    document = db.collection(policies.PUBLIC).document(version)
    stored = Policy.of(document.get(transaction=transaction))
    complete_at = campaigns.completed_at(db, campaign_of(version), transaction)
    newer = policies.versions(db, policies.PUBLIC, transaction, after=version)
    stop = campaigns.pending_stop(transaction, db, campaign_of(version))
    if stored.state is not State.ANNOUNCED or stored.announced_for is None:
        return False
    at = max(stored.announced_for, now)
    if complete_at is None and not any(one.is_in_force(now) for one in newer):
        return False
    overtaken = any(one.is_in_force(at) for one in newer)
    changes: dict[str, Any] = (
        {"state": State.SUPERSEDED.value, "effectiveAt": None}
        if overtaken
        else {"state": State.PUBLISHED.value, "effectiveAt": at}
    )
    record = {
        "version": version,
        "sha256": stored.sha256,
        "state": changes["state"],
        "effectiveAt": None if overtaken else iso(at),
    }
    tlog.append(transaction, db, tlog.Entry(tlog.Action.POLICY_DATED, record, now))
    transaction.update(document, changes)
    if overtaken:
        stop.apply()
    else:
        # Until then somebody may be filling in the form who agreed to the version before.
        campaigns.tell_newcomers(transaction, db, campaign_of(version), at + lives("enrolments"))
    return True


def _change(act: Act, form: PublishPolicy) -> Campaign:
    region = act.platform.settings.region
    url = f"https://{region}-{act.platform.app.project_id}.cloudfunctions.net/policy_page/{form.version}"
    facts = {"version": form.version, "effectiveAt": iso(form.effectiveAt), "summary": form.summary, "url": url}
    return Campaign(inbox.Kind.POLICY_CHANGE, facts, _CHANNELS)


def _collection(version: str) -> str:
    return policies.SECURITY if version.startswith("security-") else policies.PUBLIC


def _refuse_text(form: PublishPolicy, collection: str) -> None:
    """Refuse a text that does not say which version it is or, of the public policy, whom data is shared with."""
    if collection == policies.SECURITY:
        if f"\nVersion: {form.version}\n" not in form.text:
            raise _invalid(f'text: needs the line "Version: {form.version}"')
        return
    day = policies.dated(form.version)
    expected = f"{day:%b %d, %Y}"
    said = _LAST_UPDATED.findall(form.text)
    if said not in ([expected], [f"{day:%B} {day.day}, {day:%Y}"]):
        found = f'says "{said[0]}"' if len(said) == 1 else f"has {len(said)} lines that say when it was last updated"
        raise _invalid(f'text: needs one line "Last updated: {expected}", as the version says; it {found}')
    try:
        processors.named_by(form.text)
    except ValueError as reason:
        raise _invalid(f"text: {reason}; it needs a sentence such as the one in force has") from None


def _refuse_order(act: Act, form: PublishPolicy, earlier: list[Policy]) -> None:
    """Refuse a version that is not newer, or not to take effect later, than all there are; or too soon."""
    for one in earlier:
        if one.version == form.version:
            same = "this very" if one.sha256 == sha256_of(form.text) else "another"
            raise HttpsError(
                FunctionsErrorCode.ALREADY_EXISTS,
                f"This version is {one.state.value} already, with {same} text. Another text needs another version.",
            )
    if earlier and form.version < earlier[-1].version:
        raise _impossible(f"There is a newer version, {earlier[-1].version}: this one's date must be later.")
    if policies.dated(form.version) > (act.now + timedelta(days=1)).date():
        raise _invalid("version: is of a day to come")
    notice = timedelta(days=act.platform.settings.policy_notice_days) if form.material else timedelta()
    if _collection(form.version) == policies.SECURITY:
        notice = timedelta()
    if form.effectiveAt < (soonest := act.now + notice):
        raise _invalid(f"effectiveAt: is too soon; at the earliest {iso(soonest + timedelta(seconds=1))}")
    going_on = [one for one in earlier if not one.ended]
    if going_on and form.effectiveAt <= (last := max(_due(one) for one in going_on)):
        raise _invalid(f"effectiveAt: must be later than that of the version before, {iso(last)}; or withdraw that one")
    waiting = [one.version for one in going_on if one.state is State.ANNOUNCED]
    if waiting and not form.material:
        raise _impossible(
            f"Not everybody has been told of version {waiting[-1]} yet, and this text has its changes too: wait, "
            "withdraw it, or publish this one as material."
        )


def _due(version: Policy) -> datetime:
    return max(moment for moment in (version.effective_at, version.announced_for) if moment)


def _colleagues(act: Act) -> list[str]:
    members = staff.find_members(act.db, act.now, transaction=act.transaction)
    return [member.uid for member in staff.present(act.platform, members, act.transaction)]


def _invalid(message: str) -> HttpsError:
    return HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, message)


def _impossible(message: str) -> HttpsError:
    return HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, message)
