"""The register of processors, and what the calendar finds in it."""

from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import policies, tlog
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from astra.staff import Role
from cli import processors
from governance.processor_register import RegisterProcessor, look, register_processor
from governance.processors import PROCESSORS
from tests.colleagues import Team, logged


def form(platform: Platform[Any], name: str = "Replicate", days: float = 365, **changes: Any) -> RegisterProcessor:
    [known] = [one for one in PROCESSORS if one.name == name] or [PROCESSORS[-1]]
    fields = {
        "name": name,
        "agreementReference": "DPA 2026/17",
        "agreementExpiresAt": (platform.clock() + timedelta(days=days)).isoformat(),
        "dataShared": known.data_shared,
    }
    return parse(RegisterProcessor, fields | changes)


def findings(platform: Platform[Any]) -> dict[str, bool]:
    """Each finding, and whether it is open."""
    return {stored.id: stored.get("closedAt") is None for stored in platform.db.collection("findings").get()}


def test_an_agreement_is_entered_and_logged(platform: Platform[Any], team: Team) -> None:
    priya = team.hire(Role.PRIVACY)
    assert register_processor(platform, priya.call(form(platform))) == {"state": "done"}
    line = platform.db.document("processors/Replicate").get().to_dict() or {}
    assert line["agreement"] == {"reference": "DPA 2026/17", "expiresAt": platform.clock() + timedelta(days=365)}
    assert line["dataShared"] == ["prompts", "replicate-artefacts"]
    assert line["hosts"] == ["api.replicate.com", "*.replicate.delivery"]
    [entry] = logged(platform, tlog.Action.PROCESSOR_REGISTERED)
    assert (entry["actor"], entry["record"]["name"]) == (priya.subject, "Replicate")


@pytest.mark.parametrize("name", ["Amazon", "replicate", "Redis"])
def test_who_is_not_in_the_policy_is_not_registered(platform: Platform[Any], team: Team, name: str) -> None:
    with pytest.raises(HttpsError) as refusal:
        register_processor(platform, team.hire(Role.CTO).call(form(platform, name)))
    assert refusal.value.code is FunctionsErrorCode.FAILED_PRECONDITION


def test_a_policy_that_names_somebody_no_more_ends_their_registration(platform: Platform[Any], team: Team) -> None:
    text = "To deliver the Service we share data with: Firebase and Redis Cloud."
    fields = {"version": "next", "sha256": "0" * 64, "effectiveAt": platform.clock(), "text": text}
    platform.db.collection(policies.PUBLIC).document("next").set(fields)
    with pytest.raises(HttpsError):
        register_processor(platform, team.hire(Role.CTO).call(form(platform)))
    look(platform)
    assert {"not-named-by-policy.Replicate", "not-named-by-policy.Vercel"} <= findings(platform).keys()


@pytest.mark.parametrize("shared", [[], ["prompts"], ["prompts", "replicate-artefacts", "profile"]])
def test_what_is_shared_is_what_the_data_map_says(platform: Platform[Any], team: Team, shared: list[str]) -> None:
    with pytest.raises(HttpsError) as refusal:
        register_processor(platform, team.hire(Role.CTO).call(form(platform, dataShared=shared)))
    assert refusal.value.code is FunctionsErrorCode.INVALID_ARGUMENT
    assert "data map" in refusal.value.message


def test_an_agreement_that_has_ended_is_none(platform: Platform[Any], team: Team) -> None:
    with pytest.raises(HttpsError) as refusal:
        register_processor(platform, team.hire(Role.CTO).call(form(platform, days=0)))
    assert refusal.value.code is FunctionsErrorCode.INVALID_ARGUMENT


def test_support_and_security_register_nobody(platform: Platform[Any], team: Team) -> None:
    for role in (Role.SUPPORT, Role.SECURITY):
        with pytest.raises(HttpsError) as refusal:
            register_processor(platform, team.hire(role).call(form(platform)))
        assert refusal.value.code is FunctionsErrorCode.PERMISSION_DENIED


def test_an_agreement_from_missing_over_ending_to_expired(platform: Platform[Any], team: Team) -> None:
    priya, _ = team.hire(Role.PRIVACY), team.hire(Role.CTO)
    for _ in range(2):
        processors.seed(platform.db, platform.clock())
        look(platform)
    assert findings(platform) == {f"agreement-missing.{one.name}": True for one in PROCESSORS}
    assert len(priya.notices()) == len(PROCESSORS)  # once each, however often it looks
    for one in PROCESSORS:
        register_processor(platform, priya.call(form(platform, one.name, days=100)))
    look(platform)
    assert not any(findings(platform).values())
    expected = [
        (70 - 1e-5, set()),
        (70, {"agreement-ending"}),
        (100 - 1e-5, {"agreement-ending"}),
        (100, {"agreement-expired"}),
    ]
    began = platform.clock()
    for days, kinds in expected:
        platform.clock.now = began + timedelta(days=days)  # type: ignore[attr-defined]
        look(platform)
        opened = {name.split(".")[0] for name, is_open in findings(platform).items() if is_open}
        assert opened == kinds, days
    platform.clock.step(seconds=1)  # type: ignore[attr-defined]
    register_processor(platform, priya.call(form(platform)))
    processors.seed(platform.db, platform.clock())  # changes nothing that is there
    look(platform)
    still = {name for name, is_open in findings(platform).items() if is_open}
    assert still == {f"agreement-expired.{one.name}" for one in PROCESSORS if one.name != "Replicate"}


def test_a_register_behind_the_data_map_is_a_finding(platform: Platform[Any], team: Team) -> None:
    processors.seed(platform.db, platform.clock())
    platform.db.document("processors/Firebase").update({"dataShared": ["profile"]})
    look(platform)
    assert findings(platform)["data-shared-outdated.Firebase"] is True
