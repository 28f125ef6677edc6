"""Storage as a client reaches it: the SDK's own endpoints, in a bucket of the rules' own."""

import itertools
import json
from typing import Any, Final
from urllib.parse import quote

import httpx

from local.paths import ROOT
from local.stack.stack import Stack
from tests.rules.cast import Cast
from tests.rules.places import OBJECTS, Cell

RULES: Final = ROOT / "storage.rules"
#: No function is told of what happens in it.
BUCKET: Final = "demo-rules.appspot.com"
_COUNTER = itertools.count()


class Objects:
    """The objects of one bucket. The rules are those of the whole emulator: who loads others puts ours back."""

    def __init__(self, stack: Stack, cast: Cast, bucket: str = BUCKET) -> None:
        self.cast, self._bucket = cast, bucket
        self._http = httpx.Client(base_url=stack.storage_url, timeout=60)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def load(self, rules: str) -> None:
        """Judge by these rules from now on; raises where they don't compile."""
        body = {"rules": {"files": [{"name": "storage.rules", "content": rules}]}}
        self._http.put("/internal/setRules", json=body).raise_for_status()

    def seed(self) -> None:
        """Put everybody's objects where they belong, or back there."""
        for place, uid in itertools.product(OBJECTS, self.cast.profiles):
            self.put(place.of(uid), b"bytes", "image/png", "owner").raise_for_status()

    def put(
        self, name: str, content: bytes, content_type: str, token: str | None, metadata: dict[str, Any] | None = None
    ) -> httpx.Response:
        """Upload as the SDK does, with the object's metadata in front of its bytes."""
        head = json.dumps({"name": name, "contentType": content_type, **(metadata or {})}).encode()
        parts = ((b"application/json; charset=utf-8", head), (content_type.encode(), content))
        body = b"".join(b"--part\r\nContent-Type: " + kind + b"\r\n\r\n" + part + b"\r\n" for kind, part in parts)
        headers = {"X-Goog-Upload-Protocol": "multipart", "Content-Type": "multipart/related; boundary=part"}
        return self._request("POST", "", token, params={"name": name}, content=body + b"--part--", headers=headers)

    def put_in_parts(self, name: str, parts: list[bytes], content_type: str, token: str | None) -> httpx.Response:
        """Upload as the SDK does what is large: announced first, then sent part by part. Answers the last answer."""
        announced = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}
        answer = self._request(
            "POST", "", token, params={"name": name}, json={"contentType": content_type}, headers=announced
        )
        to = answer.raise_for_status().headers["x-goog-upload-url"]
        for number, part in enumerate(parts, 1):
            command = "upload, finalize" if number == len(parts) else "upload"
            answer = self._http.post(to, content=part, headers={"X-Goog-Upload-Command": command})
        return answer

    def remove(self, name: str) -> None:
        """Delete an object, whoever may."""
        self._request("DELETE", name, "owner").raise_for_status()

    def download(self, name: str, download_token: str) -> httpx.Response:
        """The object's bytes, by a link that holds its own permission."""
        return self._request("GET", name, None, params={"alt": "media", "token": download_token})

    def allows(self, cell: Cell) -> bool:
        """Whether the rules let through what a cell of the matrix asks for."""
        caller = self.cast.callers[cell.who]
        answer = self._ask(cell.operation, cell.place.of(caller.whose), caller.token)
        assert answer.status_code in (200, 204, 403), answer.text
        return answer.status_code != 403

    def _ask(self, operation: str, name: str, token: str | None) -> httpx.Response:  # noqa: PLR0911
        match operation:
            case "create":
                folder = name.rpartition("/")[0]
                return self.put(f"{folder}/new-item-{next(_COUNTER)}", b"bytes", "image/png", token)
            case "overwrite":
                return self.put(name, b"others", "image/png", token)
            case "list":
                prefix = name.rpartition("/")[0]
                params = {"prefix": f"{prefix}/" if prefix else "", "delimiter": "/"}
                return self._request("GET", "", token, params=params)
            case "download":
                return self._request("GET", name, token, params={"alt": "media"})
            case "update":
                return self._request("PATCH", name, token, json={"contentType": "text/html"})
            case "mint token":
                return self._request("POST", name, token, params={"create_token": "true"})
        return self._request({"get": "GET", "delete": "DELETE"}[operation], name, token)

    def _request(self, method: str, name: str, token: str | None, **options: Any) -> httpx.Response:
        headers = options.pop("headers", {}) | ({"Authorization": f"Firebase {token}"} if token else {})
        path = f"/v0/b/{self._bucket}/o" + (f"/{quote(name, safe='')}" if name else "")
        return self._http.request(method, path, headers=headers, **options)
