"""Every function of every archive starts as in production, and does what it is for when it is genuinely asked.

A refusal does not count: each answers with success, and what it does is seen in the stores.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from astra.runtime.platform import Platform
from local import archives
from local.paths import LOGS
from local.served import ServedError
from tests.conftest import WholeSettings
from tests.deployment.asking.table import TABLE
from tests.deployment.cloud.certificates import Authority
from tests.deployment.fleet import Fleet
from tests.deployment.production import Deployed, Production, deployed
from tests.deployment.tunnels import Tunnels
from tests.deployment.world import RealClock, World
from tests.people import own_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.stack import Stack


#: Name, MiB given, at start and after the request, processor seconds at start: a line for each function.
MEASURED: Final = LOGS / "served.tsv"
#: The largest part of its memory that a function may take for one request.
SHARE_OF_MEMORY: Final = 0.8
#: Functions whose settings differ, and of each a secret that it can't start without.
SECRETS: Final = {
    "sendcode": "ASTRA_SMTP_URL",
    "open_image": "ASTRA_REDIS_URL",
    "seal_upload": "ASTRA_PSEUDONYM_KEY",
    "log_event": "ASTRA_PSEUDONYM_KEY",
    "erase": "ASTRA_CERTIFICATE_KEY",
    "reconcile": "ASTRA_PSEUDONYM_KEY",
    "place_hold": "ASTRA_REDIS_URL",
    "sequence": "ASTRA_LOG_KEY",
    "sweep": "ASTRA_PSEUDONYM_KEY",
    "notify": "ASTRA_SMTP_URL",
    "bounced": "ASTRA_BOUNCE_SECRET",
}


@pytest.fixture(scope="module")
def functions() -> dict[str, Deployed]:
    """Every function that the archives' manifests name."""
    return deployed(archives.prepare())


@pytest.fixture(scope="module")
def world(
    stack: Stack,
    functions: dict[str, Deployed],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A project of its own, which no function of the stack works on, and a log that the witness has not heard of."""
    platform: Platform[Any] = Platform(WholeSettings, RealClock())
    folder, origin = tmp_path_factory.mktemp("served"), f"example.com/{secrets.token_hex(6)}"
    chosen = [
        item.callspec.params["name"]
        for item in request.session.items
        if hasattr(item, "callspec") and "does_what" in item.name
    ]
    MEASURED.unlink(missing_ok=True)
    with own_project(platform, buckets="firebasestorage.app"):  # as a new project's are named
        platform.__dict__["settings"] = platform.settings.model_copy(update={"log_origin": origin})
        redis_url = str(platform.settings.redis_url.get_secret_value())
        with Production(
            stack,
            platform.app,
            redis_url,
            folder,
            {"ASTRA_LOG_ORIGIN": origin, "ASTRA_UNSEALED_AFTER_SECONDS": "0", "ASTRA_QUIET_PERIOD_SECONDS": "0"},
        ) as production:
            fleet = Fleet(production, functions, chosen)
            world = World(stack, platform, production, fleet)
            try:
                yield world
            finally:
                world.close()
                fleet.close()


def test_each_function_is_asked(functions: dict[str, Deployed]) -> None:
    assert set(TABLE) == set(functions)


def known_secrets(pid: int, functions: dict[str, Deployed]) -> set[str]:
    """Return the names of the secrets of any function that are in a process's environment."""
    environment = psutil.Process(pid).environ()
    assert not {"FUNCTIONS_EMULATOR", "FIREBASE_AUTH_EMULATOR_HOST"} & set(environment)
    return {secret for function in functions.values() for secret in function.secrets} & set(environment)


@pytest.mark.parametrize("name", TABLE)
def test_it_does_what_it_is_for_within_its_memory(name: str, world: World, functions: dict[str, Deployed]) -> None:
    assert known_secrets(world.fleet.get(name).pid, functions) == set(functions[name].secrets)
    started = world.fleet.measure(name)
    TABLE[name](world)
    asked = world.fleet.measure(name)
    world.fleet.end(name)
    with MEASURED.open("a", encoding="utf-8") as measured:
        given = functions[name].memory_mib
        fields = (name, given, round(started.resident_mib), round(asked.resident_mib), round(started.cpu_seconds, 2))
        measured.write("\t".join(map(str, fields)) + "\n")
    assert asked.resident_mib < SHARE_OF_MEMORY * functions[name].memory_mib


@pytest.mark.parametrize("name", SECRETS)
def test_it_names_the_secret_that_it_lacks(name: str, world: World, functions: dict[str, Deployed]) -> None:
    served = world.production.serve(functions[name], without=SECRETS[name])
    try:
        with pytest.raises(ServedError, match=f"{SECRETS[name]} is missing"):
            served.wait()
    finally:
        served.stop()


def test_a_redis_that_is_not_trusted_is_told_nothing(
    world: World, functions: dict[str, Deployed], tmp_path: Path
) -> None:
    """Guesses at a code are counted, or none is allowed: without a Redis that it trusts the function refuses."""
    with Tunnels(Authority(tmp_path)) as others:
        served = world.production.serve(functions["unlock"], ASTRA_REDIS_URL=world.production.redis_url(others))
        try:
            served.wait()
            guess = {"data": {"email": "ada@example.com", "code": "12345678"}}
            url, headers = f"http://127.0.0.1:{served.port}/", world.app_headers(None)
            answer = httpx.post(url, json=guess, headers=headers, timeout=60, trust_env=False)
        finally:
            served.stop()
    assert answer.json()["error"]["status"] == "UNAVAILABLE"


def test_no_other_host_was_asked(world: World) -> None:
    assert world.production.tunnels.refused == []
