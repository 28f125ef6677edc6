"""Scan of all stores of the local stack for given bytes.

It knows nothing of the data map: it takes each store from end to end, as somebody would who does not trust the map.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import google.auth.credentials
import httpx
import redis
from google.cloud import firestore, storage
from google.cloud.firestore_v1._helpers import decode_dict
from google.cloud.firestore_v1.types import StructuredQuery
from redis.client import Pipeline

from astra.runtime.documents import read_plain
from local.stack.ports import WITNESS_BUCKET
from local.stand_ins.witness import CREDENTIALS

if TYPE_CHECKING:
    from local.stand_ins.mail_server import Letter
    from local.stand_ins.replicate import ReplicateStandIn

DATABASES = ("(default)", "vault")
_KEYS = 1000
"""As many of Redis at once."""


class Stores(Protocol):
    """Where the stores are; `local.stack.Stack` is one."""

    project: str
    auth_url: str
    storage_url: str
    redis_url: str
    log_dir: Path
    run_dir: Path
    mail: Any
    replicate: "ReplicateStandIn"
    witness_url: str


@dataclass(frozen=True)
class Finding:
    """`needle` (its name, not its bytes) was seen in `store` at `place`."""

    store: str
    place: str
    needle: str


def scan(stack: Stores, needles: Mapping[str, bytes]) -> list[Finding]:
    """Every occurrence of every needle in any store, log or file of the stack."""
    return [
        Finding(store, place, name)
        for store, place, content in contents(stack)
        for name, needle in needles.items()
        if needle in content or needle in place.encode()
    ]


def contents(stack: Stores) -> Iterator[tuple[str, str, bytes]]:
    """(store, place, bytes) of everything that is stored anywhere."""
    yield from _accounts(stack)
    for database in DATABASES:
        yield from _documents(stack, database)
    yield from _objects(stack)
    yield from _keys(stack)
    for number, letter in enumerate(list(stack.mail.messages)):
        yield "mail", str(number), _foreign(letter)
    for place, content in stack.replicate.holdings():
        yield "replicate", place, content
    yield from _witnessed(stack)
    for folder, store in ((stack.run_dir, "disk"), (stack.log_dir, "log")):
        for path in sorted(folder.rglob("*")):
            # The emulators' own debug logs repeat every request; ours are what the functions print.
            if path.is_file() and not path.name.endswith("-debug.log"):
                with contextlib.suppress(FileNotFoundError):
                    yield store, path.name, path.read_bytes()


def _witnessed(stack: Stores) -> Iterator[tuple[str, str, bytes]]:
    client = boto3.client("s3", endpoint_url=stack.witness_url, region_name="us-east-1", **CREDENTIALS)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=WITNESS_BUCKET):
        for found in page.get("Contents", []):
            yield "witness", found["Key"], client.get_object(Bucket=WITNESS_BUCKET, Key=found["Key"])["Body"].read()


def _foreign(letter: "Letter") -> bytes:
    """All that a letter says but whom it is to: what is somebody's own lies in their mailbox, which is no store of
    ours."""
    texts = [part.get_content() for part in letter.message.walk() if part.get_content_maintype() == "text"]
    whole = "\n".join([*map(str, letter.message.values()), *texts])
    for recipient in letter.recipients:
        whole = whole.replace(recipient, "")
    return whole.encode()


def _accounts(stack: Stores) -> Iterator[tuple[str, str, bytes]]:
    url = f"{stack.auth_url}/identitytoolkit.googleapis.com/v1/projects/{stack.project}/accounts:batchGet"
    answer = httpx.get(url, params={"maxResults": 1000}, headers={"Authorization": "Bearer owner"}, timeout=60)
    for user in answer.raise_for_status().json().get("users", []):
        yield "auth", user["localId"], json.dumps(user).encode()


def documents(db: firestore.Client) -> list[tuple[str, dict[str, Any]]]:
    """Path and fields of every document of a database, at any depth, below missing ones too: by one query."""
    query = StructuredQuery(from_=[StructuredQuery.CollectionSelector(all_descendants=True)])

    def fields_of(document: Any) -> tuple[str, dict[str, Any]]:
        return document.name.partition("/documents/")[2], decode_dict(document.fields, db)

    return read_plain(db, query, fields_of)


def _documents(stack: Stores, database: str) -> Iterator[tuple[str, str, bytes]]:
    for path, fields in documents(firestore.Client(project=stack.project, database=database)):
        yield f"firestore {database}", path, repr(fields).encode()


def _objects(stack: Stores) -> Iterator[tuple[str, str, bytes]]:
    client = storage.Client(project=stack.project, credentials=google.auth.credentials.AnonymousCredentials())
    # Not `list_buckets`: the emulator answers it at another path than Google does.
    for bucket in httpx.get(f"{stack.storage_url}/b", timeout=60).raise_for_status().json()["items"]:
        for blob in client.list_blobs(bucket["name"], versions=True):
            yield "storage", f"{blob.bucket.name}/{blob.name}", blob.download_as_bytes() + repr(blob.metadata).encode()


def _keys(stack: Stores) -> Iterator[tuple[str, str, bytes]]:
    readers: dict[bytes, Callable[[Pipeline, bytes], object]] = {
        b"string": lambda pipe, key: pipe.get(key),
        b"set": lambda pipe, key: pipe.smembers(key),
        b"hash": lambda pipe, key: pipe.hgetall(key),
        b"list": lambda pipe, key: pipe.lrange(key, 0, -1),
        b"zset": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
        b"stream": lambda pipe, key: pipe.xrange(key),
    }
    client = redis.Redis.from_url(stack.redis_url)
    every = client.scan_iter(count=_KEYS)
    while keys := list(islice(every, _KEYS)):
        with client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.type(key)
            for key, kind in zip(keys, pipe.execute(), strict=True):
                readers.get(kind, Pipeline.type)(pipe, key)  # of what has gone since, that it has
            for key, value in zip(keys, pipe.execute(), strict=True):
                yield "redis", key.decode(errors="replace"), value if isinstance(value, bytes) else repr(value).encode()
