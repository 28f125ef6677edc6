"""A customer's browser: Auth over REST, callables, uploads."""

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Protocol, Self

import httpx

POLICY_VERSION = "2025-08-02"
_TIMEOUT = httpx.Timeout(60)


class Endpoints(Protocol):
    """Where the servers are; `local.stack.Stack` is one."""

    project: str
    bucket: str
    auth_url: str
    firestore_url: str
    storage_url: str

    def function_url(self, name: str) -> str:
        """The URL of a deployed HTTPS function."""
        ...


class CallError(Exception):
    """A callable answered with an error: HTTP code, standard status and message."""

    def __init__(self, code: int, status: str, message: str) -> None:
        super().__init__(f"{code} {status}: {message}")
        self.code, self.status, self.message = code, status, message


@dataclass(frozen=True)
class Person:
    """A signed-in customer."""

    uid: str
    email: str
    password: str
    token: str


class Client:
    """Speaks to the deployed functions and to Firebase itself, and knows nothing of how they are made."""

    def __init__(self, stack: Endpoints, address: str | None = None) -> None:
        """`address` is where it calls functions from, as Google's front end says; each time from elsewhere if None."""
        self._stack, self._address = stack, address
        self._http = httpx.Client(timeout=_TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, function: str, data: Any, token: str | None = None) -> dict[str, Any]:
        """Call a callable function; raises CallError on any answer but success."""
        # Addresses for benchmarks of networks: nobody's (RFC 2544).
        address = self._address or f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
        headers = {"X-Forwarded-For": address, **_bearer(token)}
        answer = self._http.post(self._stack.function_url(function), json={"data": data}, headers=headers)
        try:
            body = answer.json()
        except ValueError:  # not the function's answer: the emulator's, or none
            raise CallError(answer.status_code, "NO JSON", answer.text[:200]) from None
        if "error" in body:
            raise CallError(answer.status_code, body["error"]["status"], body["error"]["message"])
        result: dict[str, Any] = body["result"]
        return result

    def enrol(self, email: str | None, **changes: Any) -> dict[str, Any]:
        """`start_signup` for an adult who agrees; `changes` replace fields, None removes one."""
        form: dict[str, Any] = {
            "email": email,
            "name": "Ada Lovelace",
            "birthYear": 1990,
            "birthMonth": 12,
            "policyVersion": POLICY_VERSION,
            "consents": {"terms": True},
        }
        form = {name: value for name, value in (form | changes).items() if value is not None}
        return self.call("start_signup", form)

    def sign_up(self, email: str, password: str) -> Person:
        """Make an account over Auth's REST API; raises CallError where Auth or a blocking function refuses."""
        return self._account("accounts:signUp", email, password)

    def sign_in(self, email: str, password: str) -> Person:
        """Sign in over Auth's REST API; raises CallError."""
        return self._account("accounts:signInWithPassword", email, password)

    def join(self, email: str | None = None) -> Person:
        """Enrol and sign up a fresh person."""
        email = email or f"{secrets.token_hex(8)}@example.com"
        # A name of their own, so that a search for it finds nobody else.
        self.enrol(email, name=name_of(email))
        return self.sign_up(email, secrets.token_urlsafe(16))

    def upload(
        self, person: Person, content: bytes, upload_id: str | None = None, content_type: str = "image/jpeg"
    ) -> str:
        """Upload to the person's place in `incoming/` under their token. Answers the id; raises CallError."""
        upload_id = upload_id or secrets.token_urlsafe(12)
        answer = self.put_object(f"incoming/{person.uid}/{upload_id}", content, content_type, person.token)
        if answer.is_error:
            raise CallError(answer.status_code, "DENIED", answer.text)
        return upload_id

    def put_object(self, name: str, content: bytes, content_type: str, token: str | None) -> httpx.Response:
        """The Storage SDK's upload of one object."""
        headers = {"Content-Type": content_type}
        if token:
            headers["Authorization"] = f"Firebase {token}"
        url = f"{self._stack.storage_url}/v0/b/{self._stack.bucket}/o"
        return self._http.post(url, params={"name": name}, content=content, headers=headers)

    def open(
        self, image_id: str, token: str | None, method: str = "GET", size: str | None = None, **headers: str
    ) -> httpx.Response:
        """`open_image`, whatever it answers."""
        url = self._stack.function_url("open_image")
        params = {"id": image_id} | ({"size": size} if size else {})
        return self._http.request(method, url, params=params, headers=_bearer(token) | headers)

    def document(self, path: str, token: str | None) -> httpx.Response:
        """A document as the client SDKs get it: over REST, under the security rules."""
        base = f"{self._stack.firestore_url}/v1/projects/{self._stack.project}/databases/(default)/documents"
        return self._http.get(f"{base}/{path}", headers=_bearer(token))

    def _account(self, method: str, email: str, password: str) -> Person:
        answer = self._http.post(
            f"{self._stack.auth_url}/identitytoolkit.googleapis.com/v1/{method}",
            params={"key": "any"},
            json={"email": email, "password": password, "returnSecureToken": True},
        )
        try:
            body = answer.json()
        except ValueError:  # not the function's answer: the emulator's, or none
            raise CallError(answer.status_code, "NO JSON", answer.text[:200]) from None
        if "error" in body:
            raise CallError(answer.status_code, body["error"].get("status", ""), body["error"]["message"])
        return Person(body["localId"], email, password, body["idToken"])


def name_of(email: str) -> str:
    """The name under which `join` enrols an address."""
    return f"Name-{hashlib.sha256(email.encode()).hexdigest()[:16]}"


def unsigned_token(project: str, **claims: Any) -> str:
    """An ID token as the Auth emulator makes them. `sub` and `user_id` say whose."""
    now = int(time.time())
    dated = {"iat": now, "auth_time": now, "exp": now + 3600}
    issued = {"iss": f"https://securetoken.google.com/{project}", "aud": project}
    parts = ({"alg": "none", "typ": "JWT"}, issued | dated | claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def _bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
