"""Access to a Google Cloud project: a person's credentials, the operator account, secrets.

Invariants:
1. A secret goes from Secret Manager into this process's memory, and into no file, environment, output or message.
2. Whatever is missing is said in one line, with the command that mends it.
"""

import base64
import json
import os
import warnings
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import google.auth
import google_crc32c
from google.auth import impersonated_credentials
from google.auth.exceptions import DefaultCredentialsError, RefreshError
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2.credentials import Credentials as UserCredentials

from cli.common import Failed

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT: Final = 30  # seconds
LOG_IN: Final = "run `gcloud auth application-default login`"


class Refused(Failed):
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
    folder: Path = Path(__file__).parents[1] / "settings"


class Access:
    """One person's access to one project."""

    def __init__(self, project: str, google: Google) -> None:
        self.project, self._google = project, google

    @property
    def operator(self) -> str:
        """The service account that staff impersonate."""
        return os.environ.get("ASTRA_OPERATOR") or f"operator@{self.project}.iam.gserviceaccount.com"

    @property
    def person(self) -> str:
        """Whose own credentials these are, as IAM names them."""
        if address := getattr(self.own, "service_account_email", None):
            return f"serviceAccount:{address}"
        return f"user:{getattr(self.own, 'account', '') or 'YOUR-ADDRESS'}"

    @cached_property
    def own(self) -> "Credentials":
        """The person's own credentials. Raises Refused, GoogleAuthError."""
        try:
            with warnings.catch_warnings():  # of a missing quota project: it is set here
                warnings.simplefilter("ignore", UserWarning)
                found, _ = google.auth.default(scopes=[_SCOPE])
        except DefaultCredentialsError:
            raise Refused(f"this machine has no Google credentials: {LOG_IN}") from None
        credentials: Any = found
        if isinstance(credentials, UserCredentials) and credentials.quota_project_id is None:
            credentials = credentials.with_quota_project(self.project)
        if not credentials.valid:
            # Now, because a client of gRPC would try again for minutes, and name neither cause nor cure.
            credentials.refresh(Request())
        return credentials  # type: ignore[no-any-return]

    @cached_property
    def impersonated(self) -> "Credentials":
        """The operator account's credentials. Raises Refused, GoogleAuthError."""
        account, tokens = self.operator, self._google.tokens
        credentials: Any = impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]
            self.own, account, [_SCOPE], iam_endpoint_override=tokens and tokens.format(account)
        )
        try:
            credentials.refresh(Request())
        except RefreshError as error:
            binding = f"{account} --project {self.project} --member {self.person}"
            role = (
                f"you may not act as {account}: its administrator runs `gcloud iam service-accounts "
                f"add-iam-policy-binding {binding} --role roles/iam.serviceAccountTokenCreator`"
            )
            create = f"run `gcloud iam service-accounts create {account.partition('@')[0]} --project {self.project}`"
            missing = f"there is no account {account}: {create}"
            body = str(error.args[-1])
            raise self.refusal(_problem(body)[0], body, "iamcredentials.googleapis.com", role, missing) from None
        return credentials  # type: ignore[no-any-return]

    def secret(self, name: str) -> str:
        """The newest version of a secret, read as the operator account. Raises Refused, GoogleAuthError."""
        url = f"{self._google.secrets}/v1/projects/{self.project}/secrets/{name}/versions/latest:access"
        with AuthorizedSession(self.impersonated) as session:  # type: ignore[no-untyped-call]
            answer = session.get(url, timeout=_TIMEOUT)
        if answer.status_code == HTTPStatus.BAD_REQUEST:
            # Not a new value: of a key that has been used, that would be the end of all that it opens.
            versions = f"`gcloud secrets versions list {name} --project {self.project}` shows what there is"
            enable = f"`gcloud secrets versions enable VERSION --secret {name} --project {self.project}`"
            raise Refused(f"the newest version of the secret {name} is disabled or destroyed: {versions}, run {enable}")
        if not answer.ok:
            role = (
                f"{self.operator} may not read the secret {name}: run `gcloud secrets add-iam-policy-binding {name} "
                f"--project {self.project} --member serviceAccount:{self.operator} "
                "--role roles/secretmanager.secretAccessor`"
            )
            missing = f"{self.project} has no secret {name}: make it as docs/deploy.md says"
            api = "secretmanager.googleapis.com"
            raise self.refusal(answer.status_code, answer.text, api, role, missing)
        try:
            payload = answer.json()["payload"]
            value = base64.b64decode(payload["data"], validate=True)
            intact, text = int(payload["dataCrc32c"]) == google_crc32c.value(value), value.decode()
        except (LookupError, TypeError, ValueError):
            intact = False
        if not intact:
            raise Refused(f"the secret {name} was damaged on its way, or is no text: run the command again")
        return text

    def default_bucket(self, session: AuthorizedSession, member: str) -> str:
        """The name of the project's default bucket, as `member`, whose `session` it is, is told. Raises Refused."""
        url = f"{self._google.storage}/v1alpha/projects/{self.project}/defaultBucket"
        answer = session.get(url, timeout=_TIMEOUT)
        if not answer.ok:
            role = f"{member} may not ask for the bucket: {self.grant('roles/firebasestorage.viewer', member)}"
            missing = f"{self.project} has no default bucket: set up Storage in the Firebase console"
            api = "firebasestorage.googleapis.com"
            raise self.refusal(answer.status_code, answer.text, api, role, missing)
        return str(answer.json()["bucket"]["name"]).rpartition("/")[2]

    def refusal(self, code: int, body: str, api: str, role: str, missing: str) -> Refused:
        """What a failed request means: `role` if a role is missing, `missing` if the thing is."""
        if _problem(body)[1] == "SERVICE_DISABLED":
            return Refused(self.enable(api))
        said = {int(HTTPStatus.FORBIDDEN): role, int(HTTPStatus.NOT_FOUND): missing}
        return Refused(said.get(code, f"{api} answered HTTP {code}: try again later"))

    def enable(self, api: str) -> str:
        """That an API is off, and how to turn it on."""
        return f"{api} is off in {self.project}: run `gcloud services enable {api} --project {self.project}`"

    def grant(self, role: str, member: str) -> str:
        """How to give `member` a role on the project; one on databases without the keys in `vault`."""
        where = f'title=default,expression=resource.name=="projects/{self.project}/databases/(default)"'
        condition = f"'{where}'" if role.startswith("roles/datastore.") else "None"
        binding = f"{self.project} --member {member} --role {role} --condition {condition}"
        return f"run `gcloud projects add-iam-policy-binding {binding}`"


def _problem(body: str) -> tuple[int, str]:
    """HTTP status and reason of an error of Google's, as far as its body says so."""
    try:
        error = json.loads(body)["error"]
        reasons = [detail["reason"] for detail in error.get("details", ()) if "reason" in detail]
        return int(error["code"]), next(iter(reasons), "")
    except (LookupError, TypeError, ValueError, AttributeError):
        return HTTPStatus.BAD_GATEWAY, ""
