"""Tables of docs/deploy.md: `python -m local.deployment.tables` writes them from the code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from local.deployment import grants
from local.deployment.manifests import endpoints
from local.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOCUMENT: Final = ROOT / "docs/deploy.md"
#: US dollars for an idle second of a warm instance, in the regions of the first tier, of a vCPU and of a GiB.
#: Source: https://cloud.google.com/run/pricing
_IDLE_CPU, _IDLE_GIB = 0.0000025, 0.0000025
_OTHERS: Final = {
    grants.OPERATOR: "[staff commands](operators.md)",
    grants.DEPLOYER: "[deployments of CI](#who-deploys)",
}
#: vCPU that a new project may use in a region at once.
QUOTA: Final = 20
_MONTH: Final = 30 * 24 * 3600
_TRIGGERS: Final = {
    "callableTrigger": "callable",
    "httpsTrigger": "HTTPS",
    "blockingTrigger": "blocking",
    "taskQueueTrigger": "queue",
    "scheduleTrigger": "schedule",
    "eventTrigger": "event",
}


def main() -> int:
    """Write both tables into the document."""
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def written(text: str) -> str:
    """Return the document with its tables as they should be."""
    return _with(_with(text, "accounts", _accounts()), "sizes", _sizes())


def _with(text: str, name: str, lines: Iterable[str]) -> str:
    head, begin, rest = text.partition(f"<!-- {name}: ")
    comment, _, old = rest.partition("\n")
    _, end, tail = old.partition("<!-- end -->")
    if not begin or not end:
        raise ValueError(f"{DOCUMENT} has no place for the table {name}")
    return "".join((head, begin, comment, "\n\n", "\n".join(lines), "\n\n", end, tail))


def _accounts() -> Iterator[str]:
    functions: dict[str, list[str]] = {}
    for name, endpoint in endpoints().items():
        functions.setdefault(endpoint["serviceAccountEmail"].partition("@")[0], []).append(f"`{name}`")
    yield from ("| account | functions | roles on the project |", "| --- | --- | --- |")
    for account, roles in grants.ACCOUNTS.items():
        words = (f"`{role.name}`" + (f" on {role.title}" if role.title else "") for role in roles)
        users = ", ".join(functions.get(account) or [_OTHERS[account]])
        yield f"| `{account}` | {users} | {', '.join(words)} |"
    yield ""
    yield "The condition on a database, as it stands in the policy (`$P` is the project):"
    yield ""
    yield from ("| on | condition |", "| --- | --- |")
    for role in (grants.PEOPLE, grants.PEOPLE_AND_KEYS):
        yield f"| {role.title} | `{role.condition.replace('||', chr(92) + '|' + chr(92) + '|')}` |"


def _sizes() -> Iterator[str]:
    groups: dict[tuple[Any, ...], list[str]] = {}
    every = endpoints()
    for name, endpoint in every.items():
        kind = next(word for trigger, word in _TRIGGERS.items() if trigger in endpoint)
        least = endpoint["minInstances"] or 0
        size = (
            endpoint["availableMemoryMb"],
            endpoint["cpu"],
            endpoint["concurrency"],
            least,
            endpoint["maxInstances"],
            endpoint["timeoutSeconds"] or 60,
        )
        groups.setdefault((kind, *size), []).append(f"`{name}`")
    yield "| functions | kind | memory, MiB | vCPU | requests at once | instances | timeout, s | kept warm, $ a month |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for (kind, memory, cpu, at_once, least, most, timeout), names in groups.items():
        cost = f"{len(names) * least * warm(cpu, memory):.2f}" if least else ""
        yield f"| {', '.join(names)} | {kind} | {memory} | {cpu} | {at_once} | {least} to {most} | {timeout} | {cost} |"
    yield ""
    total = sum(float(one["cpu"]) for one in every.values())
    month = sum((one["minInstances"] or 0) * warm(one["cpu"], one["availableMemoryMb"]) for one in every.values())
    yield f"In all {len(every)} functions with {total:.1f} vCPU: an instance of each at once, as in a first deployment,"
    yield f"stays within the {QUOTA} vCPU that a new project may use in a region. What is kept warm costs"
    yield f"${month:.2f} a month, less the free tier."


def warm(cpu: float, memory: int) -> float:
    """US dollars for one idle instance in a month of 30 days; `memory` in MiB."""
    return _MONTH * (float(cpu) * _IDLE_CPU + memory / 1024 * _IDLE_GIB)


if __name__ == "__main__":
    sys.exit(main())
