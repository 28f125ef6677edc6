"""What must exist after a deployment: each function, said here and derived from nothing that is deployed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

KEY, REDIS = "ASTRA_PSEUDONYM_KEY", "ASTRA_REDIS_URL"
REGION: Final = "us-central1"
#: The invoker of a function that clients call themselves; App Check and ID tokens are its own business.
PUBLIC: Final = "everyone"


@dataclass(frozen=True)
class Function:
    """A function as the project shows it: memory in MiB, timeout in seconds, and who may invoke its service."""

    trigger: str
    secrets: frozenset[str]
    invoker: str = ""
    memory: int = 256
    timeout: int = 60
    concurrency: int = 80
    least: int = 0
    retry: bool = False


def _callable(*secrets: str, **more: Any) -> Function:
    return Function("callable", frozenset(secrets), PUBLIC, **more)


def _request(*secrets: str, **more: Any) -> Function:
    return Function("request", frozenset(secrets), PUBLIC, **more)


def _schedule(every: str, *secrets: str, **more: Any) -> Function:
    return Function(f"every {every}", frozenset(secrets), "itself", **more)


def _queue(backoff: int, *secrets: str, at_once: int = 1000, **more: Any) -> Function:
    return Function(f"queue: {at_once} at once, 5 attempts from {backoff} s", frozenset(secrets), **more)


def _blocking(kind: str, *secrets: str, **more: Any) -> Function:
    return Function(kind, frozenset(secrets), PUBLIC, **more)


_SIGNUP = (KEY, REDIS, "ASTRA_SMTP_URL")
_ERASURE = (KEY, REDIS, "ASTRA_CERTIFICATE_KEY", "ASTRA_REPLICATE_TOKEN")
_GOVERNANCE = (KEY, REDIS, "ASTRA_LOG_KEY", "ASTRA_WITNESS_KEY_ID", "ASTRA_WITNESS_SECRET")
_BREACH = (KEY, REDIS, "ASTRA_SMTP_URL", "ASTRA_BOUNCE_SECRET")


def _all(names: str, function: Function) -> dict[str, Function]:
    return dict.fromkeys(names.split(), function)


#: Functions by codebase. The account of each is `CODEBASE-functions`, its region `REGION`.
FUNCTIONS: Final[dict[str, dict[str, Function]]] = {
    "signup": {
        **_all("start_signup update_profile accept_policy set_ip_lock send_code unlock", _callable(*_SIGNUP)),
        "before_create": _blocking("beforeCreate", *_SIGNUP),
        "before_sign_in": _blocking("beforeSignIn", *_SIGNUP),
        "sendcode": _queue(5, *_SIGNUP),
    },
    "uploads": {
        "seal_upload": Function(
            "google.cloud.storage.object.v1.finalized", frozenset((KEY, REDIS)), "", 2048, 300, concurrency=1
        ),
        "open_image": _request(KEY, REDIS),
        "recover": _schedule("5 minutes", KEY, REDIS, memory=2048, timeout=540),
    },
    "usage": {
        "log_event": _callable(KEY, REDIS),
        "flush": _schedule("1 minutes", KEY, REDIS, timeout=300),
    },
    "erasure": {
        **_all("delete_account delete_item receipt", _callable(*_ERASURE)),
        "erase": _queue(10, *_ERASURE, at_once=20, timeout=1800),
        "reconcile": _schedule("5 minutes", *_ERASURE, timeout=240),
    },
    "governance": {
        **_all(
            "accept_security_policy cancel_transfer grant_role place_hold plan_transfer preview_campaign "
            "publish_policy record_disclosure register_processor release_hold remove_child resume_campaign revoke_role "
            "send_campaign sign_review stop_campaign switch_roll_call withdraw_policy",
            _callable(*_GOVERNANCE),
        ),
        "policy_page": _request(*_GOVERNANCE),
        "review": _schedule("1 hours", *_GOVERNANCE, timeout=240),
        "sequence": _schedule("1 minutes", *_GOVERNANCE, timeout=240),
    },
    "retention": {"sweep": _schedule("1 hours", KEY, REDIS, timeout=1800)},
    "breach": {
        **_all(
            "approve_notice close_incident confirm_incident contain_incident delay_notice describe_incident "
            "report_incident rule_out_people see_notice tell_regulator",
            _callable(*_BREACH),
        ),
        **_all("bounced notice_page", _request(*_BREACH)),
        "notify": _queue(10, *_BREACH, at_once=20, timeout=1800),
        "tick": _schedule("5 minutes", *_BREACH, timeout=240),
        "watch": replace(Function("google.cloud.pubsub.topic.v1.messagePublished", frozenset(_BREACH)), retry=True),
    },
}
#: The secrets that each codebase's account may read.
SECRETS: Final = {
    f"{codebase}-functions": sorted({name for function in functions.values() for name in function.secrets})
    for codebase, functions in FUNCTIONS.items()
}
