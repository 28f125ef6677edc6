"""The pages of a person's documents."""

import secrets
from typing import Any

import pytest
from google.api_core.exceptions import ServiceUnavailable

from astra.datamap.model import Store, Subject
from erasure import descendants
from erasure.documents import Trees


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_read_that_fails_is_not_taken_for_the_end(
    platform: Any, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    uid, now, read = f"many-{secrets.token_hex(8)}", platform.clock(), descendants.page
    for first in range(0, 1200, 400):
        batch = platform.db.batch()
        for number in range(first, first + 400):
            batch.set(platform.db.document("users", uid, "events", f"{number:04}"), {"at": now})
        batch.commit()
    asked: list[int] = []

    def page(*args: Any) -> list[str]:
        asked.append(len(asked) + 1)
        if asked[-1] == failing:
            raise ServiceUnavailable("asked for")
        return read(*args)

    monkeypatch.setattr(descendants, "page", page)
    monkeypatch.setattr(descendants, "_FIRST_QUERY_DOCUMENTS", 300)
    subject = Subject(uid, platform.pseudonyms.of_uid(uid), None, now)
    trees, found, failures = Trees(platform.db, Store.FIRESTORE, subject, everywhere=False), [], 0
    cursor: dict[str, Any] | None = None
    while True:
        try:
            part = trees.page(cursor)
        except ServiceUnavailable:
            failures += 1
            continue
        found += [path for _, path in part.documents]
        if part.cursor is None:
            break
        cursor = part.cursor
    assert failures == 1
    assert found == [f"users/{uid}/events/{number:04}" for number in range(1200)]
