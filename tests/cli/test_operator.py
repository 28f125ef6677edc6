"""Staff commands on a laptop: which credentials and secrets each takes, and what it says where one is missing."""

import base64
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.api_core.exceptions import Forbidden, NotFound, PermissionDenied, RetryError
from google.cloud import firestore, kms
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from astra import jobs
from astra.runtime import log
from astra.runtime.pseudonyms import Pseudonyms
from astra.runtime.settings import Settings
from astra.vault import vault_of
from astra.vault.settings import SealingSettings
from cli import operator
from cli.__main__ import GROUPS, main
from cli.access import Google, Refused
from cli.operator import Desk
from local.paths import ROOT
from local.stack.stack import Stack
from local.stand_ins.http_server import HttpStandIn, answer
from retention.settings import RetentionSettings
from tlog.settings import LogKeySettings, LogSettings

PROJECT = "astra-p"
PERSON = f"lise@{PROJECT}.iam.gserviceaccount.com"
OPERATOR = f"operator@{PROJECT}.iam.gserviceaccount.com"
TOKENS = "/v1/projects/-/serviceAccounts/{}:generateAccessToken"
KEY = secrets.token_bytes(32)
SECRETS = {
    "ASTRA_PSEUDONYM_KEY": base64.b64encode(KEY).decode(),
    "ASTRA_REDIS_URL": "rediss://default:opensesame@redis.example:6380/0",
    "ASTRA_LOG_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    "ASTRA_WITNESS_KEY_ID": "witness-id",
    "ASTRA_WITNESS_SECRET": "witness-secret",
}
APIS = ("iamcredentials.googleapis.com", "secretmanager.googleapis.com")
#: What only reads, and needs no secret.
READS = [
    ("erasure", "status"),
    ("erasure", "show", "0123456789"),
    ("erasure", "roll-call"),
    ("retention", "status"),
    ("staff", "list"),
    ("transfers", "status"),
    ("notices", "status"),
    ("tlog", "status"),
    ("tlog", "list"),
    ("breach", "status"),
    ("keys", "status"),
    ("registers", "write", "pages"),
    ("rules", "check"),
]


#: What changes something or always needs a secret, with the secrets that it reads and its exit code here.
ACTS: list[tuple[tuple[str, ...], list[str], int]] = [
    (("policies", "publish-first"), [], 0),
    (("processors", "add-missing"), [], 0),
    (("erasure", "retry", "0123456789"), [], 1),
    (("retention", "retry", "sweep-events"), [], 1),
    (("tlog", "retry"), [], 1),
    (("tlog", "key"), ["ASTRA_LOG_KEY"], 0),
    (("breach", "retry", "none"), [], 1),
    (("staff", "first-cto", "nobody"), ["ASTRA_PSEUDONYM_KEY"], 1),
    (("keys", "rotate", "--user", "nobody"), ["ASTRA_PSEUDONYM_KEY"], 1),
]


class Wrong(Exception):
    """An error in the shape that Google's APIs give it."""

    def __init__(self, code: int, status: str, reason: str = "", service: str = "") -> None:
        super().__init__(status)
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": {"service": service}}
        error = {"code": code, "status": status, "message": status, **({"details": [info]} if reason else {})}
        self.response = answer({"error": error}, code)


