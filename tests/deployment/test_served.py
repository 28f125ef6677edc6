"""Every function of every archive starts as in production, and does what it is for when it is genuinely asked.

A refusal does not count: each answers with success, and what it does is seen in the stores.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import pytest

from astra.platform import Platform
from local import archives
from local.paths import LOGS
from local.served import ServedError
from tests.conftest import WholeSettings
from tests.deployment.asking.table import TABLE
from tests.deployment.fleet import Fleet
from tests.deployment.production import Deployed, Production, deployed
from tests.deployment.world import RealClock, World
from tests.people import own_project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import Stack


#: What a function may take of the memory that it is given, after one request.
SHARE_OF_MEMORY: Final = 0.8
#: One function of each codebase, and a secret that it can't start without.
SECRETS: Final = {
    "start_signup": "ASTRA_SMTP_URL",
    "open_image": "ASTRA_REDIS_URL",
    "log_event": "ASTRA_PSEUDONYM_KEY",
    "erase": "ASTRA_CERTIFICATE_KEY",
    "sequence": "ASTRA_LOG_KEY",
    "sweep": "ASTRA_PSEUDONYM_KEY",
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
    with own_project(platform):
        platform.__dict__["settings"] = platform.settings.model_copy(update={"log_origin": origin})
        redis_url = str(platform.settings.redis_url.get_secret_value())
        with Production(
            stack,
            str(platform.app.project_id),
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


@pytest.mark.parametrize("name", TABLE)
def test_it_does_what_it_is_for_within_its_memory(name: str, world: World, functions: dict[str, Deployed]) -> None:
    world.fleet.get(name)
    started = world.fleet.measure(name)
    TABLE[name](world)
    asked = world.fleet.measure(name)
    world.fleet.end(name)
    with (LOGS / "served.tsv").open("a", encoding="utf-8") as measured:
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


def test_no_other_host_was_asked(world: World) -> None:
    assert world.production.tunnels.refused == []
