"""`open_image` as a browser or a video player asks it: whole, in ranges, conditionally, small."""

import io
import secrets
from typing import Any

import pytest
from PIL import Image

from astra.runtime.platform import Platform
from astra.vault import vault_of
from local.client import Client, Person
from local.life import PHOTOGRAPH, wait_sealed
from local.stack import Stack


class Gallery:
    """A person with a photograph of several chunks."""

    def __init__(self, stack: Stack) -> None:
        with Client(stack) as client:
            self.person: Person = client.join()
            self.image_id = client.upload(self.person, PHOTOGRAPH.read_bytes())
            self.record = wait_sealed(client, self.person, self.image_id)
            self.whole = client.open(self.image_id, self.person.token).content


@pytest.fixture(scope="module")
def ada(stack: Stack) -> Gallery:
    return Gallery(stack)


def ask(client: Client, ada: Gallery, **headers: str) -> Any:
    return client.open(ada.image_id, ada.person.token, **{name.replace("_", "-"): v for name, v in headers.items()})


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-16383", 0, 16384),
        ("bytes=16383-16384", 16383, 16385),
        ("bytes=20000-99999", 20000, 100_000),
        ("bytes=100-", 100, None),
        ("bytes=-1", -1, None),
        ("bytes=-20000", -20000, None),
        ("bytes=5000-99999999", 5000, None),
        ("bytes=-99999999", 0, None),
    ],
)
def test_a_range_is_answered_with_exactly_its_bytes(
    client: Client, ada: Gallery, asked: str, start: int, stop: int | None
) -> None:
    size, expected = len(ada.whole), ada.whole[start:stop]
    answer = ask(client, ada, Range=asked)
    assert answer.content == expected
    assert int(answer.headers["Content-Length"]) == len(expected)
    if len(expected) == size:
        assert answer.status_code == 200
    else:
        first = start % size
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{size}"


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=114171-114171", "bytes=99999999-999999999"])
def test_a_range_behind_the_end_is_refused_with_the_size(client: Client, ada: Gallery, asked: str) -> None:
    answer = ask(client, ada, Range=asked.replace("114171", str(len(ada.whole))))
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(ada.whole)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=0-1", "bytes=5-2", "bytes", "bytes=a-b", "bytes=-0", ""])
def test_what_is_no_single_range_gets_the_whole(client: Client, ada: Gallery, asked: str) -> None:
    answer = ask(client, ada, Range=asked)
    assert (answer.status_code, answer.content) == (200, ada.whole)


def test_an_entity_tag_saves_the_bytes(client: Client, ada: Gallery) -> None:
    tag = ask(client, ada).headers["ETag"]
    again = ask(client, ada, If_None_Match=tag)
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert ask(client, ada, If_None_Match='"another"').content == ada.whole
    assert ask(client, ada, If_Range=tag, Range="bytes=0-9").status_code == 206
    assert ask(client, ada, If_Range='"another"', Range="bytes=0-9").status_code == 200
    assert client.open(ada.image_id, ada.person.token, size="thumb").headers["ETag"] != tag


def test_tags_are_compared_weakly_to_save_and_strongly_to_join(client: Client, ada: Gallery) -> None:
    """RFC 9110: `If-None-Match` asks whether anything is new, `If-Range` whether the parts fit together."""
    tag = ask(client, ada).headers["ETag"]
    for same in (f"W/{tag}", f'"another", W/{tag}', "*"):
        assert ask(client, ada, If_None_Match=same).status_code == 304
    for unlike in (f"W/{tag}", tag.strip('"'), "Wed, 21 Oct 2065 07:28:00 GMT"):
        answer = ask(client, ada, If_Range=unlike, Range="bytes=0-9")
        assert (answer.status_code, answer.content) == (200, ada.whole)


def test_the_thumbnail_is_small_upright_and_its_owners(client: Client, ada: Gallery) -> None:
    answer = client.open(ada.image_id, ada.person.token, size="thumb")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/webp")
    with Image.open(io.BytesIO(answer.content)) as thumb:
        assert thumb.size == (320, 214)
    assert int(ada.record["thumbBytes"]) == len(answer.content)
    part = client.open(ada.image_id, ada.person.token, size="thumb", Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, answer.content[10:20])
    assert client.open(ada.image_id, client.join().token, size="thumb").status_code == 404
    wrong = client.open(ada.image_id, ada.person.token, size="gigantic")
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (400, "size: full or thumb.")


def test_a_head_says_what_a_get_would_bring(client: Client, ada: Gallery) -> None:
    head, get = client.open(ada.image_id, ada.person.token, method="HEAD"), ask(client, ada)
    assert head.status_code == 200
    assert head.content == b""
    for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("token", ["owner", None], ids=["image", "refusal"])
def test_every_answer_carries_the_security_headers(client: Client, ada: Gallery, token: str | None) -> None:
    headers = client.open(ada.image_id, ada.person.token if token else None).headers
    assert headers["Cache-Control"] == "private, no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["Strict-Transport-Security"].startswith("max-age=")
    assert headers["Referrer-Policy"] == "no-referrer"


def test_a_sealed_object_under_another_name_or_damaged_is_not_found(
    client: Client, platform: Platform[Any], ada: Gallery
) -> None:
    sealed = platform.bucket.blob(f"images/{ada.person.uid}/{ada.image_id}").download_as_bytes()
    damaged = bytearray(sealed)
    damaged[100] ^= 1
    other = client.upload(ada.person, PHOTOGRAPH.read_bytes())
    wait_sealed(client, ada.person, other)
    for content in (sealed, bytes(damaged), b"", b"ASTR", sealed[:1000]):
        platform.bucket.blob(f"images/{ada.person.uid}/{other}").upload_from_string(content)
        assert client.open(other, ada.person.token).status_code == 404
        assert client.open(other, ada.person.token, Range="bytes=0-9").status_code == 404


def test_a_destroyed_key_closes_a_warm_function_at_once(client: Client, platform: Platform[Any], ada: Gallery) -> None:
    image_id = client.upload(ada.person, PHOTOGRAPH.read_bytes())
    wait_sealed(client, ada.person, image_id)
    assert client.open(image_id, ada.person.token).status_code == 200
    vault_of(platform).destroy_object(ada.person.uid, image_id)
    for size in ("full", "thumb"):
        assert client.open(image_id, ada.person.token, size=size).status_code == 404


def test_a_large_image_comes_back_whole(client: Client, ada: Gallery) -> None:
    noise = Image.frombytes("RGB", (3000, 2000), secrets.token_bytes(3000 * 2000 * 3))
    sink = io.BytesIO()
    noise.save(sink, "PNG", compress_level=1)
    assert len(sink.getvalue()) > 16 * 1024 * 1024
    image_id = client.upload(ada.person, sink.getvalue(), content_type="image/png")
    record = wait_sealed(client, ada.person, image_id)
    answer = client.open(image_id, ada.person.token)
    assert len(answer.content) == int(record["bytes"])
    with Image.open(io.BytesIO(answer.content)) as opened:
        assert opened.tobytes() == noise.tobytes()
    part = client.open(image_id, ada.person.token, Range="bytes=9000000-9000999")
    assert part.content == answer.content[9_000_000:9_001_000]
