"""What there is, by somebody who trusts nothing of ours: each store from end to end, and no data map.

It speaks to the stores over their own protocols, so that what disturbs the clients of the code under test does not
disturb it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
import redis

if TYPE_CHECKING:
    from local.stack.stack import Stack
    from local.stand_ins.replicate import ReplicateStandIn

_OWNER = {"Authorization": "Bearer owner"}


@dataclass(frozen=True)
class Thing:
    """One stored thing: its content as text. `made` tells it from an earlier one at the same place."""

    content: str
    made: str = ""
    fields: dict[str, Any] = field(default_factory=dict, compare=False)
    """Of a document."""


Things = dict[tuple[str, str], Thing]
"""By store (auth, firestore, vault, storage, redis or replicate) and place."""


class Oracle:
    """Looks at the stores of one project, and empties them."""

    def __init__(self, stack: Stack, project: str, bucket: str, redis_url: str) -> None:
        self._auth = f"{stack.auth_url}/identitytoolkit.googleapis.com/v1/projects/{project}"
        self._firestore, self._project = stack.firestore_url, f"projects/{project}"
        self._objects = f"{stack.storage_url}/storage/v1/b/{bucket}/o"
        self._accounts = f"{stack.auth_url}/emulator/v1/projects/{project}/accounts"
        self._http = httpx.Client(headers=_OWNER, timeout=60)
        self._redis = redis.Redis.from_url(redis_url, decode_responses=True)

    def everything(self, replicate: ReplicateStandIn) -> Things:
        """All that is stored anywhere."""
        things = self.documents("firestore") | self.documents("vault")
        users = self._ask("GET", f"{self._auth}/accounts:batchGet?maxResults=1000").get("users", [])
        things |= {("auth", user["localId"]): Thing(_text(user)) for user in users}
        for blob in self._ask("GET", f"{self._objects}?versions=true").get("items", []):
            content = _text({name: blob.get(name) for name in ("size", "md5Hash", "metadata")})
            things["storage", blob["name"]] = Thing(content, blob["generation"])
        for key in self._redis.keys("*"):
            things["redis", key] = Thing(self._value(key))
        things |= {("replicate", place): Thing(repr(content)) for place, content in replicate.holdings()}
        return things

    def documents(self, store: str) -> Things:
        """All documents of a database, at any depth."""
        database = f"{self._project}/databases/{'vault' if store == 'vault' else '(default)'}/documents"
        query = {"structuredQuery": {"from": [{"allDescendants": True}]}}
        answers = self._ask("POST", f"{self._firestore}/v1/{database}:runQuery", json=query)
        return {
            (store, document["name"].partition("/documents/")[2]): Thing(
                _text(document.get("fields", {})),
                document["createTime"],
                {name: _value(value) for name, value in document.get("fields", {}).items()},
            )
            for document in (answer["document"] for answer in answers if "document" in answer)
        }

    def empty(self) -> None:
        """Remove all, so that the next example begins with nothing."""
        for database in ("(default)", "vault"):
            url = f"{self._firestore}/emulator/v1/{self._project}/databases/{database}/documents"
            self._ask("DELETE", url)
        self._ask("DELETE", self._accounts)
        for blob in self._ask("GET", self._objects).get("items", []):
            self._http.delete(f"{self._objects}/{blob['name'].replace('/', '%2F')}").raise_for_status()
        self._redis.flushdb()

    def _value(self, key: str) -> str:
        kind = self._redis.type(key)
        return str(self._redis.get(key) if kind == "string" else sorted(self._redis.smembers(key)))

    def _ask(self, method: str, url: str, **request: Any) -> Any:
        return self._http.request(method, url, **request).raise_for_status().json()


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _value(value: dict[str, Any]) -> Any:
    """A Firestore value as Python has it."""
    [(kind, content)] = value.items()
    match kind:
        case "mapValue":
            return {name: _value(inner) for name, inner in content.get("fields", {}).items()}
        case "arrayValue":
            return [_value(inner) for inner in content.get("values", [])]
        case "integerValue":
            return int(content)
        case "timestampValue":
            return datetime.fromisoformat(content)
        case "nullValue":
            return None
    return content
