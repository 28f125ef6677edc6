"""The letter that confirms an erasure, and the deletion that waits for it, but not for long."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from astra import erasure
from astra.accounts import tombstones
from astra.jobs import Worker
from astra.notices import deliveries
from erasure import confirmation
from tests.functions.erasure.somebody import Somebody


@pytest.fixture
def asked(ada: Somebody) -> Somebody:
    """Ada, who has asked for her erasure."""
    now = ada.platform.clock()
    letter = partial(erasure.confirm, platform=ada.platform, uid=ada.uid, now=now)
    assert erasure.begin(ada.platform, ada.uid, now, letter)
    return ada


def row(person: Somebody) -> Any:
    return deliveries.row_of(person.platform.db, person.uid, erasure.LETTER)


def work(person: Somebody) -> dict[str, Any]:
    """One run of the worker, as the handler has it."""
    platform = person.platform
    worker = Worker(platform.db, platform.clock, timedelta(seconds=30))
    worker.run(person.job, confirmation.after(platform, person.cascade().page), timedelta(minutes=1))
    return person.fields()


def test_every_door_is_closed_but_nothing_deleted_before_the_letter_is_out(asked: Somebody) -> None:
    before = asked.places()
    job = work(asked)
    assert job["step"] == "replicate"
    assert job["nextRunAt"] == asked.platform.clock() + asked.platform.settings.retry_delay
    assert tombstones.reference(asked.platform.vault_db, asked.subject).get().exists
    assert before <= asked.places()
    row(asked).update({"state": "accepted"})
    asked.platform.clock.step(seconds=2)  # type: ignore[attr-defined]
    assert work(asked)["step"] == "verify"
    assert not row(asked).get().exists


@pytest.mark.parametrize("state", ["bounced", "failed", "gone"])
def test_a_letter_that_reaches_nobody_is_not_waited_for(asked: Somebody, state: str) -> None:
    row(asked).update({"state": state})
    assert work(asked)["step"] == "verify"


def test_after_a_while_the_deletion_goes_on_without_it(asked: Somebody) -> None:
    wait, clock = asked.platform.settings.confirmation_wait, asked.platform.clock
    latest = asked.fields()["createdAt"] + wait
    work(asked)
    clock.step(seconds=wait.total_seconds() - 0.5)  # type: ignore[attr-defined]
    assert work(asked)["nextRunAt"] == latest
    clock.step(seconds=0.5)  # type: ignore[attr-defined]
    assert work(asked)["step"] == "verify"


def test_who_has_no_profile_is_not_written_to(ada: Somebody) -> None:
    ada.platform.db.document(f"users/{ada.uid}").delete()
    letter = partial(erasure.confirm, platform=ada.platform, uid=ada.uid, now=ada.platform.clock())
    assert erasure.begin(ada.platform, ada.uid, ada.platform.clock(), letter)
    assert not row(ada).get().exists


def test_the_receipt_in_the_letter_is_theirs(asked: Somebody) -> None:
    facts = row(asked).get().get("facts")
    assert asked.platform.pseudonyms.request_of(facts["receipt"]) == asked.subject
