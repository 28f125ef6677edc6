"""Deployment options of functions, by groups with the same settings.

Functions that need the same settings are a Group: its secrets and what the deployer is asked for are derived from the
class of these settings, so that what is deployed is what is loaded.
"""

import os
from collections.abc import Callable
from typing import Any, Final, Generic, ParamSpec, TypeVar

from firebase_functions import options, params

from astra.runtime import callables
from astra.runtime.platform import Platform
from astra.runtime.settings import REGION, Environment, deployed

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Environment)

_MEMORY: Final = options.MemoryOption.MB_512
"""A process takes 114 to 143 MiB after its first request: this leaves room for four at once."""
SERVED_BY: Final = "__astra_group__"
"""The attribute of a function that says which group it is of."""
TASK_TIMEOUT_SECONDS: Final = 1800
"""Seconds that a task may take: the most there is."""


def long_task(*, cpu: float = 1, concurrency: int = 4, max_instances: int = 5) -> dict[str, Any]:
    """Return the options of a task function that works through a job.

    Its queue hands over as many tasks at once as its instances take: Cloud Run would refuse more, and a task that is
    refused has used up one of its attempts.
    """
    return {
        "timeout_sec": TASK_TIMEOUT_SECONDS,
        "cpu": cpu,
        "concurrency": concurrency,
        "max_instances": max_instances,
        "retry_config": options.RetryConfig(max_attempts=5, min_backoff_seconds=10),
        "rate_limits": options.RateLimits(max_concurrent_dispatches=concurrency * max_instances),
    }


def asked(name: str, what: str, default: str | None = None) -> params.StringParam:
    """The parameter `name`, which the deployer is asked for, and whose value reaches the functions as environment."""
    known = params._params.get(name)
    return known if isinstance(known, params.StringParam) else params.StringParam(name, default, description=what)


def defaults(*, cpu: float, concurrency: int, max_instances: int) -> None:
    """Set what holds for each function of a codebase that says nothing else.

    `cpu` in vCPU: below 1, `concurrency` must be 1; gunicorn has four threads a vCPU, so that more would only wait.
    """
    region: Any = asked("ASTRA_REGION", "the region of the functions: the one that the default bucket is in", REGION)
    share: Any = cpu  # the SDK passes fractions on, and does not say so
    options.set_global_options(
        region=region, memory=_MEMORY, cpu=share, concurrency=concurrency, max_instances=max_instances
    )


class Group(Generic[S]):
    """Functions of a codebase that need the same settings.

    Args:
        account: the name of the service account that they run as, in the project that they are deployed to.
        kind: the class of their settings.
    """

    def __init__(self, account: str, kind: type[S]) -> None:
        self.platform = Platform(kind)
        # The whole address: firebase-tools expands `NAME@` for the function itself, but for no grant.
        self._account = f"{account}@{params.PROJECT_ID}.iam.gserviceaccount.com"
        self._secrets = kind.secrets()
        for name, what in kind.asked().items():
            asked(name, what)

    def options(self, **more: Any) -> dict[str, Any]:
        """The options of one of the functions, with those that it alone has."""
        return {"service_account": self._account, "secrets": self._secrets, **more}

    def serves(self, handler: Callable[P, R]) -> Callable[P, R]:
        """Count `handler` to the group, guarded as `callables.guarded` says.

        The process that serves it loads the group's settings now, and ends if they are incomplete.
        """
        # The deploy tool imports a codebase only to list its functions, and has no settings to give.
        if os.environ.get("FUNCTION_TARGET") == handler.__name__ and (deployed() or "ADMIN_PORT" not in os.environ):
            self.platform.start()
        served = callables.guarded(handler)
        setattr(served, SERVED_BY, self)  # which the platform's decorators keep: a test looks for it
        return served
