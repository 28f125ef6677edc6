"""What a client may send that it should not: each has its clear error, and leaves nothing half-made behind."""

import base64
import json
import secrets
import time
from typing import Any

import httpx
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore, storage

from local.demo.client import CallError, Client, Person
from local.demo.customer_life import PHOTOGRAPH, wait_sealed
from local.demo.narration import wait_for
from local.demo.scan import scan
from local.stack.stack import Stack

PHOTO = PHOTOGRAPH.read_bytes()


@pytest.fixture(scope="module")
def ada(stack: Stack) -> Person:
    with Client(stack) as client:
        return client.join()


def refusal(attempt: Any) -> CallError:
    with pytest.raises(CallError) as refused:
        attempt()
    return refused.value


def objects(stack: Stack, person: Person) -> list[str]:
    bucket = storage.Client(project=stack.project, credentials=AnonymousCredentials()).bucket(stack.bucket)
    return [blob.name for root in ("incoming", "images") for blob in bucket.list_blobs(prefix=f"{root}/{person.uid}/")]


def forged(token: str, **claims: Any) -> str:
    """The emulator's tokens are unsigned: the same token with other claims."""
    header, body, signature = token.split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed = {name: value for name, value in (payload | claims).items() if value is not None}
    return ".".join([header, base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("="), signature])


# Sign-up


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"email": "not an address"}, "email"),
        ({"email": None}, "email: is required"),
        ({"email": 7}, "email"),
        ({"email": "a" * 300 + "@example.com"}, "email"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"birthYear": "1990"}, "birthYear"),
        ({"birthYear": 1899}, "birthYear"),
        ({"birthYear": 3000}, "birthYear"),
        ({"birthMonth": 13}, "birthMonth"),
        ({"consents": {"terms": False}}, "consents.terms"),
        ({"consents": {}}, "consents.terms: is required"),
        ({"consents": {"terms": True, "marketing": True}}, "consents.marketing: is not a field"),
        ({"jurisdiction": "New York"}, "jurisdiction"),
        ({"admin": True}, "admin: is not a field"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_kept(
    stack: Stack, client: Client, changes: dict[str, Any], named: str
) -> None:
    canary = f"Canary-{secrets.token_hex(8)}"
    fields = {"email": f"{canary.lower()}@example.com", "name": canary} | changes
    error = refusal(lambda: client.enrol(**fields))
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT")
    assert named in error.message
    assert canary not in error.message
    assert scan(stack, {"name": canary.encode()}) == []


def test_an_old_policy_is_refused_with_the_version_to_read(client: Client) -> None:
    error = refusal(lambda: client.enrol("a@example.com", policyVersion="2024-01-01"))
    assert error.status == "FAILED_PRECONDITION"
    assert "2025-08-02" in error.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b'{"dat": {}}', b"\xff\xfe"])
