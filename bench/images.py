"""Benchmark: sealing and serving images end to end."""

import io
import os
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench import OFFSET
from local.paths import ROOT
from local.stack.stack import Stack

_ROUNDS = 15
_MIB = 1024 * 1024


def run() -> Iterator[str]:
    """Starts what it needs of the local stack, and stops it."""
    with Stack(only=("auth", "firestore", "storage"), offset=OFFSET, timer=None) as stack:
        environment = os.environ | stack.environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'functions/uploads'}"}
        memory = [f"memory {what} {mebibytes}" for what in ("seal", "open") for mebibytes in (1, 10, 48)]
        for part in ["pipeline", "opening", *memory]:
            # A process each: the peak of memory is a process's own.
            command = [sys.executable, "-m", "bench.images", *part.split()]
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            yield from (line for line in done.stdout.splitlines() if not line.startswith("{"))


class Bench:
    """One person and the handlers' collaborators."""

    def __init__(self) -> None:
        import requests  # noqa: PLC0415

        from astra.runtime.platform import Platform  # noqa: PLC0415
        from astra.vault.settings import SealingSettings  # noqa: PLC0415

        self.platform: Any = Platform(SealingSettings)
        account = requests.post(
            f"http://{os.environ['FIREBASE_AUTH_EMULATOR_HOST']}/identitytoolkit.googleapis.com/v1/accounts:signUp",
            params={"key": "any"},
            json={"email": f"{secrets.token_hex(8)}@example.com", "password": secrets.token_urlsafe()},
            timeout=30,
        ).json()
        self.uid, self.token = account["localId"], account["idToken"]
        self.platform.__dict__["bucket"] = self.platform.bucket.client.bucket("bench")
        self.platform.db.document(f"users/{self.uid}").set({"state": "active"})

    def put(self, content: bytes) -> Any:
        blob = self.platform.bucket.blob(f"incoming/{self.uid}/{secrets.token_hex(8)}")
        blob.upload_from_file(io.BytesIO(content), size=len(content), content_type="image/jpeg")
        return blob

    def seal(self, blob: Any) -> str:
        from uploads import seal as uploads_seal  # noqa: PLC0415

        uploads_seal.seal_upload(self.platform, blob.name, int(blob.generation), int(blob.size))
        return str(blob.name.rpartition("/")[2])

    def open(self, image_id: str) -> int:
        from flask import Flask  # noqa: PLC0415

        from uploads import serve  # noqa: PLC0415

        headers = {"Authorization": f"Bearer {self.token}"}
        with Flask("bench").test_request_context(f"/?id={image_id}", headers=headers) as context:
            response = serve.open_image(self.platform, context.request)
            assert response.status_code == 200, response.data
            return sum(len(piece) for piece in response.response)


def photograph(megapixels: int) -> bytes:
    """A JPEG as a phone makes it: detail everywhere, 4:2:0, quality 90."""
    from PIL import Image  # noqa: PLC0415

    from local.demo.customer_life import PHOTOGRAPH  # noqa: PLC0415

    width = int((megapixels * 1e6 * 4 / 3) ** 0.5)
    size = (width, width * 3 // 4)
    noise = Image.effect_noise(size, 12).convert("RGB")
    with Image.open(PHOTOGRAPH) as image:
        sink = io.BytesIO()
        Image.blend(image.convert("RGB").resize(size), noise, 0.15).save(sink, "JPEG", quality=90)
    return sink.getvalue()


def noise_png(mebibytes: int) -> bytes:
    """An image of about that many MiB, which no encoder can make smaller."""
    from PIL import Image  # noqa: PLC0415

    side = int((mebibytes * _MIB / 3) ** 0.5)
    sink = io.BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)).save(sink, "PNG", compress_level=0)
    return sink.getvalue()


def best(*works: Callable[[], object]) -> list[float]:
    """The best of several rounds, taken in turn: what the machine does besides hits all alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(_ROUNDS):
        for work, taken in zip(works, times, strict=True):
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
    return [min(taken) for taken in times]


def pipeline() -> Iterator[str]:
    """The whole event handler against a plain copy of the object with a bare decode and encode between."""
    from PIL import Image  # noqa: PLC0415

    bench = Bench()
    for megapixels in (2, 12, 24, 48):
        content = photograph(megapixels)
        waiting = iter([bench.put(content) for _ in range(_ROUNDS + 1)])
        bench.seal(next(waiting))
        source = bench.put(content)

        def bare() -> None:
            with Image.open(io.BytesIO(source.download_as_bytes())) as image:
                image.load()
                encoded = io.BytesIO()
                image.save(encoded, "JPEG", quality="keep")
            copy = bench.platform.bucket.blob(f"copies/{secrets.token_hex(8)}")
            copy.upload_from_file(encoded, rewind=True, size=encoded.tell(), if_generation_match=0)

        ours, theirs = best(lambda: bench.seal(next(waiting)), bare)
        yield (
            f"seal-pipeline-{megapixels}MP: {ours * 1000:.0f} ms"
            f" (baseline {theirs * 1000:.0f} ms copy, decode, encode, ratio {ours / theirs:.2f})"
        )


def opening() -> Iterator[str]:
    """The whole function against a plain download of the same object."""
    bench = Bench()
    for mebibytes in (1, 4, 10, 48):
        image_id = bench.seal(bench.put(noise_png(mebibytes)))
        blob = bench.platform.bucket.blob(f"images/{bench.uid}/{image_id}")
        ours, theirs = best(lambda: bench.open(image_id), blob.download_as_bytes)
        yield (
            f"open-image-{mebibytes}MiB: {ours * 1000:.1f} ms"
            f" (baseline {theirs * 1000:.1f} ms plain download, ratio {ours / theirs:.2f})"
        )


def prepare(what: str, mebibytes: int) -> Iterator[str]:
    """Whose they are, and the uploads of a small image and of a large one; sealed already if they are to be opened."""
    bench = Bench()
    blobs = [bench.put(photograph(1)), bench.put(noise_png(mebibytes))]
    if what == "open":
        for blob in blobs:
            bench.seal(blob)
    yield " ".join([bench.uid, bench.token, *(blob.name for blob in blobs)])


def memory(what: str, mebibytes: int) -> Iterator[str]:
    """By how much a process grows over what a small image needed. All is prepared in another, which may grow."""
    command = [sys.executable, "-m", "bench.images", "prepare", what, str(mebibytes)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    bench = Bench()
    bench.uid, bench.token, *names = done.stdout.splitlines()[-1].split()
    peaks = []
    for name in names:
        if what == "seal":
            bench.seal(bench.platform.bucket.get_blob(name))
        else:
            bench.open(name.rpartition("/")[2])
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    before, after = peaks
    yield (
        f"{what}-memory-{mebibytes}MiB: {after - before:.1f} MiB growth"
        f" (baseline {before:.0f} MiB process, ratio {after / before:.2f})"
    )


PARTS: dict[str, Callable[..., Iterator[str]]] = {
    "pipeline": pipeline,
    "opening": opening,
    "prepare": prepare,
    "memory": memory,
}

if __name__ == "__main__":
    part, *rest = sys.argv[1:]
    for line in PARTS[part](*(int(word) if word.isdigit() else word for word in rest)):
        print(line, flush=True)
