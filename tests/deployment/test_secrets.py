"""Each function's environment holds the secrets that it needs, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from local.manifests import endpoints
from tests.deployment.needed_secrets import OTHERS, WITHOUT_PSEUDONYMS, WITHOUT_REDIS, needed

FUNCTIONS = endpoints()


def secrets(endpoint: dict[str, Any]) -> set[str]:
    """The secrets that a function declares."""
    return {variable["key"] for variable in endpoint["secretEnvironmentVariables"]}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_the_secrets_that_it_needs(function: str) -> None:
    assert secrets(FUNCTIONS[function]) == needed(function)


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
