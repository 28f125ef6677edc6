"""What must exist after a deployment: each function, said here and derived from nothing that is deployed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from tests.deployment.needed_secrets import needed

REGION: Final = "us-central1"
#: The invoker of a function that clients call themselves: App Check and ID tokens are its own business.
PUBLIC: Final = "everyone"
_BLOCKING, _CALLABLE, _REQUEST = "blocking", "callable", "request"
_STORAGE: Final = "google.cloud.storage.object.v1.finalized"
_PUBSUB: Final = "google.cloud.pubsub.topic.v1.messagePublished"


@dataclass(frozen=True)
class Function:
    """A function as the project shows it. `memory` in MiB, `timeout` in seconds, `least` and `most` instances."""

    trigger: str
    account: str
    cpu: float
    concurrency: int = 1
    least: int = 0
    most: int = 20
    memory: int = 512
    timeout: int = 60
    retry: bool = False
    secrets: frozenset[str] = frozenset()
    invokers: str = ""


def _every(interval: str, account: str, timeout: int, cpu: float = 0.2, **more: Any) -> Function:
    return Function(f"every {interval}", account, cpu, most=1, timeout=timeout, **more)


def _queue(backoff: int, account: str, *callers: str, at_once: int = 1000, cpu: float = 0.3, **more: Any) -> Function:
    trigger = f"queue: {at_once} at once, 5 attempts from {backoff} s"
    return Function(trigger, account, cpu, invokers=", ".join(sorted(callers)), **more)


def _staff(account: str, names: str) -> dict[str, Function]:
    return dict.fromkeys(names.split(), Function(_CALLABLE, account, 0.2, most=2))


_SIGNUP: Final = Function(_CALLABLE, "signup", 0.3)
_DELETION: Final = Function(_CALLABLE, "deletion", 0.3)
_PAGE: Final = Function(_REQUEST, "pages", 0.3)
#: Work that takes a whole vCPU and as many requests at once as gunicorn has threads.
_BUSY: Final[dict[str, Any]] = {"cpu": 1, "concurrency": 4}
_LONG: Final[dict[str, Any]] = {**_BUSY, "most": 5, "timeout": 1800}

#: Functions by codebase, as `_completed` completes them. The account of each is `ACCOUNT-functions`.
_FUNCTIONS: Final[dict[str, dict[str, Function]]] = {
    "signup": {
        **dict.fromkeys(("start_signup", "update_profile", "set_ip_lock", "send_code", "unlock"), _SIGNUP),
        "accept_policy": replace(_SIGNUP, **_BUSY),
        "before_create": replace(_SIGNUP, account="signin", trigger="beforeCreate", least=1, **_BUSY),
        "before_sign_in": replace(_SIGNUP, account="signin", trigger="beforeSignIn", least=1, **_BUSY),
        "sendcode": _queue(5, "codes", "signup"),
    },
    "uploads": {
        "seal_upload": Function(_STORAGE, "uploads", 1, invokers="uploads", memory=2048, timeout=300),
        "open_image": Function(_REQUEST, "uploads", **_BUSY),
        "recover": _every("5 minutes", "uploads", 540, cpu=1, memory=2048),
    },
    "usage": {
        "log_event": Function(_CALLABLE, "usage", **_BUSY),
        "flush": _every("1 minutes", "usage", 300),
    },
    "erasure": {
        "delete_account": _DELETION,
        "delete_item": _DELETION,
        "receipt": _DELETION,
        "erase": _queue(10, "erasure", "deletion", "erasure", at_once=20, **_LONG),
        "reconcile": _every("5 minutes", "erasure", 240),
    },
    "governance": {
        **_staff(
            "governance",
            "accept_security_policy cancel_transfer grant_role place_hold plan_transfer "
            "publish_policy record_disclosure register_processor release_hold remove_child "
            "revoke_role sign_review switch_roll_call withdraw_policy",
        ),
        "policy_page": _PAGE,
        "review": _every("1 hours", "governance", 240),
    },
    "tlog": {"sequence": _every("1 minutes", "log", 240)},
    "retention": {"sweep": _every("1 hours", "retention", 1800)},
    "breach": {
        **_staff(
            "breach",
            "approve_notice close_incident confirm_incident contain_incident delay_notice describe_incident "
            "report_incident rule_out_people tell_regulator",
        ),
        "notice_page": _PAGE,
        "assess": _queue(10, "assessment", "breach", "alerts", "assessment", at_once=2, cpu=0.2, most=2, timeout=1800),
        "tick": _every("5 minutes", "alerts", 240),
        "watch": Function(_PUBSUB, "alerts", 0.3, invokers="alerts", retry=True),
    },
    "notices": {
        **_staff("notices", "preview_campaign resume_campaign send_campaign stop_campaign"),
        "see_notice": Function(_CALLABLE, "notices", 0.2),
        "bounced": Function(_REQUEST, "bounces", 0.2),
        "notify": _queue(10, "campaigns", "deletion", "campaigns", at_once=20, **_LONG),
        "deliver": _every("5 minutes", "campaigns", 240, cpu=0.1),
    },
}


def _completed(name: str, function: Function) -> Function:
    """Add what follows from a function's name and trigger: its secrets, and who may invoke what a deployment opens."""
    invokers = function.invokers
    if function.trigger in (_CALLABLE, _REQUEST, "beforeCreate", "beforeSignIn"):
        invokers = PUBLIC
    elif function.trigger.startswith("every "):
        invokers = function.account
    return replace(function, secrets=frozenset(needed(name)), invokers=invokers)


#: Every function by its name.
FUNCTIONS: Final = {
    name: _completed(name, function) for functions in _FUNCTIONS.values() for name, function in functions.items()
}
#: What no deployment opens: whoever sends it events and tasks is let in afterwards.
LET_IN_LATER: Final = {name for name, one in FUNCTIONS.items() if one.trigger.startswith(("queue", "google"))}
CODEBASES: Final = {codebase: set(functions) for codebase, functions in _FUNCTIONS.items()}
#: The secrets that each account may read.
SECRETS: Final = {
    function.account: sorted(
        {name for one in FUNCTIONS.values() if one.account == function.account for name in one.secrets}
    )
    for function in FUNCTIONS.values()
}
