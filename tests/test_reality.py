"""Runs after everything else: what the whole suite wrote, the data map claims."""

from collections.abc import Iterator
from typing import Any

import pytest

from astra.datamap.lookup import claimant
from astra.datamap.model import Store
from astra.datamap.table import NOT_PERSONAL
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import connect
from local.client import Client
from local.life import PHOTOGRAPH, wait_sealed
from local.scan import documents
from local.stack import Stack

# Tests put data where no code of ours would, to see it found there: all of it below a collection of this name.
_PLANTED = "planted"


def _places(platform: Platform[Any], bucket: str) -> list[tuple[Store, str]]:
    places = [(Store.FIRESTORE, path) for path, _ in documents(platform.db)]
    places += [(Store.VAULT, path) for path, _ in documents(platform.vault_db)]
    places += [(Store.STORAGE, blob.name) for blob in platform.bucket.client.list_blobs(bucket)]
    places += [(Store.REDIS, key) for key in _redis_keys(platform)]
    return places


def _redis_keys(platform: Platform[Any]) -> Iterator[str]:
    """The keys of every database: tests take databases of their own."""
    server, _, _ = str(platform.settings.redis_url.get_secret_value()).rpartition("/")
    for name in platform.redis.info("keyspace"):  # db0, db1, …
        with connect(f"{server}/{name.removeprefix('db')}") as database:
            yield from database.scan_iter()


@pytest.mark.last
def test_the_data_map_claims_everything_that_was_written(stack: Stack, client: Client, platform: Platform[Any]) -> None:
    ada = client.join()
    image_id = client.upload(ada, PHOTOGRAPH.read_bytes())
    wait_sealed(client, ada, image_id)
    assert client.open(image_id, ada.token).status_code == 200
    client.enrol("somebody.else@example.com")
    places = _places(platform, stack.bucket)
    assert {store for store, _ in places} == set(Store) - {Store.AUTH, Store.REPLICATE}  # these have no paths of ours
    unclaimed = [
        f"{store}: {path}"
        for store, path in places
        if claimant(store, path) is None
        and not any(path.startswith(where.removesuffix("{item}")) for where in NOT_PERSONAL)
        and _PLANTED not in path.split("/")
    ]
    assert unclaimed == [], "add an entry to DATA_MAP, or to NOT_PERSONAL with the reason"