def test_a_body_that_is_no_callable_request_is_the_callers_fault(stack: Stack, body: bytes) -> None:
    answer = httpx.post(
        stack.function_url("start_signup"), content=body, headers={"Content-Type": "application/json"}, timeout=30
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("inner", ["[" * 100_000 + "]" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000])
def test_a_body_nested_beyond_reason_is_the_callers_fault(stack: Stack, inner: str) -> None:
    answer = httpx.post(
        stack.function_url("start_signup"),
        content=f'{{"data": {inner}}}',
        headers={"Content-Type": "application/json"},
        timeout=30,
    )
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_an_account_past_the_form_is_refused_and_leaves_no_profile(stack: Stack, client: Client) -> None:
    email = f"{secrets.token_hex(8)}@example.com"
    error = refusal(lambda: client.sign_up(email, "correct horse"))
    assert "Start the sign-up first" in error.message
    assert scan(stack, {"address": email.encode()}) == []


def test_an_anonymous_account_which_auth_makes_without_asking_reaches_nothing(stack: Stack, client: Client) -> None:
    answer = httpx.post(
        f"{stack.auth_url}/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any",
        json={"returnSecureToken": True},
        timeout=30,
    ).json()
    uid, token = answer["localId"], answer["idToken"]
    upload = client.put_object(f"incoming/{uid}/{secrets.token_urlsafe(12)}", PHOTO, "image/jpeg", token)
    assert upload.status_code == 403
    assert client.open("no-such-image", token).status_code == 404
    assert client.document(f"users/{uid}", token).status_code == 403


# Uploads


@pytest.mark.parametrize(
    ("name", "content", "content_type"),
    [
        ("incoming/{uid}/{id}", b"", "image/jpeg"),
        ("incoming/{uid}/{id}", b"x" * (60 * 1024 * 1024), "image/jpeg"),
        ("incoming/{uid}/{id}", PHOTO, "text/html"),
        ("incoming/{uid}/{id}", PHOTO, "image/svg+xml"),
        ("incoming/{uid}/short", PHOTO, "image/jpeg"),
        ("incoming/{uid}/../{id}", PHOTO, "image/jpeg"),
        ("incoming/{uid}/{id}/deeper", PHOTO, "image/jpeg"),
        ("incoming/somebody-else/{id}", PHOTO, "image/jpeg"),
        ("images/{uid}/{id}", PHOTO, "image/jpeg"),
        ("{id}", PHOTO, "image/jpeg"),
    ],
    ids=[
        "0 bytes",
        "60 MiB",
        "HTML",
        "SVG",
        "short id",
        "id with ../",
        "deeper",
        "somebody else's",
        "past the sealing",
        "root",
    ],
)
def test_the_rules_refuse_an_upload_and_keep_nothing_of_it(
    stack: Stack, client: Client, ada: Person, name: str, content: bytes, content_type: str
) -> None:
    before = objects(stack, ada)
    where = name.format(uid=ada.uid, id=secrets.token_urlsafe(12))
    answer = client.put_object(where, content, content_type, ada.token)
    assert answer.status_code == 403, answer.text
    assert objects(stack, ada) == before


def test_without_a_token_nothing_is_uploaded(stack: Stack, client: Client, ada: Person) -> None:
    answer = client.put_object(f"incoming/{ada.uid}/{secrets.token_urlsafe(12)}", PHOTO, "image/jpeg", None)
    assert answer.status_code == 403


def test_a_text_file_named_png_is_rejected_with_a_reason_and_leaves_no_bytes(
    stack: Stack, client: Client, ada: Person
) -> None:
    canary = secrets.token_hex(16).encode()
    upload_id = client.upload(ada, b"plain text " + canary, content_type="image/png")
    record = wait_sealed(client, ada, upload_id, "rejected")
    assert "not a JPEG, PNG, WebP, GIF or HEIC" in record["reason"]
    wait_for("the plaintext to go", lambda: not any(upload_id in name for name in objects(stack, ada)) or None)
    assert client.open(upload_id, ada.token).status_code == 404
    assert scan(stack, {"content": canary}) == []


def test_an_id_can_be_used_once(client: Client, ada: Person) -> None:
    upload_id = client.upload(ada, PHOTO)
    wait_sealed(client, ada, upload_id)
    assert refusal(lambda: client.upload(ada, PHOTO, upload_id)).code == 403


def test_a_duplicate_event_is_harmless(stack: Stack, client: Client, ada: Person) -> None:
    upload_id = client.upload(ada, PHOTO)
    record = wait_sealed(client, ada, upload_id)
    # The event as Eventarc would deliver it a second time.
    event = {
        "specversion": "1.0",
        "id": secrets.token_hex(8),
        "type": "google.cloud.storage.object.v1.finalized",
        "source": f"//storage.googleapis.com/projects/_/buckets/{stack.bucket}",
        "subject": f"objects/incoming/{ada.uid}/{upload_id}",
        "time": "2026-11-23T12:00:00.000000Z",
        "datacontenttype": "application/json",
        "data": {
            "bucket": stack.bucket,
            "name": f"incoming/{ada.uid}/{upload_id}",
            "generation": "1",
            "id": "1",
            "metageneration": "1",
            "size": str(len(PHOTO)),
            "storageClass": "STANDARD",
            "contentType": "image/jpeg",
        },
    }
    for _ in range(2):
        answer = httpx.post(
            f"{stack.functions_url}/functions/projects/{stack.project}/triggers/us-central1-seal_upload-0",
            json=event,
            headers={"Content-Type": "application/cloudevents+json"},
            timeout=30,
        )
        assert answer.is_success, answer.text
    assert wait_sealed(client, ada, upload_id) == record
    assert client.open(upload_id, ada.token).status_code == 200


# Opening


@pytest.mark.parametrize(
    "image_id", ["", "short", "../../etc/passwd", "a" * 65, "with space 1", "x/../y-12345", "é" * 10]
)
def test_an_id_that_can_be_none_is_named(client: Client, ada: Person, image_id: str) -> None:
    answer = client.open(image_id, ada.token)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("id: ")


def test_an_image_that_is_not_there_is_not_found(client: Client, ada: Person) -> None:
    answer = client.open("no-such-image", ada.token)
    assert answer.status_code == 404
    assert answer.json()["error"]["status"] == "NOT_FOUND"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_an_image_is_only_ever_asked_for(client: Client, ada: Person, method: str) -> None:
    assert client.open("no-such-image", ada.token, method=method).status_code == 405


def bad_tokens(token: str) -> dict[str, str]:
    return {
        "expired": forged(token, exp=int(time.time()) - 1),
        "another project's": forged(token, aud="another-project"),
        "another issuer's": forged(token, iss="https://securetoken.google.com/another-project"),
        "nobody's": forged(token, sub=""),
        "garbage": "garbage",
        "cut": token[: len(token) // 2],
        "two dots": "a.b.c",
        "of an odd date": forged(token, exp="tomorrow"),
        "of an odd account": forged(token, sub="a/b", user_id="a/b"),
    }


KINDS = list(bad_tokens("e30.e30."))


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_token_opens_nothing(client: Client, ada: Person, kind: str) -> None:
    answer = client.open("no-such-image", bad_tokens(ada.token)[kind])
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "ID token" in answer.json()["error"]["message"]


# Deletion


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_token_deletes_nothing(client: Client, ada: Person, kind: str) -> None:
    token = bad_tokens(ada.token)[kind]
    error = refusal(lambda: client.call("delete_account", {"confirm": True}, token))
    assert (error.code, error.status) == (401, "UNAUTHENTICATED")
    assert client.document(f"users/{ada.uid}", ada.token).json()["fields"]["state"]["stringValue"] == "active"


def test_a_token_for_an_account_that_never_was_deletes_nothing(client: Client, ada: Person) -> None:
    token = forged(ada.token, sub="never-was", user_id="never-was")
    error = refusal(lambda: client.call("delete_account", {"confirm": True}, token))
    assert (error.status, error.message) == ("UNAUTHENTICATED", "Your sign-in no longer counts. Sign in again.")


@pytest.mark.parametrize("moment", ["yesterday", None, 10**18, -1])
def test_an_odd_time_of_sign_in_deletes_nothing(client: Client, ada: Person, moment: Any) -> None:
    token = forged(ada.token, auth_time=moment)
    error = refusal(lambda: client.call("delete_account", {"confirm": True}, token))
    assert error.status == "UNAUTHENTICATED"


def test_who_deletes_the_bare_account_first_still_gets_the_rest_deleted(stack: Stack, client: Client) -> None:
    person = client.join()
    wait_sealed(client, person, client.upload(person, PHOTO))
    url = f"{stack.auth_url}/identitytoolkit.googleapis.com/v1/accounts:delete?key=any"
    assert httpx.post(url, json={"idToken": person.token}, timeout=30).is_success
    receipt = {"receipt": client.call("delete_account", {"confirm": True}, person.token)["receipt"]}
    wait_for("the certificate", lambda: client.call("receipt", receipt).get("certificate"), 60)
    assert scan(stack, {"account id": person.uid.encode()}) == []


def test_a_deletion_wants_a_fresh_sign_in(client: Client, ada: Person) -> None:
    stale = forged(ada.token, auth_time=int(time.time()) - 301)
    error = refusal(lambda: client.call("delete_account", {"confirm": True}, stale))
    assert error.status == "FAILED_PRECONDITION"
    assert "Sign in again" in error.message


@pytest.mark.parametrize(
    "data", [{}, {"confirm": False}, {"confirm": "true"}, {"confirm": 1}, {"confirm": True, "uid": "x"}, None]
)
def test_a_deletion_wants_a_plain_confirmation(client: Client, ada: Person, data: Any) -> None:
    assert refusal(lambda: client.call("delete_account", data, ada.token)).status == "INVALID_ARGUMENT"


def test_a_deletion_without_signing_in_is_refused(client: Client) -> None:
    assert refusal(lambda: client.call("delete_account", {"confirm": True})).status == "UNAUTHENTICATED"


@pytest.mark.parametrize("receipt", ["", "x", "0" * 64 + "." + "0" * 64, "../" * 20, "é"])
def test_a_receipt_that_is_none_of_ours_is_not_found(client: Client, receipt: str) -> None:
    error = refusal(lambda: client.call("receipt", {"receipt": receipt}))
    assert (error.code, error.status) == (404, "NOT_FOUND")


def test_asked_twice_and_after_its_end_a_deletion_is_one(stack: Stack, client: Client) -> None:
    person = client.join()
    answers = [client.call("delete_account", {"confirm": True}, person.token) for _ in range(3)]
    assert len({json.dumps(answer) for answer in answers}) == 1
    receipt = {"receipt": answers[0]["receipt"]}
    first = wait_for("the certificate", lambda: client.call("receipt", receipt).get("certificate"), 60)
    assert client.call("delete_account", {"confirm": True}, person.token) == answers[0]
    assert client.call("receipt", receipt)["certificate"] == first
    jobs = firestore.Client(project=stack.project).collection("erasures")
    assert person.uid not in repr(jobs.document(answers[0]["requestId"]).get().to_dict())


def test_the_same_address_may_come_back_as_somebody_new(client: Client) -> None:
    person = client.join()
    receipt = {"receipt": client.call("delete_account", {"confirm": True}, person.token)["receipt"]}
    wait_for("the certificate", lambda: client.call("receipt", receipt).get("certificate"), 60)
    again = client.join(person.email)
    assert again.uid != person.uid
    assert client.document(f"users/{again.uid}", again.token).status_code == 200
