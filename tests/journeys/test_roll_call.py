"""The roll call through the deployed functions and the command of staff: a dry run, and its switch."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from astra import staff
from astra.erasure import roll_call
from astra.runtime.platform import Platform
from astra.staff import Role
from local.demo.client import Client, Person
from local.demo.customer_life import wait_for
from local.stack.stack import Stack
from tests.journeys.test_staff import accept


@pytest.fixture
def switch(platform: Platform[Any]) -> Iterator[Any]:
    """The shared stack's switch, put back as it was."""
    document = roll_call.switch(platform.db)
    before = document.get().to_dict() or {}
    yield document
    document.set(before)


def command(*arguments: str, token: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "cli", "erasure", "roll-call", *arguments, "--yes"],
        env={**os.environ, "ASTRA_ID_TOKEN": token, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


@pytest.fixture
def hire(platform: Platform[Any], client: Client) -> Iterator[Callable[[Role], Person]]:
    """Gives people a role for as long as the test lasts: other tests count who works here."""
    hired: list[Person] = []

    def hire(role: Role) -> Person:
        person = client.join()
        accept(client, person)
        staff.reference(platform.db, person.uid).update(staff.granted(role, [], platform.clock()))
        hired.append(person)
        return person

    yield hire
    for person in hired:
        staff.reference(platform.db, person.uid).update(staff.revoked([], platform.clock()))


def test_a_dry_run_and_then_two_people_switch_it_on(
    stack: Stack, client: Client, platform: Platform[Any], switch: Any, hire: Callable[[Role], Person]
) -> None:
    first, second = hire(Role.PRIVACY), hire(Role.SECURITY)
    off = command("disable", token=first.token)
    assert (off.returncode, off.stdout) == (0, "roll call: off\n"), off.stderr
    assert switch.get().get("enabled") is False
    looked = command("--dry-run")
    assert looked.returncode == 0, looked.stderr
    assert "orphans: data without an account" in looked.stdout
    digest = (roll_call.report(platform.db).get().to_dict() or {})["digest"]
    refused = command("enable", "--report", "0" * 64, token=first.token)
    assert (refused.returncode, "not the digest of the newest" in refused.stderr) == (1, True)
    customer = command("enable", "--report", digest, token=client.join().token)
    assert (customer.returncode, "PERMISSION_DENIED" in customer.stderr) == (1, True)
    proposed = command("enable", "--report", digest, token=first.token)
    assert "a second staff member must run the same command" in proposed.stdout, proposed.stderr
    assert switch.get().get("enabled") is False
    assert command("enable", "--report", digest, token=second.token).stdout == "roll call: on\n"
    assert switch.get().get("enabled") is True


def test_the_roll_is_called_by_the_schedule(stack: Stack, platform: Platform[Any]) -> None:
    stack.fire("reconcile")

    def rested() -> Any:
        job = roll_call.job(platform.db).get().to_dict() or {}
        return (job.get("nextRunAt") and job["nextRunAt"] > platform.clock() and job["roster"] == 0) or None

    wait_for("a whole round", rested, 60)
