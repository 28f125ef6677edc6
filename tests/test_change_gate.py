"""Frozen and held data stays as it is: every change that a person can ask for, and every writer of the project.

The matrix asks for each change through its handler, over the real stores: with the account frozen, with a legal hold on
each entry of the data map that the change is about, and with the account being deleted.
"""

import ast
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import policies, staff
from astra.accounts import tombstones
from astra.erasure import legal_holds
from astra.erasure.change_gate import Bar, Barred
from astra.notices import inbox
from astra.runtime.callables import Call, Caller, Shape, parse
from astra.runtime.platform import Platform
from astra.staff import Role
from astra.vault import vault_of
from astra.vault.cobblestone import Unopenable
from erasure import request_handlers
from erasure.items import DeleteItem, delete_item
from governance.roles import AcceptSecurityPolicy, accept_security_policy
from local.demo.scan import documents
from local.paths import ROOT
from notices.reports import SeeNotice, see_notice
from signup import unlock as signup_unlock
from signup.profile import AcceptPolicy, SetIpLock, UpdateProfile, accept_policy, set_ip_lock, update_profile
from tests.functions.signup.conftest import Member, enrol
from tests.support import code
from tests.support.people import own_project
from tests.test_staff_handlers import OWN_BUSINESS
from usage.events import LogEvent
from usage.record import log_event

IMAGE, NOTICE = "ring-0001", "policy-2026-01-01"


@pytest.fixture
def platform(platform: Platform[Any]) -> Iterator[Platform[Any]]:
    with own_project(platform):
        yield platform


class Ada:
    """Somebody with an image, a notice, both optional consents and a lock."""

    def __init__(self, platform: Platform[Any]) -> None:
        from signup import blocking  # noqa: PLC0415

        self.platform, self.uid = platform, secrets.token_hex(14)
        consents = {"terms": True, "electronicNotices": False, "ipLock": True}
        self.email = enrol(platform, consents=consents)
        blocking.before_create(platform, Member(platform, self.uid, self.email).asked())
        auth.create_user(uid=self.uid, email=self.email, app=platform.app)
        self.profile = platform.db.document(f"users/{self.uid}")
        self.profile.collection("images").document(IMAGE).set({"status": "ready", "createdAt": platform.clock()})
        platform.bucket.blob(f"images/{self.uid}/{IMAGE}").upload_from_string(b"sealed")
        vault_of(platform).new_object(self.uid, IMAGE)
        batch = platform.db.batch()
        notice = inbox.Notice(inbox.Kind.STAFF, "a title", "a text")
        inbox.write(batch, platform.db, self.uid, NOTICE, notice, platform.clock())
        batch.commit()
        platform.clock.step(seconds=2)  # type: ignore[attr-defined]

    @property
    def subject(self) -> Any:
        return self.platform.pseudonyms.of_uid(self.uid)

    def call(self, shape: type[Shape], data: Any) -> Call[Any]:
        caller = Caller(self.uid, self.platform.clock(), "token")
        return Call(parse(shape, data), caller, "192.0.2.0/24", "Mozilla/5.0")

    def has_key(self) -> bool:
        try:
            vault_of(self.platform).find_object(self.uid, IMAGE)
        except Unopenable:
            return False
        return True

    def belongings(self) -> dict[str, Any]:
        """Every document below the profile, the staff document, the image's key and object, and the state at Auth."""
        found: dict[str, Any] = {
            path: fields
            for path, fields in documents(self.platform.db)
            if self.uid in path or path.startswith(("codes/", "tombstones/", "erasures/"))
        }
        user = auth.get_user(self.uid, app=self.platform.app)
        objects = [blob.name for blob in self.platform.bucket.list_blobs(prefix=f"images/{self.uid}/")]
        return found | {"key": self.has_key(), "objects": objects, "disabled": user.disabled}

    def hold(self, entry: str) -> str:
        now = self.platform.clock()
        return legal_holds.place(
            self.platform.db,
            self.subject,
            entries=[entry],
            basis="Code of civil procedure 142, case 7",
            expires_at=now + timedelta(days=30),
            approvers=["priya", "sam"],
            now=now,
        )

    def locks(self) -> dict[str, Any]:
        return {one.id: one.to_dict() for one in self.profile.collection("locks").get()}


