"""Each server of the stack answers a real request in its own protocol."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from typing import TYPE_CHECKING

import httpx
import redis

if TYPE_CHECKING:
    from local.stack.stack import Stack

OWNER = {"Authorization": "Bearer owner"}  # the emulators' word for an admin


def test_auth_signs_up_and_looks_up(servers: Stack) -> None:
    accounts = f"{servers.auth_url}/identitytoolkit.googleapis.com/v1/accounts"
    credentials = {"email": "servers@example.test", "password": "correct horse", "returnSecureToken": True}
    signed_up = httpx.post(f"{accounts}:signUp?key=any", json=credentials).raise_for_status().json()
    found = httpx.post(f"{accounts}:lookup?key=any", json={"idToken": signed_up["idToken"]}).raise_for_status().json()
    assert [user["localId"] for user in found["users"]] == [signed_up["localId"]]


def test_firestore_keeps_documents_in_both_databases(servers: Stack) -> None:
    for database in ("(default)", "vault"):
        document = f"{servers.firestore_url}/v1/projects/{servers.project}/databases/{database}/documents/probes/one"
        fields = {"database": {"stringValue": database}}
        httpx.patch(document, json={"fields": fields}, headers=OWNER).raise_for_status()
        assert httpx.get(document, headers=OWNER).raise_for_status().json()["fields"] == fields


def test_storage_keeps_objects_below_the_run_folder(servers: Stack) -> None:
    content = b"a blob that a scan of the run folder must find"
    upload = f"{servers.storage_url}/upload/storage/v1/b/{servers.bucket}/o"
    parameters = {"uploadType": "media", "name": "probes/one"}
    httpx.post(upload, params=parameters, content=content, headers=OWNER).raise_for_status()
    assert any(file.is_file() and file.read_bytes() == content for file in servers.run_dir.rglob("*"))


def test_redis_counts(servers: Stack) -> None:
    with redis.Redis.from_url(servers.redis_url) as client:
        assert client.incrby("probe", 2) == 2


def test_mail_is_kept_with_its_envelope(servers: Stack) -> None:
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message.set_content("a body")
    with smtplib.SMTP(*servers.smtp) as client:
        client.send_message(message, "from@example.test", ["to@example.test", "other@example.test"])
    kept = servers.mail.messages[-1]
    assert (kept.sender, kept.recipients) == ("from@example.test", ("to@example.test", "other@example.test"))
    assert kept.message["Subject"] == "Grüße"
    assert kept.message.get_content().strip() == "a body"
