"""Each function's environment holds the secrets that it needs, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.manifests import endpoints

#: Names people by keyed pseudonyms: in tombstones, in the log, in Redis.
PSEUDONYMS = "ASTRA_PSEUDONYM_KEY"
#: Counts requests, and holds what lives seconds.
REDIS = "ASTRA_REDIS_URL"
#: What deals with nobody in particular.
WITHOUT_PSEUDONYMS = {"sequence": "gives entries of the log their places: who they are about, they don't say"}
#: What nobody calls, and what needs nothing of what lives seconds.
WITHOUT_REDIS = {
    "seal_upload": "started by Storage",
    "recover": "a schedule over what Storage and the vault hold",
    "reconcile": "a schedule over Firestore, Auth and Storage; the erasures that it begins are done by `erase`",
    "review": "a schedule over Firestore",
    "sequence": "a schedule over the log",
}
#: All others: of each the functions that get it, and why.
OTHERS = {
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
FUNCTIONS = endpoints()


def secrets(endpoint: dict[str, Any]) -> set[str]:
    """The secrets that a function declares."""
    return {variable["key"] for variable in endpoint["secretEnvironmentVariables"]}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_the_secrets_that_it_needs(function: str) -> None:
    common = {PSEUDONYMS} - ({PSEUDONYMS} if function in WITHOUT_PSEUDONYMS else set())
    common |= {REDIS} - ({REDIS} if function in WITHOUT_REDIS else set())
    assert secrets(FUNCTIONS[function]) == common | {name for name, who in OTHERS.items() if function in who}


def test_what_is_listed_is_deployed() -> None:
    listed = {*WITHOUT_PSEUDONYMS, *WITHOUT_REDIS, *(function for who in OTHERS.values() for function in who)}
    assert listed <= set(FUNCTIONS)
    assert not {*WITHOUT_PSEUDONYMS} & {name for name, found in FUNCTIONS.items() if "callableTrigger" in found}


def test_who_may_be_called_can_read_no_other_functions_secrets() -> None:
    """A function can ask Secret Manager for whatever its account may read, in its environment or not."""
    readable: dict[str, set[str]] = {}
    for found in FUNCTIONS.values():
        readable.setdefault(found["serviceAccountEmail"], set()).update(secrets(found))
    for name, found in FUNCTIONS.items():
        if {"callableTrigger", "httpsTrigger", "blockingTrigger"} & set(found):
            assert readable[found["serviceAccountEmail"]] == secrets(found), name
