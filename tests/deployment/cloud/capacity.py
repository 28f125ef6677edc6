"""Memory, CPU, concurrency and instances: what Cloud Run lets a service have, and the project's quota of vCPU."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.service import Json, Refusal

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

#: vCPU that a new project may have at once in a region.
QUOTA_VCPU: Final = 20.0
_UNITS: Final = {"M": 1000**2 / 2**20, "Mi": 1.0, "G": 1000**3 / 2**20, "Gi": 1024.0}
#: The most memory in MiB that goes with up to so many vCPU, and the CPU that much memory needs at least.
_MOST_MIB: Final = ((0.5, 512), (0.9999, 1024), (1, 4096), (2, 8192), (4, 16384), (6, 24576), (8, 32768))
_WHOLE_CPUS: Final = (1, 2, 4, 6, 8)


def memory_mib(service: Json) -> float:
    """The memory of a function's service in MiB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(Mi|Gi|M|G)", service.get("availableMemory") or "256Mi")
    if not found:
        raise Refusal("INVALID_ARGUMENT", f"availableMemory '{service['availableMemory']}' is not a quantity.")
    return float(found[1]) * _UNITS[found[2]]


def cpus(service: Json) -> float:
    """The vCPU of a function's service."""
    if service.get("availableCpu"):
        return float(service["availableCpu"])
    # What Cloud Functions takes where nothing is said.
    memory = memory_mib(service)
    return next(
        cpu
        for most, cpu in ((128, 0.083), (256, 0.167), (512, 0.333), (1024, 0.583), (4096, 1), (8192, 2), (32768, 4))
        if memory <= most
    )


def check_capacity(service: Json) -> None:
    """Refuse memory, CPU, concurrency and instances that do not go together."""
    memory, cpu = memory_mib(service), cpus(service)
    concurrency = int(service.get("maxInstanceRequestConcurrency") or 1)
    if not (0.08 <= cpu < 1 or cpu in _WHOLE_CPUS):
        raise Refusal("INVALID_ARGUMENT", f"Invalid value specified for cpu: {cpu}. Use 0.08 to 1, or 2, 4, 6 or 8.")
    if cpu < 1 and concurrency > 1:
        raise Refusal("INVALID_ARGUMENT", f"Total cpu < 1 is not supported with concurrency > 1 (is {concurrency}).")
    if not 1 <= concurrency <= 1000:
        raise Refusal("INVALID_ARGUMENT", "maxInstanceRequestConcurrency must be between 1 and 1000.")
    most = next(mib for limit, mib in _MOST_MIB if cpu <= limit)
    if not 128 <= memory <= most:
        raise Refusal("INVALID_ARGUMENT", f"Memory of {memory:g} MiB is not supported with {cpu:g} cpu: 128 to {most}.")
    least, ceiling = int(service.get("minInstanceCount") or 0), int(service.get("maxInstanceCount") or 100)
    if least > ceiling:
        raise Refusal("INVALID_ARGUMENT", "minInstanceCount must not exceed maxInstanceCount.")


def over_quota(cloud: Cloud, function: Json) -> Refusal | None:
    """Return a refusal if other releases and instances that are kept warm take up the vCPU of the region.

    Each release starts an instance, to see whether it answers.
    """
    region = function["name"].split("/")[3]
    taken = 0.0
    for other in cloud.under(f"projects/{cloud.project}/locations/{region}", "functions"):
        service = other["serviceConfig"]
        taken += cpus(service) * max(int(service.get("minInstanceCount") or 0), other["state"] == "DEPLOYING")
    if taken <= QUOTA_VCPU:
        return None
    cloud.limits["vcpu"] += 1
    message = f"Quota exceeded for total allowable CPU per project per region: {taken:g} of {QUOTA_VCPU:g} vCPU."
    return Refusal("RESOURCE_EXHAUSTED", message)
