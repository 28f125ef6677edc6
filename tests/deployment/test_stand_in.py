"""The stand-in refuses what Google refuses: each fault that a deployment once had is refused here by itself."""

from __future__ import annotations

import io
import json
import math
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.test import Client

from local.paths import ROOT
from tests.deployment.cloud.event_triggers import undelivered
from tests.deployment.cloud.google import Google
from tests.deployment.cloud.rules import cross_service_rules
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


def test_a_function_is_neither_changed_nor_deleted_while_it_is_deployed(ask: Asking) -> None:
    name, body = f"{FUNCTIONS}/uploads", ask.function()
    _, begun = ask("POST", FUNCTIONS, body, functionId="uploads")
    operation = ask.cloud.operations[begun["name"]]
    operation.due = math.inf
    for method in ("PATCH", "DELETE"):
        assert ask.said(method, name, body).startswith("ABORTED: ")
    operation.due = 0
    assert ask("DELETE", name)[0] == 200


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


@pytest.mark.parametrize(
    ("permission", "why"),
    [
        ("datastore.*", "Permission datastore.* is not valid"),
        ("firebase.projects", "Permission firebase.projects is not valid"),
        ("resourcemanager.projects.list", "Permission resourcemanager.projects.list is not valid"),
    ],
)
def test_a_role_of_the_projects_own_is_refused_what_it_may_not_hold(ask: Asking, permission: str, why: str) -> None:
    role = {"roleId": "astraDeployer", "role": {"title": "Deploy", "includedPermissions": [permission]}}
    assert why in ask.said("POST", "iam.googleapis.com/v1/projects/astra-rehearsal/roles", role)


def test_a_role_of_the_projects_own_lets_its_member_do_what_it_includes_and_no_more(ask: Asking) -> None:
    included = ["resourcemanager.projects.get", "firebase.projects.get"]
    role = {"roleId": "astraDeployer", "role": {"title": "Deploy", "includedPermissions": included}}
    assert ask("POST", "iam.googleapis.com/v1/projects/astra-rehearsal/roles", role)[0] == 200
    deployer = "user:deployer@example.com"
    grant(ask.cloud, "projects/astra-rehearsal", [(deployer, "projects/astra-rehearsal/roles/astraDeployer")])
    ask.token = ask.cloud.token_for(deployer)
    assert ask("GET", "cloudresourcemanager.googleapis.com/v1/projects/astra-rehearsal")[0] == 200
    refusal = ask.said("POST", "cloudresourcemanager.googleapis.com/v1/projects/astra-rehearsal:getIamPolicy")
    assert "resourcemanager.projects.getIamPolicy" in refusal


def test_firebase_viewer_reads_everybodys_documents_files_and_the_projects_policy(ask: Asking) -> None:
    viewer = "user:viewer@example.com"
    grant(ask.cloud, "projects/astra-rehearsal", [(viewer, "roles/firebase.viewer")])
    for permission in (
        *("datastore.entities.get", "datastore.entities.list", "firebaseauth.users.get", "storage.objects.get"),
        "resourcemanager.projects.getIamPolicy",
    ):
        assert ask.cloud.may(viewer, permission), permission


def alert(metric: str, *channels: str) -> dict[str, Any]:
    condition = {"filter": f'metric.type="logging.googleapis.com/user/{metric}" AND resource.type="cloud_run_revision"'}
    conditions = [{"displayName": "lines", "conditionThreshold": condition}]
    return {"displayName": "lines", "combiner": "OR", "conditions": conditions, "notificationChannels": list(channels)}


def test_an_alert_is_refused_until_its_metric_is_known_and_its_channel_exists(ask: Asking) -> None:
    ask.cloud.metric_refusals = 2
    monitoring = "monitoring.googleapis.com/v3/projects/astra-rehearsal"
    metric = {"name": "staff-needed", "filter": "severity>=CRITICAL"}
    assert ask("POST", "logging.googleapis.com/v2/projects/astra-rehearsal/metrics", metric)[0] == 200
    channel = {"type": "email", "displayName": "staff", "labels": {"email_address": "staff@example.com"}}
    _, made = ask("POST", f"{monitoring}/notificationChannels", channel)
    for _ in range(2):
        refusal = ask.said("POST", f"{monitoring}/alertPolicies", alert("staff-needed", made["name"]))
        assert refusal.startswith("NOT_FOUND: Cannot find metric(s) that match type")
    nobodys = "projects/astra-rehearsal/notificationChannels/1"
    assert "was not found" in ask.said("POST", f"{monitoring}/alertPolicies", alert("staff-needed", nobodys))
    assert ask("POST", f"{monitoring}/alertPolicies", alert("staff-needed", made["name"]))[0] == 200
    assert "Cannot find metric(s)" in ask.said("POST", f"{monitoring}/alertPolicies", alert("another", made["name"]))


@pytest.mark.parametrize("channel", [{"type": "email"}, {"type": "pigeon", "labels": {"email_address": "a@b.example"}}])
def test_a_notification_channel_has_an_address_of_its_kind(ask: Asking, channel: dict[str, Any]) -> None:
    url = "monitoring.googleapis.com/v3/projects/astra-rehearsal/notificationChannels"
    assert ask.said("POST", url, channel).startswith("INVALID_ARGUMENT")


def test_a_sink_has_no_two_exclusions_of_one_name(ask: Asking) -> None:
    sink = "logging.googleapis.com/v2/projects/astra-rehearsal/sinks/_Default"
    exclusion = {"name": "requests", "filter": 'log_id("run.googleapis.com/requests")'}
    assert ask("PATCH", sink, {"exclusions": [exclusion]}, updateMask="exclusions")[0] == 200
    refusal = ask.said("PATCH", sink, {"exclusions": [exclusion, exclusion]}, updateMask="exclusions")
    assert "names must be unique" in refusal


def test_rules_of_storage_that_ask_firestore_refuse_every_upload_until_they_are_let_in(ask: Asking) -> None:
    ruleset, agent = "projects/astra-rehearsal/rulesets/1", ask.cloud.agent("gcp-sa-firebasestorage")
    content = (ROOT / "storage.rules").read_text(encoding="utf-8")
    ask.cloud.create(ruleset, {"source": {"files": [{"name": "storage.rules", "content": content}]}})
    release = "projects/astra-rehearsal/releases/firebase.storage/astra-rehearsal.firebasestorage.app"
    ask.cloud.create(release, {"rulesetName": ruleset})
    assert cross_service_rules(ask.cloud) == {release: f"{agent} lacks roles/firebaserules.firestoreServiceAgent"}
    role = "roles/firebaserules.firestoreServiceAgent"
    grant(ask.cloud, "projects/astra-rehearsal", [(f"serviceAccount:{agent}", role)])
    assert cross_service_rules(ask.cloud) == {}


@pytest.mark.parametrize("url", ["firebase.googleapis.com/v9/unheard/of", "unheard-of.googleapis.com/v1/anything"])
def test_what_the_stand_in_does_not_know_is_recorded_and_refused(ask: Asking, url: str) -> None:
    assert ask("GET", url)[0] == 501
    assert ask.google.unknown == [f"GET {url}"]
