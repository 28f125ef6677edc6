"""What the deployed functions do when an event, a task or a worker is lost. Nothing here is redelivered by hand."""

import io
import secrets
import socket
from typing import Any

import psutil
import pytest
from PIL import Image

import erasing
from astra.platform import Platform
from local.client import Client
from local.scan import scan
from local.stack import Stack
from local.story import PHOTOGRAPH, wait_for, wait_sealed


def workers(function: str) -> list[psutil.Process]:
    """The processes of one deployed function."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FUNCTION_TARGET") == function:
                found.append(process)
        except psutil.Error:
            continue
    return found


def noise(width: int, height: int) -> bytes:
    sink = io.BytesIO()
    Image.frombytes("RGB", (width, height), secrets.token_bytes(width * height * 3)).save(sink, "PNG", compress_level=1)
    return sink.getvalue()


def test_a_worker_killed_while_sealing_leaves_an_image_in_the_end_and_no_plaintext(
    stack: Stack, client: Client, platform: Platform[Any]
) -> None:
    ada = client.join()
    wait_sealed(client, ada, client.upload(ada, PHOTOGRAPH.read_bytes()))  # so that there is a worker
    image_id = client.upload(ada, noise(3000, 2500), content_type="image/png")
    for process in workers("seal_upload"):
        process.kill()
    wait_sealed(client, ada, image_id)
    incoming = f"incoming/{ada.uid}/"
    wait_for("the plaintext to go", lambda: not list(platform.bucket.list_blobs(prefix=incoming)) or None)
    assert client.open(image_id, ada.token).status_code == 200


def test_an_erasure_that_no_task_ever_asked_for_is_found(client: Client, platform: Platform[Any]) -> None:
    ada = client.join()
    erasing.begin(platform, ada.uid, platform.clock())
    receipt = {"receipt": platform.pseudonyms.receipt(platform.pseudonyms.of_uid(ada.uid))}
    wait_for("the certificate", lambda: client.call("receipt", receipt).get("certificate"), 60)


def test_a_stream_torn_by_an_erasure_says_nothing_of_whose_it_was(stack: Stack, client: Client) -> None:
    ada = client.join()
    image_id = client.upload(ada, noise(3000, 2500), content_type="image/png")
    wait_sealed(client, ada, image_id)
    request = (
        f"GET /{stack.project}/{stack.region}/open_image?id={image_id} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {ada.token}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", stack.ports["functions"]), timeout=30) as slow:
        slow.sendall(request.encode())
        assert b"200 OK" in slow.recv(4096)
        receipt = {"receipt": client.call("delete_account", {"confirm": True}, ada.token)["receipt"]}
        wait_for("the certificate", lambda: client.call("receipt", receipt).get("certificate"), 60)
    assert [finding for finding in scan(stack, {"account id": ada.uid.encode()}) if finding.store == "log"] == []


@pytest.mark.parametrize("times", [20])
def test_a_crowd_asking_for_one_deletion_gets_one(client: Client, times: int) -> None:
    ada = client.join()
    answers = [client.call("delete_account", {"confirm": True}, ada.token) for _ in range(times)]
    assert len({answer["receipt"] for answer in answers}) == 1
    receipt = {"receipt": answers[0]["receipt"]}
    wait_for("the certificate", lambda: client.call("receipt", receipt).get("certificate"), 60)
