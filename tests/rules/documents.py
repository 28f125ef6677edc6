"""Firestore as a client reaches it, over REST, in a project whose rules a test may choose."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from local.stack.stack import Stack
from tests.rules.cast import Cast
from tests.rules.places import DOCUMENTS, Cell

_ADMIN: Final = {"Authorization": "Bearer owner"}  # the emulator's word for a caller whom rules don't bind
_BODY: Final = {"fields": {"note": {"stringValue": "mine"}}}
DATABASES: Final = ("(default)", "vault")
_PAGE: Final = 500  # writes in one commit, at most
_COUNTER = itertools.count()


def timestamp(when: datetime) -> dict[str, str]:
    """A time as a field."""
    return {"timestampValue": when.isoformat().replace("+00:00", "Z")}


class Documents:
    """The documents of one project: a real engine judges, by the rules that were loaded last."""

    def __init__(self, stack: Stack, project: str, cast: Cast) -> None:
        self.project, self.cast = project, cast
        self._http = httpx.Client(base_url=stack.firestore_url, timeout=30)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def load(self, rules: str) -> None:
        """Judge by these rules from now on, in both databases, as deployed; raises where they don't compile."""
        body = {"rules": {"files": [{"name": "firestore.rules", "content": rules}]}}
        for database in DATABASES:
            self._http.put(f"{self._emulator(database)}:securityRules", json=body).raise_for_status()

    def coverage(self) -> list[dict[str, Any]]:
        """What the engine evaluated since the rules were loaded, for each database."""
        urls = [f"{self._emulator(database)}:ruleCoverage" for database in DATABASES]
        return [self._http.get(url).raise_for_status().json() for url in urls]

    def seed(self) -> None:
        """Put everybody's documents where they belong, or back there."""
        now = datetime.now(UTC)
        writes: dict[str, dict[str, dict[str, Any]]] = {database: {} for database in DATABASES}
        for place, (uid, state) in itertools.product(DOCUMENTS, self.cast.profiles.items()):
            fields: dict[str, Any] = {"note": {"stringValue": "mine"}}
            if place.path == "users/{uid}":
                if state is None:
                    continue
                fields["state"] = {"stringValue": state}
                if uid == self.cast.expired.whose:
                    fields["expireAt"] = timestamp(now - timedelta(hours=1))
            if place.several:
                fields["expireAt"] = timestamp(now + timedelta(days=1))
            writes[place.database][place.of(uid)] = fields
            if place.several:
                past = timestamp(now - timedelta(hours=1))
                writes[place.database][place.of(uid, "expired-0001")] = {**fields, "expireAt": past}
                writes[place.database][place.of(uid, "kept-0001")] = {**fields, "expiredAt": past}
        for database, documents in writes.items():
            names = {f"{self.root(database)}/{path}": fields for path, fields in documents.items()}
            updates = [{"update": {"name": name, "fields": fields}} for name, fields in names.items()]
            for page in range(0, len(updates), _PAGE):
                body = {"writes": updates[page : page + _PAGE]}
                self.post(":commit", body, database=database, headers=_ADMIN).raise_for_status()

    def root(self, database: str = "(default)") -> str:
        """The name that every document's name begins with."""
        return f"projects/{self.project}/databases/{database}/documents"

    def post(
        self, method: str, body: Any, token: str | None = None, database: str = "(default)", **options: Any
    ) -> httpx.Response:
        """Call a method on all documents or, with a path before the colon, below one."""
        options.setdefault("headers", _bearer(token))
        return self._http.post(f"/v1/{self.root(database)}{method}", json=body, **options)

    def fetch(self, path: str) -> dict[str, Any]:
        """A document as it is."""
        found: dict[str, Any] = self._http.get(f"/v1/{self.root()}/{path}", headers=_ADMIN).raise_for_status().json()
        return found

    def request(self, method: str, path: str, token: str | None, **options: Any) -> httpx.Response:
        """A request for one document or collection."""
        return self._http.request(method, f"/v1/{self.root()}/{path}", headers=_bearer(token), **options)

    def allows(self, cell: Cell) -> bool:
        """Whether the rules let through what a cell of the matrix asks for."""
        caller = self.cast.callers[cell.who]
        if cell.operation == "get expired" and not cell.place.several:
            caller = self.cast.expired
        item = {"get expired": "expired-0001", "get kept": "kept-0001"}.get(cell.operation, "item-0001")
        answer = self._ask(cell.operation, cell.place.of(caller.whose, item), cell.place.database, caller.token)
        assert answer.status_code in (200, 403, 404), answer.text  # 404: they may know that there is no such profile
        return answer.status_code != 403

    def _emulator(self, database: str) -> str:
        return f"/emulator/v1/projects/{self.project}/databases/{database}"

    def _ask(self, operation: str, path: str, database: str, token: str | None) -> httpx.Response:
        url, headers = f"/v1/{self.root(database)}", _bearer(token)
        collection = path.rpartition("/")[0]
        match operation:
            case "get" | "get expired" | "get kept":
                return self._http.get(f"{url}/{path}", headers=headers)
            case "list":
                return self._http.get(f"{url}/{collection}", headers=headers)
            case "create":
                identity = {"documentId": f"new-{next(_COUNTER)}"}
                return self._http.post(f"{url}/{collection}", params=identity, json=_BODY, headers=headers)
            case "update":
                mask = {"updateMask.fieldPaths": "note"}
                return self._http.patch(f"{url}/{path}", params=mask, json=_BODY, headers=headers)
            case "delete":
                return self._http.delete(f"{url}/{path}", headers=headers)
        of_everybody = query(collection.rpartition("/")[2], everybodys=True)  # list all
        return self.post(":runQuery", of_everybody, token, database)


def query(collection: str, everybodys: bool = False) -> dict[str, Any]:
    """A query of one collection, or of all of its name."""
    return {"structuredQuery": {"from": [{"collectionId": collection, "allDescendants": everybodys}]}}


def _bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
