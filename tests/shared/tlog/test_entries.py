import base64
import hashlib
from typing import Any

import pytest

from astra import tlog

NONCE = bytes(range(32))
RECORD = '{"number":7,"subject":"' + "a" * 64 + '"}'


def stored(record: Any, nonce: Any = NONCE) -> dict[str, Any]:
    """An entry's document whose commitment is to exactly these bytes."""
    text = record.encode() if isinstance(record, str) else b""
    raw = nonce if isinstance(nonce, bytes) else b""
    encoded = base64.b64encode(nonce).decode() if isinstance(nonce, bytes) else nonce
    return {"record": record, "nonce": encoded, "commitment": hashlib.sha256(raw + text).hexdigest()}


def test_a_record_opens_its_own_commitment_only() -> None:
    assert tlog.is_opened_by(stored(RECORD)) is True
    assert tlog.is_opened_by(stored(RECORD) | {"commitment": "0" * 64}) is False
    for removed in ("record", "nonce"):
        assert tlog.is_opened_by(stored(RECORD) | {removed: None}) is None


@pytest.mark.parametrize(
    "record",
    [
        '{"number":7,"subject":"b","subject":"a"}',
        '{"subject":"a","number":7}',
        '{"number": 7}',
        '{"number":7.0}',
        '{"number":NaN}',
        '{"number":' + "9" * 5000 + "}",
        '{"\\u0061":1}',
        '{"a":"\\ud800"}',
        '{"a":' * 100_000,
        "[]",
        "7",
        "nonsense",
        7,
    ],
)
def test_a_record_that_readers_could_take_for_another_opens_nothing(record: Any) -> None:
    """Its bytes are committed to: of two fields of one name each reader would choose its own."""
    assert tlog.is_opened_by(stored(record)) is False


@pytest.mark.parametrize("nonce", [NONCE[:-1], NONCE + b"\0", "!", 7, base64.b64encode(NONCE).decode()[:-2] + "9="])
def test_a_nonce_is_of_one_size_and_written_in_one_way(nonce: Any) -> None:
    committed = {"commitment": stored(RECORD)["commitment"]} if not isinstance(nonce, bytes) else {}
    assert tlog.is_opened_by(stored(RECORD, nonce) | committed) is False
