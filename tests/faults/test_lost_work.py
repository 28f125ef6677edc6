"""What the deployed functions do when an event, a task or a worker is lost. Nothing here is redelivered by hand."""

import io
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from astra import erasure
from astra.runtime.platform import Platform
from local.client import Client
from local.life import PHOTOGRAPH, wait_sealed
from local.scan import scan
from local.stack import Stack
from local.telling import wait_for


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
    at_work = workers("seal_upload")
    assert at_work
    for process in at_work:
        process.kill()
    wait_sealed(client, ada, image_id)
    incoming = f"incoming/{ada.uid}/"
    wait_for("the plaintext to go", lambda: not list(platform.bucket.list_blobs(prefix=incoming)) or None)
    assert client.open(image_id, ada.token).status_code == 200


def test_an_erasure_that_no_task_ever_asked_for_is_found(client: Client, platform: Platform[Any]) -> None:
    ada = client.join()
    erasure.begin(platform, ada.uid, platform.clock())
    receipt = {"receipt": platform.pseudonyms.receipt(platform.pseudonyms.of_uid(ada.uid))}
    wait_for("the certificate", lambda: client.call("receipt", receipt).get("certificate"), 60)


def test_damage_late_in_a_file_tears_the_answer_and_says_nothing_of_whose_it_was(
    stack: Stack, client: Client, platform: Platform[Any]
) -> None:
    ada = client.join()
    image_id = client.upload(ada, noise(2000, 1500), content_type="image/png")
    wait_sealed(client, ada, image_id)
    blob = platform.bucket.blob(f"images/{ada.uid}/{image_id}")
    damaged = bytearray(blob.download_as_bytes())
    damaged[-1000] ^= 1
    blob.upload_from_file(io.BytesIO(damaged), size=len(damaged))
    received = 0
    headers = {"Authorization": f"Bearer {ada.token}"}
    # The emulator does not pass on that the function hung up, so a silence is how a client sees it there.
    with (
        pytest.raises(httpx.TransportError),
        httpx.stream("GET", stack.function_url(f"open_image?id={image_id}"), headers=headers, timeout=5) as answer,
    ):
        assert answer.status_code == 200
        for piece in answer.iter_raw():
            received += len(piece)
    assert 0 < received < len(damaged)
    assert [finding for finding in scan(stack, {"account id": ada.uid.encode()}) if finding.store == "log"] == []


def test_a_crowd_asking_for_one_deletion_at_once_gets_one(client: Client) -> None:
    ada = client.join()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(client.call, "delete_account", {"confirm": True}, ada.token) for _ in range(20)]
    [receipt] = {answer.result()["receipt"] for answer in asked}
    wait_for("the certificate", lambda: client.call("receipt", {"receipt": receipt}).get("certificate"), 60)
