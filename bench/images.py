"""The uploads codebase end to end, over the real stores: sealing and opening, in time and memory."""

import io
import os
import resource
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from local.paths import ROOT
from local.stack import Stack

_ROUNDS = 9
_MIB = 1024 * 1024


def run() -> Iterator[str]:
    """Starts what it needs of the local stack, and stops it."""
    with Stack(only=("auth", "firestore", "storage"), offset=200, timer=None) as stack:
        environment = os.environ | stack.environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'functions/uploads'}"}
        for part in ("pipeline", "opening", "seal 1", "seal 10", "seal 50", "open 1", "open 10", "open 50"):
            # A process each: the peak of memory is a process's own.
            command = [sys.executable, "-m", "bench.images", *part.split()]
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            yield from (line for line in done.stdout.splitlines() if not line.startswith("{"))


class Bench:
    """One person and the handlers' collaborators."""

    def __init__(self) -> None:
        from astra.platform import Platform  # noqa: PLC0415
        from astra.settings import SealingSettings  # noqa: PLC0415

        self.platform: Any = Platform(SealingSettings)
        self.uid = secrets.token_hex(14)
        self.platform.__dict__["bucket"] = self.platform.bucket.client.bucket("bench")
        self.platform.db.document(f"users/{self.uid}").set({"state": "active"})

    def put(self, content: bytes) -> Any:
        blob = self.platform.bucket.blob(f"incoming/{self.uid}/{secrets.token_hex(8)}")
        blob.upload_from_file(io.BytesIO(content), size=len(content), content_type="image/jpeg")
        return blob

    def seal(self, blob: Any) -> str:
        import sealing  # noqa: PLC0415

        sealing.seal_upload(self.platform, blob.name, int(blob.generation), int(blob.size))
        return str(blob.name.rpartition("/")[2])

    def open(self, image_id: str) -> int:
        from flask import Flask  # noqa: PLC0415

        import opening  # noqa: PLC0415
        from astra.limits import Limits  # noqa: PLC0415

        opening._caller = lambda *_: self.uid  # tokens are Auth's affair: the same on both sides
        limits = Limits(self.platform.redis)
        with Flask("bench").test_request_context(f"/?id={image_id}") as context:
            response = opening.open_image(self.platform, limits, context.request)
            assert response.status_code == 200, response.data
            return sum(len(piece) for piece in response.response)


def photograph(megapixels: int) -> bytes:
    """A JPEG as a phone makes it: detail everywhere, 4:2:0, quality 90."""
    from PIL import Image  # noqa: PLC0415

    from local.story import PHOTOGRAPH  # noqa: PLC0415

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
    """The median of several rounds, taken in turn."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(_ROUNDS):
        for work, taken in zip(works, times, strict=True):
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
    return [statistics.median(taken) for taken in times]


def pipeline() -> Iterator[str]:
    """The whole event handler against a plain copy of the object with a bare decode and encode between."""
    from PIL import Image  # noqa: PLC0415

    bench = Bench()
    for megapixels in (2, 12):
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
            f"bench seal-pipeline-{megapixels}MP: {ours * 1000:.0f} ms"
            f" (baseline {theirs * 1000:.0f} ms copy, decode, encode, ratio {ours / theirs:.2f})"
        )


def opening() -> Iterator[str]:
    """The whole function against a plain download of the same object."""
    bench = Bench()
    for mebibytes in (1, 10, 48):
        image_id = bench.seal(bench.put(noise_png(mebibytes)))
        blob = bench.platform.bucket.blob(f"images/{bench.uid}/{image_id}")
        ours, theirs = best(lambda: bench.open(image_id), blob.download_as_bytes)
        yield (
            f"bench open-image-{mebibytes}MiB: {ours * 1000:.1f} ms"
            f" (baseline {theirs * 1000:.1f} ms plain download, ratio {ours / theirs:.2f})"
        )


def memory(what: str, mebibytes: int) -> Iterator[str]:
    """Peak memory of one operation over that of the process just before it, and before that of a tiny image."""
    bench = Bench()
    tiny, large = bench.put(noise_png(1)[:0] or photograph(1)), bench.put(noise_png(min(mebibytes, 48)))
    first = bench.seal(tiny)
    bench.open(first)
    if what == "open":
        # Sealed elsewhere, so that this process has not grown by it.
        command = [
            sys.executable,
            "-c",
            f"from bench.images import Bench; b=Bench(); b.uid={bench.uid!r};"
            f" b.seal(b.platform.bucket.get_blob({large.name!r}))",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if what == "seal":
        bench.seal(large)
    else:
        bench.open(large.name.rpartition("/")[2])
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    yield (
        f"bench {what}-memory-{mebibytes}MiB: {grown:.1f} MiB growth"
        f" (baseline {before / 1024:.0f} MiB process, ratio {1 + grown * 1024 / before:.2f})"
    )


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    lines = {"pipeline": pipeline, "opening": opening}[verb]() if not rest else memory(verb, int(rest[0]))
    for line in lines:
        print(line, flush=True)
