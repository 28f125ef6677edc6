"""Benchmark: the erasure of an account over the real stores.

Each contender deletes an equal tree in a process of its own that has deleted a smaller one before: the clock runs
beside the deletion alone.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from bench import OFFSET, trees
from local.paths import ROOT
from local.stack.stack import Stack

#: The shorter it takes, the more a busy moment of the machine weighs.
_ROUNDS = {1_000: 7, 10_000: 3, 100_000: 1}
#: The bare loop takes minutes for more: in the emulator a query costs as much as there is left, whatever its limit.
#: So does recursiveDelete, left to its own pace.
_PATIENCE = 10_000
_WARM = 1_000
_PAGE = 490
_KILLED_AT = 12
#: Constant reads and writes that an erasure may need besides the documents.
_CONSTANT = 60

_OURS = [sys.executable, "-m", "bench.erasers"]
_NODE = ["node", "bench/recursive_delete.mjs"]
_CONTENDERS = {
    "ours": [*_OURS, "ours"],
    "bare loop": [*_OURS, "bare"],
    "recursiveDelete unthrottled": [*_NODE, "unthrottled"],
    "recursiveDelete": [*_NODE, "throttled"],
}
_SLOW = ("bare loop", "recursiveDelete")


def run() -> Iterator[str]:
    """Starts what it needs of the local stack, and stops it."""
    with Stack(only=("auth", "firestore", "storage"), offset=OFFSET, timer=None) as stack:
        environment = os.environ | stack.environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'functions/erasure'}"}
        command = [sys.executable, "-m", "bench.erase"]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as measuring:
            assert measuring.stdout
            yield from (line.rstrip() for line in measuring.stdout)
        assert measuring.returncode == 0


def speed(platform: Any) -> Iterator[str]:
    """The engine against its rivals, and how much memory it needs for ten times as much."""
    peaks = {}
    for documents, rounds in _ROUNDS.items():
        taken_by, peaks[documents] = _race(platform, documents, rounds)
        ours = documents / taken_by.pop("ours")
        for rival, taken in taken_by.items():
            name = "-vs-node" * ("recursive" in rival) + "-unthrottled" * ("un" in rival)
            yield (
                f"erase-{documents // 1000}k{name}: {ours:.0f} documents/s"
                f" (baseline {documents / taken:.0f} documents/s {rival}, ratio {ours * taken / documents:.2f})"
            )
    less, more = peaks[10_000], peaks[100_000]
    yield f"erase-memory-100k: {more:.1f} MiB (baseline {less:.1f} MiB for a tenth of it, ratio {more / less:.2f})"


def _race(platform: Any, documents: int, rounds: int) -> tuple[dict[str, float], float]:
    """The median seconds of each contender, taken in turn, and the peak of the engine's process in MiB."""
    rounds_of: dict[str, list[float]] = {}
    peaks = []
    for turn in range(rounds):
        for name, command in _CONTENDERS.items():
            throttled = name == "recursiveDelete"  # at a fixed pace, whatever the machine: one round will do
            if (throttled and turn) or (name in _SLOW and documents > _PATIENCE):
                continue
            warm = trees.plant(platform, 1 if throttled else _WARM)
            *_, (taken, *peak) = _answers([*command, warm, trees.plant(platform, documents)])
            rounds_of.setdefault(name, []).append(taken)
            peaks += peak
    return {name: statistics.median(times) for name, times in rounds_of.items()}, min(peaks)


def wire(platform: Any) -> Iterator[str]:
    """What leaves for Firestore a document; the constant part is what a lone profile takes."""
    lone, many = 1, 10_000
    (constant,), (whole,) = (_answers([*_OURS, "counted", trees.plant(platform, size)]) for size in (lone, many))
    for what, bound, few, all_of_them in zip(("reads", "writes"), (1.1, 1.05), constant, whole, strict=True):
        each = (all_of_them - few) / (many - lone)
        yield f"erase-{what}-10k: {each:.4f} {what} a document (baseline {bound} at most, ratio {each / bound:.2f})"
        yield f"erase-constant-{what}: {few} {what} (baseline {_CONSTANT} at most, ratio {few / _CONSTANT:.2f})"


def resume(platform: Any) -> Iterator[str]:
    """Killed just as a page leaves, and finished by another process after the lease."""
    documents = 10_000
    uid, issued = trees.plant(platform, documents), 0
    with subprocess.Popen([*_OURS, "announced", uid, "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout
        for page, (deletes,) in enumerate(_parsed(worker.stdout)):
            issued += deletes
            if page == _KILLED_AT:
                worker.send_signal(signal.SIGKILL)
    assert worker.returncode == -signal.SIGKILL
    issued += sum(deletes for (deletes,) in _answers([*_OURS, "announced", uid, "1"]))
    assert not platform.db.document(f"users/{uid}").get().exists
    again = issued - documents
    yield f"erase-resume-10k: {again} deletes repeated (baseline {_PAGE} a page, ratio {again / _PAGE:.2f})"


def _answers(command: list[str]) -> list[Any]:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return list(_parsed(done.stdout.splitlines()))


def _parsed(lines: Iterable[str]) -> Iterator[Any]:
    return (json.loads(line) for line in lines if line.startswith("["))  # the engine logs between them


if __name__ == "__main__":
    from bench import erasers

    for part in (speed, wire, resume):
        for line in part(erasers.platform()):
            print(line, flush=True)
