"""Staff commands: which project and settings a command has, and as whom it runs.

A command that only reads runs with the person's own Google credentials. A command that changes something, or that
always needs a secret, runs as the operator account, which the person impersonates. docs/operators.md says which command
is which, and which roles either account needs.

Invariants:
1. A command loads no setting and reads no secret before it uses one.
2. A person who lacks credentials, a role, an API or a secret reads one line that says what to run, and no traceback.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

import firebase_admin
from firebase_admin.exceptions import FirebaseError, PermissionDeniedError
from google.api_core.exceptions import Forbidden, GoogleAPICallError, GoogleAPIError, NotFound, PermissionDenied
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import firestore
from redis.exceptions import RedisError
from requests import RequestException

from astra.runtime import log
from astra.runtime.platform import Platform
from astra.runtime.settings import Environment, SettingsError, emulated, load
from cli import common
from cli.access import LOG_IN, Access, Google, Refused

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.cloud.storage import Bucket

GOOGLE: Final = Google()

S = TypeVar("S", bound=Environment)


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

    @cached_property
    def credentials(self) -> "Credentials":
        """The person's own, or the operator account's if the command acts."""
        if emulated():
            return AnonymousCredentials()  # type: ignore[no-untyped-call]
        return self._access.impersonated if self._acts else self._access.own

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
        fetched = {name: self._access.secret(one) for name, one in variables.items() if one not in os.environ}
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
        """The name of the project's default bucket, as the project says."""
        return self._access.default_bucket(self.session, self._member)

    def explain(self, error: Exception) -> str:
        """What an error means for the person, in one line."""
        match error:
            case Refused():
                said = str(error)
            case GoogleAPICallError(reason="SERVICE_DISABLED"):
                said = self._access.enable(error.metadata["service"])
            case PermissionDenied():
                said = self._lacks("the database", "roles/datastore.viewer", "roles/datastore.user")
            case Forbidden():
                role = "roles/storage.objectUser" if self._acts else "roles/storage.objectViewer"
                binding = f"{self.default_bucket} --member {self._member} --role {role} --condition None"
                grant = f"run `gcloud storage buckets add-iam-policy-binding gs://{binding}`"
                said = f"{self._member} may not use the bucket: {grant}"
            case NotFound():
                said = f"{self.project} has no such project, database or bucket: check --project, GOOGLE_CLOUD_PROJECT"
            case PermissionDeniedError():
                said = self._lacks("Auth", "roles/firebaseauth.viewer", "roles/firebaseauth.admin")
            case TransportError() | RequestException():
                said = f"Google can't be reached from here ({type(error).__name__}): check the network, then try again"
            case GoogleAuthError():
                said = f"your Google credentials are not accepted any more: {LOG_IN}"
            case _:
                # Without its message: Redis's may quote an address, and Google's what was asked.
                said = f"it did not work ({type(error).__module__}.{type(error).__name__}): try again later"
        return said

    @cached_property
    def _access(self) -> Access:
        return Access(self.project, self.google)

    @property
    def _member(self) -> str:
        return f"serviceAccount:{self._access.operator}" if self._acts else self._access.person

    def _lacks(self, what: str, reading: str, acting: str) -> str:
        grant = self._access.grant(acting if self._acts else reading, self._member)
        return f"{self._member} may not use {what}: {grant}"


@contextmanager
def platform(kind: type[S], *, acts: bool) -> Iterator[Desk[S]]:
    """The Platform of a command, with the smallest settings class that it may need.

    `acts`: the command changes something, or always needs a secret. Raises SystemExit with one line if anything is
    missing.
    """
    log.install()  # what libraries say, and what nobody expected, may quote data
    desk = Desk(kind, common.CHOSEN.project, GOOGLE, acts=acts)
    try:
        desk.credentials  # noqa: B018  (before a client is made, which would wait in vain)
        yield desk
    except SettingsError as incomplete:
        raise SystemExit(f"settings: {incomplete}") from None
    except (Refused, GoogleAPIError, FirebaseError, GoogleAuthError, RequestException, RedisError) as error:
        raise SystemExit(desk.explain(error)) from None
