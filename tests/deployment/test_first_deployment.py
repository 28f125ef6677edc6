"""The first deployment of everything, by a person at a terminal, to a project in Europe."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.deployment.cloud.rules import cross_service_rules
from tests.deployment.cloud.state import Cloud
from tests.deployment.deployed import codebases, wrong
from tests.deployment.expected import CODEBASES, SECRETS
from tests.deployment.page import commands
from tests.deployment.prepared import prepare
from tests.deployment.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

PROJECT, REGION = "astra-europe", "europe-west1"
PLACE = f"projects/{PROJECT}/locations/{REGION}"


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_a_person_deploys_everything_to_europe_and_is_asked_about_each_thing_that_costs_or_grants(
    tmp_path: Path,
) -> None:
    with Rehearsal(tmp_path, Cloud(PROJECT, "512345678902")) as rehearsal:
        cloud = rehearsal.cloud
        prepare(cloud, SECRETS, REGION, bucket_in="EU")
        policies = cloud.resources[f"{PLACE}/repositories/gcf-artifacts"].pop("cleanupPolicies")
        values = "".join(re.findall(r"(?m)^ASTRA_(?!REGION).*\n", commands("5. "))).replace("$P", PROJECT)
        rehearsal.settings.write_text(values.replace("$R", REGION), encoding="utf-8")
        output = rehearsal.answering(
            [
                ("the region of the functions", REGION),
                ("Would you like to proceed with deployment", "y"),  # of what is retried
                ("Would you like to proceed with deployment", "y"),  # of what is kept warm
                ("needs an IAM Role to use", "y"),  # by the rules of Storage, which ask Firestore
                ("How many days do you want to keep", "1"),
            ],
            "deploy",
        )
        assert "Deploy complete!" in output, output
        assert rehearsal.google.unknown == []
        assert f"\nASTRA_REGION={REGION}\n" in rehearsal.settings.read_text(encoding="utf-8")
        assert cloud.resources[f"{PLACE}/repositories/gcf-artifacts"]["cleanupPolicies"] == policies
        assert codebases(cloud) == CODEBASES
        assert wrong(cloud, let_in=False, region=REGION) == {}
        assert cloud.resources[f"{PLACE}/functions/seal_upload"]["eventTrigger"]["triggerRegion"] == "eu"
        assert {name.split("/")[3] for name in cloud.named(r".+/locations/.+/(functions|queues|jobs)/.+")} == {REGION}
        assert any("/releases/firebase.storage/" in name for name in cloud.resources)
        assert cross_service_rules(cloud) == {}
