"""What each function is deployed with, and the page that says so."""

from __future__ import annotations

import re

from breach.detection import watch
from local.deployment import grants, tables
from local.deployment.manifests import endpoints
from local.paths import ROOT

FUNCTIONS = endpoints()


def test_the_page_has_the_tables_of_the_code() -> None:
    text = tables.DOCUMENT.read_text(encoding="utf-8")
    assert tables.written(text) == text, "run `.venv/bin/python -m local.deployment.tables`"


def test_every_account_is_made_and_given_its_roles() -> None:
    accounts = {one["serviceAccountEmail"].partition("@")[0] for one in FUNCTIONS.values()}
    assert accounts | {grants.OPERATOR, grants.DEPLOYER} == set(grants.ACCOUNTS)


def test_breach_detection_knows_the_accounts_of_what_goes_through_everybody() -> None:
    everybody = ("assess", "notify", "reconcile", "sweep")
    assert {FUNCTIONS[name]["serviceAccountEmail"].partition("@")[0] for name in everybody} == set(watch.THOROUGH)


def test_an_account_is_a_whole_address() -> None:
    """firebase-tools expands `NAME@` for the function itself, but neither for secret grants nor for Cloud Scheduler."""
    for name, found in FUNCTIONS.items():
        assert found["serviceAccountEmail"].endswith("@{{ params.GCLOUD_PROJECT }}.iam.gserviceaccount.com"), name


def test_an_instance_of_every_function_fits_into_a_new_projects_quota() -> None:
    assert sum(found["cpu"] * max(1, found["minInstances"] or 0) for found in FUNCTIONS.values()) <= tables.QUOTA


def test_who_must_answer_within_seconds_is_kept_warm() -> None:
    assert {name for name, found in FUNCTIONS.items() if found["minInstances"]} == {
        name for name, found in FUNCTIONS.items() if "blockingTrigger" in found
    }


def test_an_instance_takes_no_more_requests_at_once_than_it_has_threads_for() -> None:
    """gunicorn has four threads a vCPU, and Cloud Run takes less than a whole one with a single request only."""
    for name, found in FUNCTIONS.items():
        assert found["concurrency"] <= (4 * found["cpu"] if found["cpu"] >= 1 else 1), name


def test_everybody_who_calls_a_closed_service_is_let_in() -> None:
    """Functions that nobody calls from outside: their triggers, and who enqueues their tasks."""
    closed = {name for name, found in FUNCTIONS.items() if {"eventTrigger", "taskQueueTrigger"} & set(found)}
    assert set(grants.INVOKERS) == closed
    enqueuers = {account for account, roles in grants.ACCOUNTS.items() if grants.ENQUEUES in roles}
    queues = {name for name, found in FUNCTIONS.items() if "taskQueueTrigger" in found}
    assert {account for name in queues for account in grants.INVOKERS[name]} == enqueuers


def test_a_block_can_be_pasted_into_any_shell() -> None:
    """An interactive zsh takes a comment behind a command for arguments."""
    for page in ("deploy.md", "operators.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for block in re.findall(r"(?ms)^```sh\n(.*?)^```", text):
            assert not re.search(r"(?m)(^|\s)#\s", block), block
