"""The secrets that each function needs, and why: a function that is not named here may have none."""

from __future__ import annotations

from typing import Final

_PEOPLE: Final = (
    "accept_policy delete_account delete_item log_event receipt see_notice send_code set_ip_lock start_signup unlock "
    "update_profile"
)
_STAFF: Final = (
    "accept_security_policy approve_notice cancel_transfer close_incident confirm_incident contain_incident "
    "delay_notice describe_incident grant_role place_hold plan_transfer preview_campaign publish_policy "
    "record_disclosure register_processor release_hold remove_child report_incident resume_campaign revoke_role "
    "rule_out_people send_campaign sign_review stop_campaign switch_roll_call tell_regulator withdraw_policy"
)
_PAGES: Final = "bounced notice_page open_image policy_page"
#: Of each secret the functions that get it, by the reason why.
_NEEDED: Final[dict[str, dict[str, str]]] = {
    "ASTRA_PSEUDONYM_KEY": {
        f"{_PEOPLE} {_STAFF}": "names the caller in Redis, in tombstones and in the log",
        _PAGES: "names the network that asks, where requests are counted",
        "before_create before_sign_in": "finds the enrolment of an address, and the tombstone of an account",
        "sendcode": "finds the code of an address",
        "seal_upload recover": "finds the tombstone of an account before anything is sealed for it",
        "flush": "finds the tombstone of an account before its events are written",
        "erase reconcile sweep": "writes tombstones, and names people in the log",
        "review": "names people in the log",
        "assess notify tick watch": "names people in the log, and things in the cases of breaches",
    },
    "ASTRA_REDIS_URL": {
        f"{_PEOPLE} {_STAFF} {_PAGES}": "counts requests",
        "flush": "takes the events that wait there",
        "erase sweep": "deletes what is there of somebody",
        "notify": "counts letters to a mail server",
        "tick watch": "counts what the audit log tells",
    },
    "ASTRA_SMTP_URL": {
        "sendcode": "mails codes to sign in with",
        "notify": "mails notices",
        "watch": "mails staff that something was detected",
        "tick": "mails staff what comes due, and what `watch` could not mail",
    },
    "ASTRA_BOUNCE_SECRET": {"bounced": "checks the mail server's signature"},
    "ASTRA_CERTIFICATE_KEY": {"erase": "signs certificates of erasure"},
    "ASTRA_REPLICATE_TOKEN": {"erase": "cancels predictions and deletes files"},
    "ASTRA_LOG_KEY": {"sequence": "signs checkpoints of the log"},
    "ASTRA_WITNESS_KEY_ID": {"sequence": "posts checkpoints to the witness"},
    "ASTRA_WITNESS_SECRET": {"sequence": "posts checkpoints to the witness"},
}
#: The same without the reasons.
SECRETS: Final = {secret: {name for names in why for name in names.split()} for secret, why in _NEEDED.items()}


def needed(function: str) -> set[str]:
    """Return the names of the secrets that a function needs."""
    return {secret for secret, functions in SECRETS.items() if function in functions}
