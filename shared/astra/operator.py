"""Staff commands: the project, the credentials and the secrets of the person who runs one.

A command that only reads runs with the person's own Google credentials. A command that changes something, or that
always needs a secret, runs as the operator account, which the person impersonates. docs/operators.md says which command
is which, and which roles either account needs.

Invariants:
1. A command loads no setting and reads no secret before it uses one.
2. A secret that the environment does not hold comes from Secret Manager into this process's memory, and goes into no
   file, no environment, no output and no message.
3. A person who lacks credentials, a role, an API or a secret reads one line that says what to run, and no traceback.
"""

import argparse
import base64
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import firebase_admin
import google.auth
import google_crc32c
from firebase_admin.exceptions import FirebaseError, PermissionDeniedError
from google.api_core.exceptions import Forbidden, GoogleAPICallError, PermissionDenied
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError, TransportError
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import firestore
from google.oauth2.credentials import Credentials as UserCredentials
from requests import RequestException

from astra import log
from astra.platform import Platform
from astra.settings import Environment, SettingsError, emulated, load

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.cloud.storage import Bucket

    from astra.vault import Vault

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT: Final = 30  # seconds
_LOGIN: Final = "run `gcloud auth application-default login`"

S = TypeVar("S", bound=Environment)


class Refused(Exception):
    """One line for the person at the terminal: what is wrong, and the command that mends it."""


@dataclass(frozen=True)
class Google:
    """Where Google's APIs answer, and the folder of the projects' settings files."""

    secrets: str = "https://secretmanager.googleapis.com"
    storage: str = "https://firebasestorage.googleapis.com"
    identity: str = "https://identitytoolkit.googleapis.com"
    rules: str = "https://firebaserules.googleapis.com"
    tokens: str | None = None
    """The method that makes tokens of an account, where it is not the IAM Credentials API's own."""
    folder: Path = Path(__file__).parents[2] / "settings"


GOOGLE: Final = Google()


