"""A sweep through the deployed function, as it will be in some months."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from astra.runtime.platform import Platform
from local.client import Client
from local.stack import Stack


def gone(row: Any) -> bool:
    """Whether a document goes within a while."""
    deadline = time.monotonic() + 30
    while row.get().exists and time.monotonic() < deadline:
        time.sleep(0.2)
    return not row.get().exists


def test_a_drill_takes_what_will_be_over_and_the_next_sweep_is_at_the_present_again(
    stack: Stack, client: Client, platform: Platform[Any]
) -> None:
    ada = client.join()
    client.call("log_event", {"event": "app_opened", "id": "drill-0001"}, ada.token)
    row = platform.db.document(f"users/{ada.uid}/events/drill-0001")
    stack.fire("sweep")
    assert row.get().exists
    stack.fire("sweep", at=datetime.now(UTC) + timedelta(days=91))
    assert gone(row)
    assert "inactivity" in (platform.db.document(f"users/{ada.uid}").get().to_dict() or {})
    client.call("log_event", {"event": "app_opened", "id": "drill-0002"}, ada.token)
    row = platform.db.document(f"users/{ada.uid}/events/drill-0002")
    row.update({"expireAt": datetime.now(UTC)})
    stack.fire("sweep")
    assert gone(row)


def test_what_has_expired_is_not_served_before_it_is_swept(
    stack: Stack, client: Client, platform: Platform[Any]
) -> None:
    ada = client.join()
    row = platform.db.document(f"users/{ada.uid}/events/kept-0001")
    url = f"{stack.firestore_url}/v1/projects/{stack.project}/databases/(default)/documents/{row.path}"
    ahead = datetime.now(UTC) + timedelta(days=1)
    for fields, code in (({"expireAt": ahead}, 200), ({"expireAt": ahead, "expiredAt": ahead}, 403)):
        row.set(fields)
        assert httpx.get(url, headers={"Authorization": f"Bearer {ada.token}"}).status_code == code
