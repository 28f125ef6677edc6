"""The stand-in refuses what Google refuses: each fault that a deployment once had is refused here by itself."""

from __future__ import annotations

import io
import json
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.test import Client

from tests.deployment.cloud.event_triggers import undelivered
from tests.deployment.cloud.google import Google
from tests.deployment.cloud.state import Cloud
from tests.deployment.expected import SECRETS
from tests.deployment.prepared import grant, prepare

if TYPE_CHECKING:
    from collections.abc import Callable

PLACE = "projects/astra-rehearsal/locations/us-central1"
FUNCTIONS = f"cloudfunctions.googleapis.com/v2/{PLACE}/functions"
REDIS = "secretmanager.googleapis.com/v1/projects/astra-rehearsal/secrets/ASTRA_REDIS_URL"
ACCESSOR = "roles/secretmanager.secretAccessor"


def account(name: str) -> str:
    return f"{name}-functions@astra-rehearsal.iam.gserviceaccount.com"


class Asking:
    """A client of the stand-in, without a proxy in between."""

    def __init__(self) -> None:
        self.cloud = Cloud()
        prepare(self.cloud, SECRETS)
        self.google = Google(self.cloud)
        self._client = Client(self.google)
        self.token = self.cloud.token_for(self.cloud.owner)

    def __call__(self, method: str, url: str, body: Any = None, **query: str) -> tuple[int, dict[str, Any]]:
        """Ask, and return the status and the body."""
        host, path = url.split("/", 1)
        data = body if isinstance(body, bytes) else json.dumps(body or {})
        response = self._client.open(
            f"/{path}",
            base_url=f"https://{host}",
            method=method,
            query_string=query,
            data=data,
            headers={"Authorization": f"Bearer {self.token}"},
        )
        return response.status_code, response.get_json(silent=True) or {}

    def said(self, method: str, url: str, body: Any = None, **query: str) -> str:
        """Ask what is refused, and return the refusal."""
        status, answer = self(method, url, body, **query)
        assert status >= 400, answer
        return f"{answer['error']['status']}: {answer['error']['message']}"

    def source(self) -> dict[str, Any]:
        """Upload a source."""
        _, answer = self("POST", f"{FUNCTIONS}:generateUploadUrl")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("main.py", "")
        url, signature = answer["uploadUrl"].removeprefix("https://").split("?X-Goog-Signature=")
        assert self("PUT", url, content.getvalue(), **{"X-Goog-Signature": signature})[0] == 200
        return {"storageSource": answer["storageSource"]}

    def function(self, **service: Any) -> dict[str, Any]:
        """Describe a function that could be created."""
        return {
            "buildConfig": {"runtime": "python311", "entryPoint": "main", "source": self.source()},
            "serviceConfig": {"serviceAccountEmail": account("uploads"), "availableMemory": "512Mi", **service},
        }

    def outcome(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Wait for an operation to end, and return it."""
        deadline = time.monotonic() + 10
        while not answer.get("done") and time.monotonic() < deadline:
            _, answer = self("GET", f"cloudfunctions.googleapis.com/v2/{answer['name']}")
        return answer


@pytest.fixture
def ask() -> Asking:
    return Asking()


def granting(member: str, etag: str | None = None) -> dict[str, Any]:
    policy: dict[str, Any] = {"bindings": [{"role": ACCESSOR, "members": [member]}]}
    return {"policy": policy | ({"etag": etag} if etag else {})}


@pytest.mark.parametrize(
    ("member", "why"),
    [
        ("serviceAccount:uploads-functions@", "Invalid service account (uploads-functions@)"),
        (f"serviceAccount:{account('nobodys')}", "does not exist"),
        (account("uploads"), "unknown type"),
        ("allUsers", "unknown type"),
    ],
)
def test_a_secret_is_granted_to_accounts_alone_that_exist_and_are_named_in_full(
    ask: Asking, member: str, why: str
) -> None:
    assert why in ask.said("POST", f"{REDIS}:setIamPolicy", granting(member))


def test_of_two_grants_read_at_the_same_time_the_later_one_wins_unless_etags_are_sent(ask: Asking) -> None:
    first, second = f"serviceAccount:{account('uploads')}", f"serviceAccount:{account('usage')}"
    _, read = ask("GET", f"{REDIS}:getIamPolicy")
    assert ask("POST", f"{REDIS}:setIamPolicy", granting(first))[0] == 200
    refusal = ask.said("POST", f"{REDIS}:setIamPolicy", granting(second, read["etag"]))
    assert refusal.startswith("ABORTED: There were concurrent policy changes")
    # As firebase-tools does it: blindly.
    assert ask("POST", f"{REDIS}:setIamPolicy", granting(second))[0] == 200
    assert ask("GET", f"{REDIS}:getIamPolicy")[1]["bindings"] == [{"role": ACCESSOR, "members": [second]}]


@pytest.mark.parametrize("email", ["usage-functions@", account("nobodys")])
def test_a_schedule_calls_as_an_account_that_exists_and_is_named_in_full(ask: Asking, email: str) -> None:
    job = {
        "name": f"{PLACE}/jobs/flush",
        "schedule": "every 5 minutes",
        "httpTarget": {"uri": "https://flush.run.app", "oidcToken": {"serviceAccountEmail": email}},
    }
    assert email in ask.said("POST", f"cloudscheduler.googleapis.com/v1/{PLACE}/jobs", job)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"serviceAccountEmail": "uploads-functions@"}, "actAs"),
        ({"availableCpu": "0.5", "maxInstanceRequestConcurrency": 80}, "cpu < 1 is not supported with concurrency > 1"),
        ({"availableCpu": "0.2", "availableMemory": "1Gi"}, "is not supported with 0.2 cpu"),
        ({"availableCpu": "1.5"}, "Invalid value specified for cpu"),
        ({"minInstanceCount": 3, "maxInstanceCount": 2}, "must not exceed"),
        ({"timeoutSeconds": 3601}, "between 1 and 3600"),
        ({"memory": "512Mi"}, "Unknown name \"memory\" at 'function.serviceConfig'"),
    ],
)
def test_a_function_is_refused_at_once(ask: Asking, change: dict[str, Any], why: str) -> None:
    assert why in ask.said("POST", FUNCTIONS, ask.function(**change), functionId="seal_upload")


def test_a_function_without_access_to_its_secret_is_not_released(ask: Asking) -> None:
    secrets = [{"key": "K", "projectId": "astra-rehearsal", "secret": "ASTRA_SMTP_URL", "version": "1"}]
    body = ask.function(secretEnvironmentVariables=secrets)
    ended = ask.outcome(ask("POST", FUNCTIONS, body, functionId="seal_upload")[1])
    assert "Permission denied on secret" in ended["error"]["message"]
    assert ask("GET", f"{FUNCTIONS}/seal_upload")[1]["state"] == "FAILED"


def event(ask: Asking, **trigger: Any) -> dict[str, Any]:
    filters = [{"attribute": "bucket", "value": "astra-rehearsal.firebasestorage.app"}]
    kind = {"eventType": "google.cloud.storage.object.v1.finalized", "eventFilters": filters}
    full = {**kind, "triggerRegion": "us-central1", "serviceAccountEmail": account("uploads"), **trigger}
    return ask.function() | {"eventTrigger": full}


def without(role: str) -> Callable[[Cloud], None]:
    def forget(cloud: Cloud) -> None:
        kept = cloud.policies[f"projects/{cloud.project}"]
        kept["bindings"] = [one for one in kept["bindings"] if one["role"] != role]

    return forget


def elsewhere(cloud: Cloud) -> None:
    cloud.resources[f"b/{cloud.project}.firebasestorage.app"]["location"] = "EUROPE-WEST1"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (elsewhere, "is in europe-west1; the trigger's region is us-central1"),
        (without("roles/eventarc.eventReceiver"), "eventarc.events.receiveEvent"),
        (without("roles/pubsub.publisher"), "unable to publish to Cloud Pub/Sub topics"),
    ],
)
def test_a_trigger_is_refused(ask: Asking, change: Callable[[Cloud], None], why: str) -> None:
    change(ask.cloud)
    assert why in ask.said("POST", FUNCTIONS, event(ask), functionId="seal_upload")


def test_an_event_does_not_arrive_where_the_triggers_account_may_not_invoke_the_service(ask: Asking) -> None:
    without("roles/run.invoker")(ask.cloud)
    ended = ask.outcome(ask("POST", FUNCTIONS, event(ask), functionId="seal_upload")[1])
    assert ended["response"]["state"] == "ACTIVE"
    [problem] = undelivered(ask.cloud).values()
    assert problem == f"{account('uploads')} lacks roles/run.invoker on {PLACE}/services/seal-upload"
    grant(ask.cloud, f"{PLACE}/services/seal-upload", [(f"serviceAccount:{account('uploads')}", "roles/run.invoker")])
    assert undelivered(ask.cloud) == {}


def test_a_region_has_twenty_vcpu_for_instances_that_start_and_those_kept_warm(ask: Asking) -> None:
    started = [
        ask("POST", FUNCTIONS, ask.function(availableCpu="4"), functionId=f"function{number}")[1] for number in range(6)
    ]
    errors = [ask.outcome(one).get("error") for one in started]
    assert errors[:5] == [None] * 5
    assert errors[5] is not None
    assert errors[5]["code"] == 8


def test_an_api_that_is_off_answers_nothing(ask: Asking) -> None:
    ask.cloud.apis.remove("cloudscheduler.googleapis.com")
    assert "has not been used in project" in ask.said("GET", f"cloudscheduler.googleapis.com/v1/{PLACE}/jobs")


def test_a_caller_does_only_what_their_roles_say(ask: Asking) -> None:
    ask.token = ask.cloud.token_for("user:deployer@example.com")
    grant(ask.cloud, "projects/astra-rehearsal", [("user:deployer@example.com", "roles/cloudfunctions.admin")])
    refusal = ask.said("POST", f"{REDIS}:setIamPolicy", granting(f"serviceAccount:{account('usage')}"))
    assert "secretmanager.secrets.setIamPolicy" in refusal
    body = ask.function(serviceAccountEmail=ask.cloud.build_account)
    assert "actAs" in ask.said("POST", FUNCTIONS, body, functionId="seal_upload")


@pytest.mark.parametrize("url", ["firebase.googleapis.com/v9/unheard/of", "unheard-of.googleapis.com/v1/anything"])
def test_what_the_stand_in_does_not_know_is_recorded_and_refused(ask: Asking, url: str) -> None:
    assert ask("GET", url)[0] == 501
    assert ask.google.unknown == [f"GET {url}"]
