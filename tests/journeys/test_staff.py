"""Staff and a customer through the deployed functions, with the tokens that Auth gives them."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.demo.client import CallError, Client, Person
from local.stack.stack import Stack

POLICY = "security-2025-07-15"


def refusal(client: Client, function: str, data: Any, token: str | None) -> CallError:
    with pytest.raises(CallError) as refused:
        client.call(function, data, token)
    return refused.value


def accept(client: Client, person: Person) -> None:
    """Read the security policy as a client does, and accept what was read."""
    fields = client.document(f"securityPolicies/{POLICY}", person.token).raise_for_status().json()["fields"]
    data = {"version": fields["version"]["stringValue"], "sha256": fields["sha256"]["stringValue"]}
    assert client.call("accept_security_policy", data, person.token) == {"version": POLICY}


def first_cto(person: Person) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", "staff", "first-cto", person.uid, "--yes"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


def test_from_the_first_cto_to_a_revoked_token(stack: Stack, client: Client) -> None:
    boss, priya, ada = client.join(), client.join(), client.join()
    grant = {"uid": priya.uid, "role": "privacy"}
    assert refusal(client, "grant_role", grant, boss.token).status == "PERMISSION_DENIED"
    assert first_cto(boss).returncode == 1  # nothing accepted yet
    accept(client, boss)
    assert first_cto(boss).returncode == 0
    assert "there is a CTO already" in first_cto(priya).stderr
    assert refusal(client, "grant_role", grant, boss.token).status == "FAILED_PRECONDITION"
    accept(client, priya)
    assert client.call("grant_role", grant, boss.token) == {"state": "done"}

    # Priya's token was minted before she had a role.
    until = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    hold = {"uid": ada.uid, "entries": ["sealed-images"], "basis": "CPLR 3126, case 17", "expiresAt": until}
    assert client.call("place_hold", hold, priya.token)["state"] == "proposed"
    placed = client.call("place_hold", hold, boss.token)
    assert placed["state"] == "done"
    notice = client.document(f"users/{ada.uid}/notices/hold-{placed['holdId']}", ada.token)
    assert "CPLR 3126" in notice.json()["fields"]["body"]["stringValue"]
    assert client.document(f"users/{ada.uid}/notices/hold-{placed['holdId']}", priya.token).status_code == 403

    assert client.call("revoke_role", {"uid": priya.uid}, boss.token) == {"state": "done"}
    release = {"uid": ada.uid, "holdId": placed["holdId"]}
    assert refusal(client, "release_hold", release, priya.token).status == "UNAUTHENTICATED"
    # Signed in anew she is a customer, and no more.
    again = client.sign_in(priya.email, priya.password)
    assert refusal(client, "release_hold", release, again.token).status == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    "function",
    [
        *("grant_role", "revoke_role", "accept_security_policy", "sign_review", "place_hold", "release_hold"),
        *("record_disclosure", "register_processor", "remove_child", "switch_roll_call"),
        *("report_incident", "confirm_incident", "contain_incident", "describe_incident", "tell_regulator"),
        *("delay_notice", "approve_notice", "close_incident", "rule_out_people"),
        *("publish_policy", "withdraw_policy", "plan_transfer", "cancel_transfer"),
    ],
)
def test_a_stranger_a_customer_and_a_bad_request_get_nowhere(client: Client, function: str) -> None:
    ada = client.join()
    for data in ({}, {"uid": ada.uid, "everything": True}, [], None, "x"):
        assert refusal(client, function, data, ada.token).status == "INVALID_ARGUMENT"
    assert refusal(client, function, VALID[function], None).status == "UNAUTHENTICATED"
    expected = "FAILED_PRECONDITION" if function == "accept_security_policy" else "PERMISSION_DENIED"
    error = refusal(client, function, VALID[function], ada.token)
    assert error.status == expected
    assert ada.uid not in error.message


SOON = (datetime.now(UTC) + timedelta(days=30)).isoformat()
VALID: dict[str, dict[str, Any]] = {
    "grant_role": {"uid": "somebody", "role": "cto"},
    "revoke_role": {"uid": "somebody"},
    "accept_security_policy": {"version": "of-last-year", "sha256": "0" * 64},
    "sign_review": {"review": "2027", "policyVersion": POLICY},
    "place_hold": {"uid": "somebody", "entries": ["consents"], "basis": "a law", "expiresAt": SOON},
    "release_hold": {"uid": "somebody", "holdId": "0" * 16},
    "record_disclosure": {
        "uid": "somebody",
        "ground": "liability",
        "recipient": "a court",
        "processReference": "CASE 17",
        "scope": ["profile"],
    },
    "register_processor": {
        "name": "Replicate",
        "agreementReference": "DPA 1",
        "agreementExpiresAt": SOON,
        "dataShared": ["prompts", "replicate-artefacts"],
    },
    "publish_policy": {
        "version": "2026-01-01",
        "text": "A policy. " * 30,
        "effectiveAt": SOON,
        "material": True,
        "summary": "We do other things.",
    },
    "withdraw_policy": {"version": POLICY, "reason": "We do nothing else."},
    "plan_transfer": {
        "recipient": "Acme, Inc.",
        "plannedAt": SOON,
        "policyUrl": "https://acme.example/privacy",
        "summary": "Acme, Inc. buys us.",
    },
    "cancel_transfer": {"transfer": "0" * 16},
    "switch_roll_call": {"enabled": False},
    "remove_child": {"uid": "somebody", "step": "freeze", "reference": "TICKET-1"},
    "report_incident": {"what": "A laptop is gone", "severity": 1, "noticedAt": SOON},
    "confirm_incident": {"incidentId": "0" * 20, "awareAt": SOON, "occurredFrom": SOON, "occurredUntil": SOON},
    "contain_incident": {"incidentId": "0" * 20, "measure": "freeze-exports"},
    "describe_incident": {"incidentId": "0" * 20, "nature": "Accounts were read"},
    "tell_regulator": {
        "incidentId": "0" * 20,
        "clock": "gdpr-authority",
        "phase": "initial",
        "sentAt": SOON,
        "reference": "FILE-1",
        "sha256": "0" * 64,
    },
    "delay_notice": {"incidentId": "0" * 20, "basis": "a law", "until": SOON},
    "approve_notice": {"incidentId": "0" * 20, "sha256": "0" * 64},
    "close_incident": {"incidentId": "0" * 20, "falseAlarm": True, "reference": "SEC-1"},
    "rule_out_people": {"incidentId": "0" * 20, "reason": "The key never left the vault"},
}