@dataclass(eq=False)
class Cloud(HttpStandIn):
    """The token endpoint, IAM Credentials, Secret Manager, and what else a command asks a project, all strict."""

    PUBLIC = "/"
    stored: dict[str, str] = field(default_factory=lambda: dict(SECRETS))
    readable: set[str] = field(default_factory=lambda: set(SECRETS))
    disabled: set[str] = field(default_factory=set)
    damaged: bool = False
    apis_off: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=lambda: {OPERATOR})
    may_impersonate: bool = True
    signed_out: bool = False
    read: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        rules = [
            Rule("/token", methods=["POST"], endpoint="sign_in"),
            Rule(TOKENS.format("<account>"), methods=["POST"], endpoint="impersonate"),
            Rule("/v1/projects/<project>/secrets/<name>/versions/latest:access", methods=["GET"], endpoint="access"),
            Rule("/v1alpha/projects/<project>/defaultBucket", methods=["GET"], endpoint="default_bucket"),
            Rule("/admin/v2/projects/<project>/config", methods=["GET"], endpoint="config"),
            Rule("/v1/projects/<project>/releases/<path:name>", methods=["GET"], endpoint="release"),
        ]
        super().__init__(0, Map(rules))
        self.person, self.operator = (f"ya29.{secrets.token_hex(8)}" for _ in range(2))

    def _respond(self, request: Request) -> Response:
        try:
            return super()._respond(request)
        except Wrong as wrong:
            return wrong.response

    def sign_in(self, request: Request) -> Response:
        if self.signed_out:
            return answer({"error": "invalid_grant", "error_description": "Bad Request"}, 400)
        assert request.form["grant_type"].endswith("jwt-bearer")
        return answer({"access_token": self.person, "expires_in": 3600, "token_type": "Bearer"})

    def impersonate(self, request: Request, account: str) -> Response:
        self._check(request, "iamcredentials.googleapis.com", self.person)
        if account not in self.accounts:
            raise Wrong(404, "NOT_FOUND")
        if not self.may_impersonate:
            raise Wrong(403, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED", "iam.googleapis.com")
        assert request.get_json()["scope"] == ["https://www.googleapis.com/auth/cloud-platform"]
        until = datetime.now(UTC) + timedelta(hours=1)
        return answer({"accessToken": self.operator, "expireTime": f"{until:%Y-%m-%dT%H:%M:%SZ}"})

    def access(self, request: Request, project: str, name: str) -> Response:
        self._check(request, "secretmanager.googleapis.com", self.operator)
        if project != PROJECT or name not in self.readable:
            raise Wrong(403, "PERMISSION_DENIED")
        if name not in self.stored:
            raise Wrong(404, "NOT_FOUND")
        if name in self.disabled:
            raise Wrong(400, "FAILED_PRECONDITION")
        self.read.append(name)
        value = self.stored[name].encode()
        checksum = str(google_crc32c.value(value) ^ self.damaged)
        payload = {"data": base64.b64encode(value).decode(), "dataCrc32c": checksum}
        return answer({"name": f"projects/123/secrets/{name}/versions/1", "payload": payload})

    def default_bucket(self, request: Request, project: str) -> Response:
        self._check(request, "firebasestorage.googleapis.com", self.person, self.operator)
        return answer({"bucket": {"name": f"projects/{project}/buckets/{project}.firebasestorage.app"}})

    def config(self, request: Request, project: str) -> Response:  # noqa: ARG002
        self._check(request, "identitytoolkit.googleapis.com", self.person)
        return answer({"client": {"permissions": {"disabledUserDeletion": True}}})

    def release(self, request: Request, project: str, name: str) -> Response:  # noqa: ARG002
        self._check(request, "firebaserules.googleapis.com", self.person)
        raise Wrong(404, "NOT_FOUND")

    def _check(self, request: Request, api: str, *tokens: str) -> None:
        if request.headers.get("Authorization") not in [f"Bearer {token}" for token in tokens]:
            raise Wrong(401, "UNAUTHENTICATED")
        if api in self.apis_off:
            raise Wrong(403, "PERMISSION_DENIED", "SERVICE_DISABLED", api)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cloud]:
    """A laptop: Google's credentials in a file, and nothing of Astra's in the environment."""
    for name in [name for name in os.environ if name.startswith(("ASTRA_", "FUNCTIONS_", "FIREBASE_", "GCLOUD_"))]:
        monkeypatch.delenv(name)
    with Cloud() as cloud:
        pem = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        person = {
            "type": "service_account",
            "client_email": PERSON,
            "private_key_id": "1",
        }
        person |= {"private_key": pem.decode(), "token_uri": f"{cloud.url}/token", "project_id": PROJECT}
        (tmp_path / "person.json").write_text(json.dumps(person))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "person.json"))
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", PROJECT)
        (tmp_path / "settings").mkdir()
        addresses = dict.fromkeys(("secrets", "storage", "identity", "rules"), cloud.url)
        monkeypatch.setattr(
            operator, "GOOGLE", Google(**addresses, tokens=cloud.url + TOKENS, folder=tmp_path / "settings")
        )
        monkeypatch.setattr(log, "install", lambda: None)
        monkeypatch.chdir(tmp_path)
        yield cloud


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*words: str) -> tuple[int, str, str]:
        """Run a command as the terminal does; answer its exit code and what it printed."""
        code = main([*words, "--yes"])
        printed = capsys.readouterr()
        assert not [value for value in SECRETS.values() if value in printed.out + printed.err]
        assert "Traceback" not in printed.out + printed.err
        return code, printed.out, printed.err

    return command


def known_erasure() -> str:
    """Store an erasure that is under way and a staff member; return the data subject's pseudonym."""
    db, subject = firestore.Client(project=PROJECT), Pseudonyms(KEY).of_uid("ada")
    fields = jobs.opened(datetime.now(UTC), uid="ada", step="freeze", counts={"images": 7}, reopened=0)
    db.document("erasures", subject).set(fields)
    db.document("staff", "lise").set({"role": "support"})
    return subject


@pytest.mark.parametrize("words", READS, ids=" ".join)
def test_a_command_that_reads_needs_google_credentials_alone(
    stack: Stack, cloud: Cloud, command: Any, words: Any
) -> None:
    subject = known_erasure()
    code, printed, errors = command(*(subject[: len(word)] if word.isdigit() else word for word in words))
    assert (code, errors) == (int(words == ("rules", "check")), "")  # no rules are released
    assert printed
    assert cloud.read == []
    assert not [call for call in cloud.calls if "generateAccessToken" in call]