class Parser(argparse.ArgumentParser):
    """Takes `--project` before a verb and after it: argparse makes each verb's parser of this class too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_argument("--project", default=argparse.SUPPRESS, help="default: GOOGLE_CLOUD_PROJECT")


class Desk(Platform[S]):
    """A Platform on a staff member's machine, or beside the emulators, which ask for no credentials."""

    def __init__(self, kind: type[S], project: str | None, google: Google, *, acts: bool) -> None:
        super().__init__(kind)
        self.google = google
        self._project, self._acts = project, acts

    @cached_property
    def project(self) -> str:
        """The project that the command is about."""
        named = self._project or os.environ.get("GOOGLE_CLOUD_PROJECT")
        if not named:
            raise Refused("no project is named: give --project PROJECT, or set GOOGLE_CLOUD_PROJECT")
        return named

    @property
    def operator(self) -> str:
        """The service account that staff impersonate."""
        return os.environ.get("ASTRA_OPERATOR") or f"operator@{self.project}.iam.gserviceaccount.com"

    @cached_property
    def credentials(self) -> "Credentials":
        """The person's own, or the operator account's if the command acts."""
        if emulated():
            return AnonymousCredentials()  # type: ignore[no-untyped-call]
        return self._impersonated if self._acts else self._own

    @cached_property
    def session(self) -> AuthorizedSession:
        """HTTP with the command's credentials."""
        return AuthorizedSession(self.credentials)  # type: ignore[no-untyped-call]

    @cached_property
    def settings(self) -> S:
        """The settings class, with each secret that the environment lacks from Secret Manager."""
        if emulated():
            return load(self._kind)
        variables = {name: self._kind.variable(name) for name in self._kind.secret_fields()}
        fetched = {name: self._secret(one) for name, one in variables.items() if one not in os.environ}
        return load(self._kind, _env_file=self.google.folder / f".env.{self.project}", **fetched)

    @cached_property
    def app(self) -> firebase_admin.App:
        """The Admin SDK, with the command's credentials."""
        if emulated():
            return super().app
        return firebase_admin.initialize_app(self.credentials, {"projectId": self.project}, name=repr(self))

    @cached_property
    def db(self) -> firestore.Client:
        """The default database."""
        return firestore.Client(project=self.project, credentials=self.credentials)

    @cached_property
    def vault_db(self) -> firestore.Client:
        """The database of wrapped keys."""
        return firestore.Client(project=self.project, credentials=self.credentials, database="vault")

    @cached_property
    def bucket(self) -> "Bucket":
        """The project's default bucket."""
        if emulated():
            return super().bucket
        from google.cloud import storage  # noqa: PLC0415  (not every command touches objects)

        return storage.Client(project=self.project, credentials=self.credentials).bucket(self.default_bucket)

    @cached_property
    def default_bucket(self) -> str:
        """The name of the project's default bucket, as the project says. Raises Refused."""
        api = "firebasestorage.googleapis.com"
        answer = self.session.get(
            f"{self.google.storage}/v1alpha/projects/{self.project}/defaultBucket", timeout=_TIMEOUT
        )
        if not answer.ok:
            role = f"{self.member} may not ask for the bucket: {self._grant('roles/firebasestorage.viewer')}"
            missing = f"{self.project} has no default bucket: set up Storage in the Firebase console"
            raise self._refusal(answer.status_code, answer.text, api, role, missing)
        return str(answer.json()["bucket"]["name"]).rpartition("/")[2]

    @cached_property
    def vault(self: "Desk[Any]") -> "Vault":
        """Keys and sealed objects."""
        from astra import kms, vault  # noqa: PLC0415

        keyring = kms.Keyring(self.settings, self.credentials)
        return vault.Vault(self.vault_db, keyring, self.pseudonyms, self.clock)

    @property
    def member(self) -> str:
        """Whose credentials the command has, as IAM names them."""
        return f"serviceAccount:{self.operator}" if self._acts else self._person

    def explain(self, error: Exception) -> str:
        """What an error of Google's means for the person, in one line."""
        who = self.member if isinstance(error, (Forbidden, PermissionDeniedError)) else ""
        match error:
            case Refused():
                said = str(error)
            case GoogleAPICallError(reason="SERVICE_DISABLED"):
                said = self._enable(error.metadata["service"])
            case PermissionDenied():
                role = "roles/datastore.user" if self._acts else "roles/datastore.viewer"
                said = f"{who} may not use the database: {self._grant(role)}"
            case Forbidden():
                role = "roles/storage.objectUser" if self._acts else "roles/storage.objectViewer"
                binding = f"add-iam-policy-binding gs://{self.default_bucket} --member {who} --role {role}"
                said = f"{who} may not use the bucket: run `gcloud storage buckets {binding}`"
            case PermissionDeniedError():
                role = "roles/firebaseauth.admin" if self._acts else "roles/firebaseauth.viewer"
                said = f"{who} may not use Auth: {self._grant(role)}"
            case TransportError() | RequestException():
                said = f"Google can't be reached from here ({type(error).__name__}): check the network, then try again"
            case GoogleAuthError():
                said = f"your Google credentials are not accepted any more: {_LOGIN}"
            case _:
                said = f"Google did not do it ({type(error).__name__}): try again later"
        return said

    @cached_property
    def _own(self) -> "Credentials":
        try:
            with warnings.catch_warnings():  # of a missing quota project: it is set here
                warnings.simplefilter("ignore", UserWarning)
                found, _ = google.auth.default(scopes=[_SCOPE])
        except DefaultCredentialsError:
            raise Refused(f"this machine has no Google credentials: {_LOGIN}") from None
        credentials: Any = found
        if isinstance(credentials, UserCredentials) and credentials.quota_project_id is None:
            credentials = credentials.with_quota_project(self.project)
        if not credentials.valid:
            # Now, because a client of gRPC would try again for minutes, and name neither cause nor cure.
            credentials.refresh(Request())
        return credentials  # type: ignore[no-any-return]

    @property
    def _person(self) -> str:
        if address := getattr(self._own, "service_account_email", None):
            return f"serviceAccount:{address}"
        return f"user:{getattr(self._own, 'account', '') or 'YOUR-ADDRESS'}"

    @cached_property
    def _impersonated(self) -> "Credentials":
        account = self.operator
        credentials: Any = impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]
            self._own,
            account,
            [_SCOPE],
            iam_endpoint_override=self.google.tokens and self.google.tokens.format(account),
        )
        try:
            credentials.refresh(Request())
        except RefreshError as error:
            binding = f"{account} --project {self.project} --member {self._person}"
            role = (
                f"you may not act as {account}: its administrator runs `gcloud iam service-accounts "
                f"add-iam-policy-binding {binding} --role roles/iam.serviceAccountTokenCreator`"
            )
            create = f"run `gcloud iam service-accounts create {account.partition('@')[0]} --project {self.project}`"
            missing = f"there is no account {account}: {create}"
            body = str(error.args[-1])
            raise self._refusal(_problem(body)[0], body, "iamcredentials.googleapis.com", role, missing) from None
        return credentials  # type: ignore[no-any-return]

    def _secret(self, name: str) -> str:
        url = f"{self.google.secrets}/v1/projects/{self.project}/secrets/{name}/versions/latest:access"
        with AuthorizedSession(self._impersonated) as session:  # type: ignore[no-untyped-call]
            answer = session.get(url, timeout=_TIMEOUT)
        anew = f"run `npx firebase functions:secrets:set {name} --project {self.project}`"
        if answer.status_code == HTTPStatus.BAD_REQUEST:
            raise Refused(f"the newest version of the secret {name} is disabled or destroyed: {anew}")
        if not answer.ok:
            role = (
                f"{self.operator} may not read the secret {name}: run `gcloud secrets add-iam-policy-binding {name} "
                f"--project {self.project} --member serviceAccount:{self.operator} "
                "--role roles/secretmanager.secretAccessor`"
            )
            missing, api = f"{self.project} has no secret {name}: {anew}", "secretmanager.googleapis.com"
            raise self._refusal(answer.status_code, answer.text, api, role, missing)
        try:
            payload = answer.json()["payload"]
            value = base64.b64decode(payload["data"], validate=True)
            intact, text = int(payload["dataCrc32c"]) == google_crc32c.value(value), value.decode()
        except (LookupError, TypeError, ValueError):
            intact = False
        if not intact:
            raise Refused(f"the secret {name} was damaged on its way, or is no text: run the command again")
        return text

    def _refusal(self, code: int, body: str, api: str, role: str, missing: str) -> Refused:
        """What a failed request means: `role` if a role is missing, `missing` if the thing is."""
        if _problem(body)[1] == "SERVICE_DISABLED":
            return Refused(self._enable(api))
        said = {HTTPStatus.FORBIDDEN: role, HTTPStatus.NOT_FOUND: missing}
        return Refused(said.get(HTTPStatus(code), f"{api} answered HTTP {code}: try again later"))

    def _enable(self, api: str) -> str:
        return f"{api} is off in {self.project}: run `gcloud services enable {api} --project {self.project}`"

    def _grant(self, role: str) -> str:
        return f"run `gcloud projects add-iam-policy-binding {self.project} --member {self.member} --role {role}`"


@contextmanager
def platform(kind: type[S], chosen: argparse.Namespace, *, acts: bool) -> Iterator[Desk[S]]:
    """The Platform of a command, with the smallest settings class that it may need.

    `acts`: the command changes something, or always needs a secret. Raises SystemExit with one line if anything is
    missing.
    """
    log.install()  # what libraries say, and what nobody expected, may quote data
    desk = Desk(kind, getattr(chosen, "project", None), GOOGLE, acts=acts)
    try:
        desk.credentials  # noqa: B018  (before a client is made, which would wait in vain)
        yield desk
    except SettingsError as incomplete:
        raise SystemExit(f"settings: {incomplete}") from None
    except (Refused, GoogleAPICallError, FirebaseError, GoogleAuthError, RequestException) as error:
        raise SystemExit(desk.explain(error)) from None


def _problem(body: str) -> tuple[int, str]:
    """HTTP status and reason of an error of Google's, as far as its body says so."""
    try:
        error = json.loads(body)["error"]
        reasons = [detail["reason"] for detail in error.get("details", ()) if "reason" in detail]
        return int(error["code"]), next(iter(reasons), "")
    except (LookupError, TypeError, ValueError, AttributeError):
        return HTTPStatus.BAD_GATEWAY, ""
