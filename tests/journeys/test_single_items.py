"""One image deleted by its owner, and the roll call, through the deployed functions."""

from typing import Any

import pytest

from astra.runtime.platform import Platform
from local.client import CallError, Client
from local.life import PHOTOGRAPH, wait_sealed
from local.scan import scan
from local.stack import Stack


def test_an_image_is_deleted_for_good_and_only_by_its_owner(
    stack: Stack, client: Client, platform: Platform[Any]
) -> None:
    ada, eve = client.join(), client.join()
    kept, deleted = (client.upload(ada, PHOTOGRAPH.read_bytes()) for _ in range(2))
    for image_id in (kept, deleted):
        wait_sealed(client, ada, image_id)
    assert client.call("delete_item", {"kind": "image", "id": deleted}, eve.token) == {}
    assert client.open(deleted, ada.token).status_code == 200  # hers is not touched by somebody else's request
    for _ in range(2):
        assert client.call("delete_item", {"kind": "image", "id": deleted}, ada.token) == {}
    assert client.open(deleted, ada.token).status_code == 404
    assert client.open(kept, ada.token).status_code == 200
    findings = [f for f in scan(stack, {"image": deleted.encode()}) if f.store not in ("log", "disk")]
    assert findings == []
    assert platform.db.document(f"users/{ada.uid}/images/{kept}").get().exists


@pytest.mark.parametrize(
    "data",
    [
        {"kind": "account", "id": "ring-0001"},
        {"kind": "image"},
        {"kind": "image", "id": ""},
        {"kind": "image", "id": "../../other/images/ring-0001"},
        {"kind": "image", "id": "ring-0001/x"},
        {"kind": "image", "id": "r" * 65},
        {"kind": "image", "id": 7},
        {"kind": "image", "id": "__reserved__"},
        {"kind": "image", "id": "ring-0001", "uid": "somebody-else"},
    ],
)
def test_what_names_nothing_of_ones_own_is_refused(client: Client, data: dict[str, Any]) -> None:
    ada = client.join()
    with pytest.raises(CallError) as refused:
        client.call("delete_item", data, ada.token)
    assert refused.value.status == "INVALID_ARGUMENT"


def test_nobody_deletes_without_signing_in(client: Client) -> None:
    with pytest.raises(CallError) as refused:
        client.call("delete_item", {"kind": "image", "id": "ring-0001"})
    assert refused.value.status == "UNAUTHENTICATED"
