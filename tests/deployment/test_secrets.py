"""Each function's environment holds the secrets that it needs, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from local.deployment.manifests import endpoints, groups
from tests.deployment.needed_secrets import SECRETS, needed

FUNCTIONS = endpoints()


def secrets(endpoint: dict[str, Any]) -> set[str]:
    """The secrets that a function declares."""
    return {variable["key"] for variable in endpoint["secretEnvironmentVariables"]}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_the_secrets_that_it_needs(function: str) -> None:
    assert secrets(FUNCTIONS[function]) == needed(function)


def test_a_function_is_served_by_the_group_that_it_is_deployed_with() -> None:
    """Without `serves` no setting would be missed at start, and an exception's text would reach the platform's log."""
    for name, group in groups().items():
        assert group is not None, f"{name}: add @GROUP.serves"
        assert group["service_account"] == FUNCTIONS[name]["serviceAccountEmail"], name
        assert set(group["secrets"]) == secrets(FUNCTIONS[name]), name


def test_what_is_listed_is_deployed() -> None:
    assert set().union(*SECRETS.values()) <= set(FUNCTIONS)


def test_who_may_be_called_can_read_no_other_functions_secrets() -> None:
    """A function can ask Secret Manager for whatever its account may read, in its environment or not."""
    readable: dict[str, set[str]] = {}
    for found in FUNCTIONS.values():
        readable.setdefault(found["serviceAccountEmail"], set()).update(secrets(found))
    for name, found in FUNCTIONS.items():
        if {"callableTrigger", "httpsTrigger", "blockingTrigger"} & set(found):
            assert readable[found["serviceAccountEmail"]] == secrets(found), name
