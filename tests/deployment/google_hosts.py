"""Google's services without an emulator that functions ask: the metadata server, keys of tokens, Auth's admin API.

https://cloud.google.com/compute/docs/metadata/querying-metadata
https://firebase.google.com/docs/auth/admin/verify-id-tokens
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import httpx
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response

from local.stand_ins.http_server import HttpStandIn, Problem, answer

if TYPE_CHECKING:
    from werkzeug.wrappers import Request

    from tests.deployment.tokens import Signer

#: The hosts that it plays.
HOSTS: Final = tuple(
    f"{service}.googleapis.com" for service in ("firebaseappcheck", "iamcredentials", "identitytoolkit", "www")
)
_METADATA: Final = "/computeMetadata/v1"
_TOKEN_SECONDS: Final = 3600
_ROUTES: Final = Map(
    [
        Rule("/", methods=["GET"], endpoint="ping"),
        Rule(f"{_METADATA}/<path:name>", methods=["GET"], endpoint="metadata"),
        Rule("/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com", endpoint="certificates"),
        Rule("/v1/jwks", methods=["GET"], endpoint="key_set"),
        Rule("/v1/projects/-/serviceAccounts/<account>/allowedLocations", endpoint="allowed_locations"),
        Rule("/v1/projects/<path:what>", methods=["GET", "POST"], endpoint="identity_toolkit"),
        Rule("/storage/v1/b/<name>", methods=["GET"], endpoint="bucket"),
        Rule("/<any(storage, upload, download):_>/<path:_what>", endpoint="storage"),
        Rule("/queues/<name>", methods=["POST"], endpoint="take_task"),
    ],
    merge_slashes=False,
)


class GoogleHosts(HttpStandIn):
    """Plays them for functions of `project`, behind TLS that somebody else speaks, with what the emulators of Auth and
    Storage lack: an access token, and a bucket's own settings."""

    PUBLIC = "/"

    def __init__(self, project: str, auth_url: str, storage_url: str, signer: Signer) -> None:
        super().__init__(0, _ROUTES)
        #: What Cloud Tasks handed over, by queue.
        self.tasks: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._project, self._auth_url, self._storage_url, self._signer = project, auth_url, storage_url, signer
        self._access_token = f"ya29.{secrets.token_urlsafe(48)}"
        self._http = httpx.Client(trust_env=False, timeout=30)

    @property
    def port(self) -> int:
        """Where it listens, on loopback, without TLS."""
        return self._port

    def stop(self) -> None:
        super().stop()
        self._http.close()

    def check_access(self, authorization: str | None) -> None:
        """Raise Problem unless the request bears the access token that the metadata server gives."""
        if authorization != f"Bearer {self._access_token}":
            raise Problem(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")

    def ping(self, _request: Request) -> Response:
        """Say that this is Google's cloud."""
        return Response(headers={"Metadata-Flavor": "Google"})

    def metadata(self, request: Request, name: str) -> Response:
        """Answer as the metadata server of Cloud Run does."""
        if request.headers.get("Metadata-Flavor") != "Google":
            raise Problem(403, "Forbidden", "Missing Metadata-Flavor:Google header.")
        email = f"functions@{self._project}.iam.gserviceaccount.com"
        token = {"access_token": self._access_token, "expires_in": _TOKEN_SECONDS, "token_type": "Bearer"}
        account = {"email": email, "aliases": ["default"], "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
        known: dict[str, Any] = {
            "project/project-id": self._project,
            "universe/universe-domain": "googleapis.com",
            "universe/universe_domain": "googleapis.com",
            **{f"instance/service-accounts/{of}/": account for of in ("default", email)},
            **{f"instance/service-accounts/{of}/token": token for of in ("default", email)},
            **{f"instance/service-accounts/{of}/email": email for of in ("default", email)},
        }
        if name not in known:
            raise Problem(404, "Not Found", name)
        value, flavor = known[name], {"Metadata-Flavor": "Google"}
        return Response(value, headers=flavor) if isinstance(value, str) else answer(value, headers=flavor)

    def bucket(self, _request: Request, name: str) -> Response:
        """Answer the settings of a bucket that keeps nothing of what is deleted."""
        return answer({"kind": "storage#bucket", "name": name, "softDeletePolicy": {"retentionDurationSeconds": "0"}})

    def storage(self, request: Request, **_path: str) -> Response:
        """Hand any other request for objects to the emulator, as it came: a name's slashes are escaped."""
        passed = {
            name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length")
        }
        url = f"{self._storage_url}{request.environ['REQUEST_URI']}"
        asked = self._http.send(
            self._http.build_request(request.method, url, content=request.get_data(), headers=passed), stream=True
        )
        kept = {name: value for name, value in asked.headers.items() if name not in ("transfer-encoding", "connection")}
        return Response(b"".join(asked.iter_raw()), asked.status_code, kept)

    def take_task(self, request: Request, name: str) -> Response:
        """Take a task in the place of the queue's function."""
        self.tasks[name].append(request.get_json()["data"])
        return answer({})

    def allowed_locations(self, request: Request, account: str) -> Response:  # noqa: ARG002
        """Answer that a service account may be used everywhere."""
        self.check_access(request.headers.get("Authorization"))
        return answer({"locations": [], "encodedLocations": "0x0"})

    def certificates(self, _request: Request) -> Response:
        """Answer the certificates of Auth's token service."""
        return answer(self._signer.certificates(), headers={"Cache-Control": "public, max-age=20000"})

    def key_set(self, _request: Request) -> Response:
        """Answer the keys of App Check."""
        return answer(self._signer.key_set())

    def identity_toolkit(self, request: Request, what: str) -> Response:
        """Hand a request of Auth's admin API to the emulator, as its owner."""
        self.check_access(request.headers.get("Authorization"))
        url = f"{self._auth_url}/identitytoolkit.googleapis.com/v1/projects/{what}"
        asked = self._http.request(
            request.method,
            url,
            params=request.args.to_dict(),
            content=request.get_data(),
            headers={"Authorization": "Bearer owner", "Content-Type": "application/json"},
        )
        return Response(json.dumps(asked.json()), asked.status_code, content_type="application/json")
