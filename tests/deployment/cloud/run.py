"""Cloud Run: the service behind each function, and who may invoke it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.policies import serves_policies
from tests.deployment.cloud.service import Ask, Json, serves

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_V1: Final = "run.googleapis.com/v1/projects/{project}/locations/{location}/services/{service}"
_V2: Final = _V1.replace("/v1/", "/v2/")
#: gcloud reads and writes services in the region's own host, by names of Knative.
_NAMESPACE: Final = "*-run.googleapis.com/apis/serving.knative.dev/v1/namespaces/{project}/services/{service}"


def service_name(function: Json) -> str:
    """The full name of a function's service: no underscores, no capitals."""
    parent, _, identifier = function["name"].rpartition("/functions/")
    return f"{parent}/services/{identifier.lower().replace('_', '-')}"


def release(cloud: Cloud, function: Json) -> str:
    """Release a function's service and return its URL; its IAM policy stays as it was."""
    name = service_name(function)
    url = f"https://{name.rsplit('/', 1)[1]}-abcdefghij-uc.a.run.app"
    cloud.resources[name] = {"name": name, "uri": url, "function": function["name"]}
    return url


def _name(ask: Ask) -> str:
    return f"projects/{ask['project']}/locations/{ask['location']}/services/{ask['service']}"


@serves("GET", _V1, _V2, permission="run.services.get")
def get_service(cloud: Cloud, ask: Ask) -> Json:
    """Describe a service."""
    return cloud.get(_name(ask))


for _template in (_V1, _V2, _V1.replace("run.", "*-run.", 1)):
    serves_policies(_template, "run.services", _name, public=True)