@pytest.mark.parametrize(("words", "read", "expected"), ACTS, ids=[" ".join(words) for words, *_ in ACTS])
def test_a_command_that_acts_reads_the_secrets_that_it_needs_and_no_other(
    stack: Stack, cloud: Cloud, command: Any, tmp_path: Path, words: Any, read: list[str], expected: int
) -> None:
    (tmp_path / f"settings/.env.{PROJECT}").write_text("ASTRA_KMS_URI=gcp-kms://projects/p/cryptoKeys/k\n")
    subject = known_erasure()
    code, _, errors = command(*(subject[: len(word)] if word.isdigit() else word for word in words))
    assert (code, bool(errors)) == (expected, bool(expected)), errors
    assert cloud.read == read
    assert cloud.calls[f"POST {TOKENS.format(OPERATOR)}"] == 1


@pytest.mark.parametrize("place", [("--project", PROJECT, "status"), ("status", "--project", PROJECT)])
def test_the_project_may_be_named_before_or_after_the_verb(
    stack: Stack, cloud: Cloud, command: Any, monkeypatch: pytest.MonkeyPatch, place: Any
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    assert command("transfers", *place)[0] == 0
    code, _, errors = command("transfers", "status")
    assert (code, errors) == (1, "no project is named: give --project PROJECT, or set GOOGLE_CLOUD_PROJECT\n")


def test_a_read_that_needs_a_secret_reads_that_one_alone(
    stack: Stack, cloud: Cloud, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_erasure()
    before = dict(os.environ)
    code, printed, errors = command("erasure", "show", "ada")
    assert (code, errors) == (0, "")
    assert "images" in printed
    assert cloud.read == ["ASTRA_PSEUDONYM_KEY"]
    assert dict(os.environ) == before
    monkeypatch.setenv("ASTRA_PSEUDONYM_KEY", SECRETS["ASTRA_PSEUDONYM_KEY"])
    assert command("erasure", "show", "ada")[0] == 0
    assert cloud.read == ["ASTRA_PSEUDONYM_KEY"]  # what the environment holds is not asked for


def lacks(cloud: Cloud, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    match what:
        case "credentials":
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
        case "session":
            cloud.signed_out = True
        case "network":
            cloud.stop()
        case "account":
            cloud.accounts.clear()
        case "impersonation":
            cloud.may_impersonate = False
        case "permission":
            cloud.readable.clear()
        case "secret":
            cloud.stored.clear()
        case "version":
            cloud.disabled |= set(SECRETS)
        case "integrity":
            cloud.damaged = True
        case api:
            cloud.apis_off.add(api)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("credentials", "run `gcloud auth application-default login`"),
        ("session", "run `gcloud auth application-default login`"),
        ("network", "check the network"),
        ("account", "run `gcloud iam service-accounts create operator --project astra-p`"),
        (
            "impersonation",
            f"gcloud iam service-accounts add-iam-policy-binding {OPERATOR} --project astra-p --member "
            f"serviceAccount:{PERSON} --role roles/iam.serviceAccountTokenCreator`",
        ),
        (
            "permission",
            "run `gcloud secrets add-iam-policy-binding ASTRA_PSEUDONYM_KEY --project astra-p --member "
            f"serviceAccount:{OPERATOR} --role roles/secretmanager.secretAccessor`",
        ),
        ("secret", "astra-p has no secret ASTRA_PSEUDONYM_KEY: make it as docs/deploy.md says"),
        ("version", "run `gcloud secrets versions enable VERSION --secret ASTRA_PSEUDONYM_KEY --project astra-p`"),
        ("integrity", "damaged on its way"),
        (
            "iamcredentials.googleapis.com",
            "run `gcloud services enable iamcredentials.googleapis.com --project astra-p`",
        ),
        ("secretmanager.googleapis.com", "run `gcloud services enable secretmanager.googleapis.com --project astra-p`"),
    ],
)
def test_what_is_missing_is_said_in_one_line_with_the_command_that_mends_it(
    stack: Stack, cloud: Cloud, command: Any, monkeypatch: pytest.MonkeyPatch, what: str, said: str
) -> None:
    lacks(cloud, what, monkeypatch)
    code, printed, errors = command("erasure", "show", "ada")
    assert (code, printed, errors.count("\n")) == (1, "", 1)
    assert said in errors


def test_a_redis_that_is_away_is_named_without_its_address(
    stack: Stack, cloud: Cloud, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASTRA_REDIS_URL", "rediss://default:opensesame@127.0.0.1:9/0")
    code, _, errors = command("breach", "deploying")
    assert (code, errors) == (1, "it did not work (redis.exceptions.ConnectionError): try again later\n")
    assert cloud.read == ["ASTRA_PSEUDONYM_KEY"]


def test_a_value_that_is_none_is_named_and_not_shown(stack: Stack, cloud: Cloud, command: Any) -> None:
    cloud.stored["ASTRA_PSEUDONYM_KEY"] = "far too short"
    code, _, errors = command("erasure", "show", "ada")
    assert (code, errors) == (1, "settings: ASTRA_PSEUDONYM_KEY must be base64\n")


def test_settings_that_are_no_secrets_come_from_the_projects_file(cloud: Cloud, tmp_path: Path) -> None:
    file = tmp_path / f"settings/.env.{PROJECT}"
    file.write_text("ASTRA_WITNESS_URL=https://s3.example\nASTRA_WITNESS_BUCKET=b\nREGION=x\n")
    found = Desk(LogSettings, PROJECT, operator.GOOGLE, acts=True).settings
    assert (str(found.witness_url), found.witness_bucket) == ("https://s3.example/", "b")
    assert found.witness_secret.get_secret_value() == "witness-secret"
    assert sorted(cloud.read) == sorted(LogSettings.secrets())


def test_checking_the_log_reads_no_secret_of_the_witness(cloud: Cloud) -> None:
    assert Desk(LogKeySettings, PROJECT, operator.GOOGLE, acts=True).settings.log_key
    assert cloud.read == ["ASTRA_LOG_KEY"]


def test_what_holds_in_the_cloud_holds_for_a_secret_of_secret_manager(cloud: Cloud) -> None:
    assert Desk(RetentionSettings, PROJECT, operator.GOOGLE, acts=True).settings.redis_url
    cloud.stored["ASTRA_REDIS_URL"] = "redis://redis.example/0"
    with pytest.raises(RuntimeError, match="ASTRA_REDIS_URL must start with rediss://"):
        Desk(RetentionSettings, PROJECT, operator.GOOGLE, acts=True).settings  # noqa: B018


def test_a_command_that_acts_does_so_as_the_operator_account(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for acts, token in ((False, cloud.person), (True, cloud.operator)):
        desk = Desk(Settings, PROJECT, operator.GOOGLE, acts=acts)
        assert desk.credentials
        assert desk.credentials.token == token
        assert desk.app.credential.get_credential() is desk.credentials
        assert desk.db._credentials is desk.credentials  # type: ignore[attr-defined]
        assert desk.vault_db._credentials is desk.credentials  # type: ignore[attr-defined]
        assert desk.bucket.client._credentials is desk.credentials
        assert desk.bucket.name == "astra-p.firebasestorage.app"
    monkeypatch.setenv("ASTRA_OPERATOR", "log-operator@astra-p.iam.gserviceaccount.com")
    with pytest.raises(Refused, match="there is no account log-operator@astra-p"):
        Desk(Settings, PROJECT, operator.GOOGLE, acts=True).credentials  # noqa: B018


def test_the_key_service_is_asked_as_the_operator_account(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(kms, "KeyManagementServiceClient", lambda credentials: given.append(credentials))  # noqa: PLW0108
    monkeypatch.setenv("ASTRA_KMS_URI", uri := "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k")
    desk = Desk(SealingSettings, PROJECT, operator.GOOGLE, acts=True)
    vault_of(desk).keyring.service(uri)
    assert given == [desk.credentials]


@pytest.mark.parametrize(
    ("error", "acts", "said"),
    [
        (
            PermissionDenied("no"),
            False,
            f"--member serviceAccount:{PERSON} --role roles/datastore.viewer --condition 'title=default,"
            'expression=resource.name=="projects/astra-p/databases/(default)"\'`',
        ),
        (
            PermissionDenied("no"),
            True,
            f"--member serviceAccount:{OPERATOR} --role roles/datastore.user --condition 'title=",
        ),
        (NotFound("no"), False, "there is no such database or bucket in astra-p: is this the project's name?"),
        (
            RetryError("no", cause=None),
            False,
            "it did not work (google.api_core.exceptions.RetryError): try again later",
        ),
        (Forbidden("no"), True, f"gs://astra-p.firebasestorage.app --member serviceAccount:{OPERATOR} --role"),
    ],
)
def test_what_the_project_refuses_or_lacks_is_said_in_one_line(
    cloud: Cloud, error: Exception, acts: bool, said: str
) -> None:
    with pytest.raises(SystemExit) as ended, operator.platform(Settings, acts=acts):
        raise error
    assert said in str(ended.value)


def test_the_documentation_names_every_command() -> None:
    text = (ROOT / "docs/operators.md").read_text(encoding="utf-8")
    assert [group for group in GROUPS if f"`astra {group}" not in text] == []
