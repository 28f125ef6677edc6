"""The stand-in for Cloud Logging and for keys of service accounts, over real HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from local.stand_ins import audit_log
from local.stand_ins.google_apis import GoogleStandIn

AT = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)


@pytest.fixture
def google() -> Iterator[GoogleStandIn]:
    with GoogleStandIn(0) as running:
        yield running


def listed(google: GoogleStandIn, asked: str, **more: Any) -> Any:
    body = {"resourceNames": ["projects/demo-astra"], "filter": asked, "orderBy": "timestamp asc", **more}
    with httpx.Client(trust_env=False) as client:
        return client.post(f"{google.url}/v2/entries:list", json=body)


def names(answer: Any) -> list[str]:
    return [entry["insertId"] for entry in answer.json()["entries"]]


def test_what_was_written_is_listed_by_what_it_says_and_in_order(google: GoogleStandIn) -> None:
    entries = [
        audit_log.read(AT + timedelta(minutes=minutes), who, "users/a", name=f"n{minutes}")
        for minutes, who in ((5, "a@x"), (1, 'q"\\@x'), (9, "b@x"))
    ]
    with httpx.Client(trust_env=False) as client:
        client.post(f"{google.url}/v2/entries:write", json={"entries": entries}).raise_for_status()
    audit = 'logName:"cloudaudit.googleapis.com"'
    assert names(listed(google, audit)) == ["n1", "n5", "n9"]
    assert names(listed(google, f'{audit} AND timestamp>="2026-03-04T03:05:00Z"')) == ["n5", "n9"]
    assert names(listed(google, f'{audit} AND timestamp<="2026-03-04T03:05:00.5Z"')) == ["n1", "n5"]
    who = "protoPayload.authenticationInfo.principalEmail"
    assert names(listed(google, f'{who}=("b@x" OR "q\\"\\\\@x")')) == ["n1", "n9"]
    assert names(listed(google, 'insertId="n5" AND timestamp="2026-03-04T03:05:00Z"')) == ["n5"]
    assert names(listed(google, f'logName:"cloudaudit" AND ({who}=("a@x") OR insertId=("n9"))')) == ["n5", "n9"]
    exact = {**entries[0], "insertId": "exact", "timestamp": "2026-03-04T03:06:00.000000789Z"}
    google.entries.append(exact)
    assert names(listed(google, 'insertId="exact" AND timestamp="2026-03-04T03:06:00Z"')) == []
    since, until = '"2026-03-04T03:06:00Z"', '"2026-03-04T03:06:00.001Z"'
    assert names(listed(google, f"timestamp>={since} AND timestamp<{until}")) == ["exact"]
    assert names(listed(google, 'logName:"elsewhere"')) == []
    assert listed(google, 'logName:"x" OR logName:"y"').status_code == 400
    assert listed(google, "severity>ERROR").status_code == 400


def test_pages_follow_each_other(google: GoogleStandIn) -> None:
    google.entries += [audit_log.read(AT, "a@x", "users/a", name=f"n{number}") for number in range(5)]
    found, token = [], ""
    for _ in range(3):
        answer = listed(google, 'logName:"cloudaudit"', pageSize=2, pageToken=token)
        found += names(answer)
        token = answer.json().get("nextPageToken", "")
    assert (found, token) == (["n0", "n1", "n2", "n3", "n4"], "")


def test_another_projects_entries_are_not_shown(google: GoogleStandIn) -> None:
    google.entries.append({**audit_log.read(AT, "a@x", "users/a"), "logName": "projects/demo-astra-2/logs/cloudaudit"})
    assert names(listed(google, 'logName:"cloudaudit"')) == []


def test_a_key_is_turned_off_and_on(google: GoogleStandIn) -> None:
    key = "projects/-/serviceAccounts/a@p.iam.gserviceaccount.com/keys/0a"
    with httpx.Client(trust_env=False) as client:
        for verb, off in (("disable", True), ("enable", False)):
            client.post(f"{google.url}/v1/{key}:{verb}", json={}).raise_for_status()
            assert google.disabled[key] is off
        assert client.post(f"{google.url}/v1/{key}:delete", json={}).status_code == 404