class Tasks:
    """A queue that keeps its tasks for the test to carry out."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []

    def hint(self, *job: Any, **fields: Any) -> bool:
        self.jobs.append((job, fields))
        return True


def security_policy(ada: Ada) -> dict[str, str]:
    required = policies.current(ada.platform.db, ada.platform.clock(), policies.SECURITY)
    return {"version": required.version, "sha256": required.sha256}


def send_code(ada: Ada) -> Any:
    tasks: Any = Tasks()
    signup_unlock.send_code(
        ada.platform, tasks, Call(parse(signup_unlock.SendCode, {"email": ada.email}), network="192.0.2.0/24")
    )
    [((address,), fields)] = tasks.jobs
    return signup_unlock.deliver(ada.platform, address, fields["uid"])


def unlock(ada: Ada) -> Any:
    address, code = ada.platform.pseudonyms.of_email(ada.email), "12345678"
    kept = {ada.platform.pseudonyms.of_code(ada.uid, code): ada.platform.clock() + timedelta(minutes=5)}
    ada.platform.db.document(f"codes/{address}").set({"codes": kept, "tries": 0})
    return signup_unlock.unlock(ada.platform, Call(parse(signup_unlock.Unlock, {"email": ada.email, "code": code})))


def delete_account(ada: Ada) -> Any:
    tasks: Any = Tasks()
    return request_handlers.delete_account(
        ada.platform, tasks, tasks, ada.call(request_handlers.DeleteAccount, {"confirm": True})
    )


def handler(function: Any, shape: type[Shape], data: dict[str, Any]) -> Callable[[Ada], Any]:
    return lambda ada: function(ada.platform, ada.call(shape, data))


@dataclass(frozen=True)
class Change:
    """One change that a person can ask for."""

    of: str
    """The callable."""
    ask: Callable[[Ada], Any]
    held_by: tuple[str, ...] = ()
    """A hold on any of these bars it."""
    frozen: Bar | None = Bar.FROZEN
    """What a frozen account is refused with; None if a freeze does not bar it."""


CHANGES: Final = {
    "a name": Change("update_profile", handler(update_profile, UpdateProfile, {"name": "Ada King"}), ("profile",)),
    "a consent": Change(
        "update_profile", handler(update_profile, UpdateProfile, {"electronicNotices": True}), ("consents",)
    ),
    "a withdrawal": Change(
        "update_profile", handler(update_profile, UpdateProfile, {"electronicNotices": False}), frozen=None
    ),
    "a withdrawal and a name": Change(
        "update_profile",
        handler(update_profile, UpdateProfile, {"electronicNotices": False, "name": "Ada King"}),
        ("profile",),
    ),
    "a policy": Change(
        "accept_policy", handler(accept_policy, AcceptPolicy, {"policyVersion": policies.FIRST}), frozen=None
    ),
    "a lock": Change("set_ip_lock", handler(set_ip_lock, SetIpLock, {"enabled": True}), ("profile", "consents")),
    "a lock's end": Change("set_ip_lock", handler(set_ip_lock, SetIpLock, {"enabled": False}), frozen=None),
    "an image": Change(
        "delete_item",
        handler(delete_item, DeleteItem, {"kind": "image", "id": IMAGE}),
        ("image-records", "sealed-images", "object-keys"),
    ),
    "a prompt": Change("delete_item", handler(delete_item, DeleteItem, {"kind": "prompt", "id": IMAGE}), ("prompts",)),
    "a notice": Change("see_notice", handler(see_notice, SeeNotice, {"id": NOTICE}), ("notices", "deliveries")),
    "an event": Change("log_event", handler(log_event, LogEvent, {"event": "app_opened"})),
    "staff's policy": Change(
        "accept_security_policy",
        lambda ada: accept_security_policy(ada.platform, ada.call(AcceptSecurityPolicy, security_policy(ada))),
        ("staff",),
    ),
    "a code": Change("send_code", send_code),
    "a code's use": Change("unlock", unlock),
    "a deletion": Change("delete_account", delete_account),
}
#: They change nothing of an account's.
NO_CHANGE: Final = {
    "start_signup": "before there is an account",
    "receipt": "reads a certificate",
    "generate_image": "does not exist yet",
    "request_export": "does not exist yet",
}
EVERY: Final = pytest.mark.parametrize("name", CHANGES)


@pytest.fixture
def ada(platform: Platform[Any], monkeypatch: pytest.MonkeyPatch) -> Ada:
    monkeypatch.setattr(request_handlers, "_refuse_revoked", lambda *_: None)  # her token is a word here
    return Ada(platform)


def refusal(ada: Ada, change: Change) -> Bar | FunctionsErrorCode | None:
    """What is answered to a change; None if it is made."""
    try:
        change.ask(ada)
    except Barred as barred:
        assert barred.details == {"reason": barred.bar.value}
        return barred.bar
    except HttpsError as error:
        return error.code
    return None


def test_every_callable_of_a_persons_own_is_in_the_matrix() -> None:
    assert {change.of for change in CHANGES.values()} | set(NO_CHANGE) == set(OWN_BUSINESS)


@EVERY
def test_an_active_account_without_a_hold_makes_it(ada: Ada, name: str) -> None:
    assert refusal(ada, CHANGES[name]) is None


@EVERY
def test_a_frozen_account_changes_nothing_but_what_is_excepted(ada: Ada, name: str) -> None:
    change = CHANGES[name]
    ada.profile.update({"state": "frozen"})
    before = ada.belongings()
    answered = refusal(ada, change)
    if change.frozen is None:
        assert answered is None
        assert ada.profile.get().get("state") == "frozen"
    elif change.of == "send_code":
        assert (answered, ada.belongings()) == (None, before), "the answer does not tell, and nothing is sent"
    elif change.of == "unlock":
        assert answered is FunctionsErrorCode.PERMISSION_DENIED
        assert ada.locks()["network"]["network"]
    else:
        assert (answered, ada.belongings()) == (Bar.FROZEN, before)


@pytest.mark.parametrize(
    ("name", "entry"), [(name, entry) for name, change in CHANGES.items() for entry in change.held_by]
)
def test_a_hold_keeps_what_it_names_as_it_is(ada: Ada, name: str, entry: str) -> None:
    if name == "a prompt":
        ada.profile.collection("prompts").document(IMAGE).set({"createdAt": ada.platform.clock()})
    if name == "staff's policy":
        staff.reference(ada.platform.db, ada.uid).set({"role": None})
    hold = ada.hold(entry)
    before = ada.belongings()
    assert refusal(ada, CHANGES[name]) is Bar.HELD
    assert ada.belongings() == before
    legal_holds.release(ada.platform.db, ada.subject, hold, ada.platform.clock())
    assert refusal(ada, CHANGES[name]) is None


@pytest.mark.parametrize(("name", "entry"), [("staff's policy", "staff"), ("a notice", "notices")])
def test_a_hold_counts_for_staff_without_a_profile_too(ada: Ada, name: str, entry: str) -> None:
    staff.reference(ada.platform.db, ada.uid).set(staff.granted(Role.PRIVACY, [], ada.platform.clock()))
    ada.profile.delete()
    hold = ada.hold(entry)
    assert refusal(ada, CHANGES[name]) is Bar.HELD
    legal_holds.release(ada.platform.db, ada.subject, hold, ada.platform.clock())
    assert refusal(ada, CHANGES[name]) is None


@EVERY
def test_holds_on_anything_else_bar_nothing(ada: Ada, name: str) -> None:
    ada.hold("events")
    assert refusal(ada, CHANGES[name]) is None


@EVERY
def test_while_the_account_is_being_deleted_nothing_is_changed(ada: Ada, name: str) -> None:
    change = CHANGES[name]
    batch = ada.platform.db.batch()
    tombstones.bury(batch, ada.platform.db, ada.subject, ada.platform.clock())
    batch.commit()
    if change.of == "delete_account":
        return  # it answers the receipt of the deletion that is under way
    before = ada.belongings()
    # Codes tell nobody whether there is an account.
    expected = {"send_code": None, "unlock": FunctionsErrorCode.PERMISSION_DENIED}.get(change.of, Bar.ERASING)
    assert refusal(ada, change) is expected
    assert {path: ada.belongings()[path] for path in before} == before


def test_a_freeze_that_lands_while_a_deletion_begins_wins(ada: Ada, monkeypatch: pytest.MonkeyPatch) -> None:
    from astra.erasure import request as erasure  # noqa: PLC0415

    real = erasure.intend

    def meanwhile(*arguments: Any, **options: Any) -> None:
        ada.profile.update({"state": "frozen"})
        real(*arguments, **options)

    monkeypatch.setattr(erasure, "intend", meanwhile)
    assert refusal(ada, CHANGES["a deletion"]) is Bar.FROZEN
    assert not tombstones.reference(ada.platform.db, ada.subject).get().exists


@pytest.mark.parametrize("name", ["a lock's end", "a code's use"])
def test_a_held_lock_is_set_aside_until_the_hold_ends(ada: Ada, name: str) -> None:
    [kept] = ada.locks().values()
    ada.hold("network-locks")
    assert refusal(ada, CHANGES[name]) is None
    aside = [fields for lock, fields in ada.locks().items() if lock != "network"]
    assert [{field: one[field] for field in kept} for one in aside] == [kept]
    assert all(one["expireAt"] <= ada.platform.clock() for one in aside), "the sweep takes it once it may"


# --- Every writer of the project, by reading its code.

_VERBS: Final = {
    *(
        "set",
        "update",
        "create",
        "delete",
        "commit",
        "upload_from_file",
        "upload_from_string",
        "unlink",
        "hset",
        "srem",
    ),
    *("delete_user", "delete_users", "update_user", "create_user", "set_custom_user_claims", "revoke_refresh_tokens"),
}
#: What is no store: headers, sets, counters, ciphers.
_NO_STORE: Final = re.compile(r"headers|counts|declared|missing|_skipped|decryptor|_unwrapped|left")
#: The system's own writers, by the unit that writes: none acts for the person whose data it changes.
SYSTEM: Final = {
    "an erasure deletes what two people, the law or the person decided; holds are checked in each page that deletes": {
        "functions/erasure/erasure/cascade.py": {"Cascade"},
        "functions/erasure/erasure/objects.py": {"_delete"},
        "functions/erasure/erasure/documents.py": {"Trees"},
        "shared/astra/erasure/request.py": {"begin", "begin_again", "intend", "pending_resume"},
        "cli/erasure.py": {"retry"},
        "shared/astra/accounts/tombstones.py": {"bury", "commit_unless_erased"},
    },
    "the sweep deletes what has expired; holds are checked in its delete primitive": {
        "functions/retention/retention/documents.py": {"Rows"},
        "functions/retention/retention/objects_and_keys.py": {"Keys", "_delete"},
        "shared/astra/erasure/item.py": {"Thing"},
        "cli/retention.py": {"retry"},
        "functions/retention/retention/restamp.py": {"Presences", "Restamp"},
        "functions/retention/retention/schedule.py": {"begin"},
    },
    "whoever is inactive is warned, then erased: frozen accounts and those under a hold wait": {
        "functions/retention/retention/inactivity.py": {"Inactive"},
    },
    "the roll call freezes and gives back, and hands orphans to the erasure": {
        "functions/erasure/erasure/orphans.py": {"_Round", "call_the_roll"},
        "functions/erasure/erasure/freeze.py": {"freeze", "give_back"},
        "cli/roll_call.py": {"_look"},
    },
    "sign-up makes what was not there; sign-in notes that somebody was here, which is what keeps their data": {
        "functions/signup/signup/blocking.py": {"_noted", "before_create"},
        "functions/signup/signup/enrolment.py": {"start_signup"},
    },
    "the code's tries are counted whoever guesses, and the code is used up; the rest passes the gate in `Revision`": {
        "functions/signup/signup/unlock.py": {"deliver", "unlock"},
    },
    "what was uploaded while the account was active (the rules ask) is sealed: plaintext must not stay": {
        "functions/uploads/uploads/seal.py": {"_put", "_record", "_remove"},
        "shared/astra/vault/keys.py": {"Vault"},
    },
    "what was logged while the account was active is written; `log_event` passes the gate once a minute": {
        "functions/usage/usage/record.py": {"_write", "log_event"},
    },
    "keys are wrapped anew: what they open stays the same": {
        "functions/uploads/uploads/key_rotation.py": {"_update", "begin"}
    },
    "people are told what concerns them, frozen or not": {
        "functions/notices/notices/dispatch.py": {"_wake"},
        "functions/notices/notices/email.py": {"Mailing"},
        "functions/notices/notices/delivery_status.py": {"settle"},
        "functions/notices/notices/in_app.py": {"Telling", "complete"},
        "shared/astra/notices/campaigns.py": {
            *("_open", "enlist", "freeze", "pending_stop", "start", "tell", "tell_newcomers"),
        },
        "shared/astra/notices/deliveries.py": {"open_newcomers", "open_ranges"},
        "shared/astra/notices/inbox.py": {"write"},
    },
    "staff decide under their role, and the log says so": {
        "functions/breach/breach/response/approve_notice.py": {"approve_notice"},
        "functions/breach/breach/response/contain.py": {"_planned", "_suspending", "contain_incident", "settle_key"},
        "functions/breach/breach/response/decisions.py": {
            "close_incident",
            "delay_notice",
            "describe_incident",
            "report_incident",
        },
        "functions/breach/breach/response/confirm.py": {"confirm_incident", "rule_out_people"},
        "functions/breach/breach/response/regulators.py": {"tell_regulator"},
        "functions/notices/notices/campaign_requests.py": {"_going_on", "stop_campaign"},
        "functions/governance/governance/child_removal.py": {"remove_child"},
        "functions/governance/governance/disclosures.py": {"_tell", "record_disclosure"},
        "functions/governance/governance/processor_register.py": {"_open", "look", "register_processor"},
        "functions/governance/governance/policies.py": {"_take_effect", "publish_policy", "withdraw_policy"},
        "functions/governance/governance/schedule.py": {"_advance", "_end", "_open", "open_reviews"},
        "functions/governance/governance/reviews.py": {"sign_review"},
        "functions/governance/governance/roles.py": {"grant_role", "revoke_role"},
        "functions/governance/governance/roll_call_switch.py": {"switch_roll_call"},
        "functions/governance/governance/transfer_requests.py": {"cancel_transfer", "plan_transfer"},
        "shared/astra/accounts/state.py": {"_settled", "settle"},
        "shared/astra/erasure/legal_holds.py": {"put", "pending_release"},
        "cli/policies.py": {"_publish"},
        "shared/astra/staff/privileged.py": {"_Attempt"},
        "cli/processors.py": {"seed"},
        "shared/astra/staff/members.py": {"_settled", "mirror"},
        "cli/staff.py": {"appoint_first"},
        "functions/governance/governance/transfers.py": {"_page"},
    },
    "the command's own environment, and no store": {"cli/common.py": {"choose"}},
    "incidents and their evidence": {
        "functions/breach/breach/response/deadline_alarms.py": {"_note_told", "_sound"},
        "functions/breach/breach/detection/correlate.py": {"_open", "alert"},
        "functions/breach/breach/assessment/affected.py": {"Gathering"},
        "functions/breach/breach/assessment/exposures.py": {"Notes"},
        "functions/breach/breach/detection/watch.py": {"_count"},
        "cli/breach.py": {"_retry", "deploying"},
        "cli/honeytokens.py": {"plant"},
    },
    "the transparency log": {
        "functions/tlog/tlog/sequencer.py": {"Sequencer", "sequence"},
        "cli/tlog.py": {"announce", "resume"},
        "cli/tlog_recover.py": {"_go_on", "_stop", "recover"},
        "shared/astra/tlog/tiles.py": {"Tiles"},
        "shared/astra/tlog/entries.py": {"append"},
    },
    "jobs, and counters of requests": {
        "shared/astra/jobs.py": {"Worker"},
        "shared/astra/runtime/rate_limits.py": {"close"},
    },
}


def units(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node


def writes(unit: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _VERBS
        and not _NO_STORE.search(ast.unparse(node.func.value))
        for node in ast.walk(unit)
    )


def test_every_writer_passes_the_gate_or_is_the_systems_own_with_a_reason() -> None:
    ungated: defaultdict[str, set[str]] = defaultdict(set)
    for path in (*code.DEPLOYED, *code.CLI):
        for name, unit in units(path):
            if writes(unit) and "change_gate.refuse(" not in ast.unparse(unit):
                ungated[path.relative_to(ROOT).as_posix()].add(name)
    listed: dict[str, set[str]] = {}
    for files in SYSTEM.values():
        listed |= files
    assert dict(ungated) == listed, "let it pass `change_gate.refuse`, or list it with the reason why it need not"
