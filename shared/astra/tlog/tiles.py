"""The log's tiles in Storage, after C2SP tlog-tiles.

Why a tree can only grow: a tile is written once, on condition that nothing is there; where something is, it must be
the same bytes. What is appended to is first compared with the root that was witnessed, hash by hash, and so is every
entry of the bundle that goes on; whoever changed one of them is told by Tampered, and nothing is written.
"""

import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from google.api_core.exceptions import NotFound, PreconditionFailed

from astra.runtime.log import Inconsistent
from astra.tlog.merkle import HASH, WIDTH, Tree, fold, leaf_hash, width
from astra.tlog.signed_note import BadNote, Checkpoint, checkpoint_of

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

PREFIX: Final = "log/"
ENTRIES: Final = -1
"""In place of a level: the bundles of entries."""
_THREADS: Final = 8
_TEXT_TYPE: Final = "text/plain; charset=utf-8"
_BYTES_TYPE: Final = "application/octet-stream"


class Tampered(Inconsistent):
    """What is stored is not what was witnessed. The message says where, and holds no data."""


def path(level: int, index: int, wide: int) -> str:
    """The name of a tile below the log's prefix."""
    digits = f"{index:0{-(-len(str(index)) // 3) * 3}d}"
    *before, last = (digits[i : i + 3] for i in range(0, len(digits), 3))
    parts = "/".join([*(f"x{part}" for part in before), last])
    partial = "" if wide == WIDTH else f".p/{wide}"
    return f"tile/{'entries' if level == ENTRIES else level}/{parts}{partial}"


def bundle(entries: Sequence[bytes]) -> bytes:
    """Entries after each other, each behind its length."""
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def unbundle(content: bytes) -> Iterator[bytes]:
    """The entries of a bundle; raises Tampered if it is cut off."""
    at = 0
    while at < len(content):
        end = at + 2 + int.from_bytes(content[at : at + 2], "big")
        if end > len(content) or at + 2 > len(content):
            raise Tampered("a bundle of entries is cut off")
        yield content[at + 2 : end]
        at = end


class Tiles:
    """The tiles of one log. What was read or written is kept for the life of the object."""

    def __init__(self, bucket: "Bucket") -> None:
        self._bucket = bucket
        self._known: dict[str, bytes] = {}

    def tree(self, size: int) -> Tree:
        """The tree of the first `size` entries, as the tiles have it."""
        return Tree(size, self.read)

    def read(self, level: int, index: int, wide: int) -> bytes:
        """A tile's hashes, or a bundle's bytes; raises Tampered if it is missing or of another width."""
        name = path(level, index, wide)
        if name not in self._known:
            try:
                content = self._bucket.blob(PREFIX + name).download_as_bytes()
            except NotFound:
                raise Tampered(f"{name} is missing") from None
            if level != ENTRIES and len(content) != wide * HASH:
                raise Tampered(f"{name} is of another width")
            self._known[name] = content
        return self._known[name]

    def entries(self, first: int, size: int) -> Iterator[bytes]:
        """The entries from the bundle of entry `first` on, in a tree of `size`."""
        for index in range(first // WIDTH, -(-size // WIDTH)):
            wide = width(size, 0, index)
            found = list(unbundle(self.read(ENTRIES, index, wide)))
            if len(found) != wide:
                raise Tampered(f"{path(ENTRIES, index, wide)} holds another number of entries")
            yield from found

    def extend(self, old: Checkpoint, new: Sequence[bytes]) -> bytes:
        """Write all tiles of the tree that `new` entries make of the `old` one. Answers its root; raises Tampered."""
        if self.tree(old.size).root() != old.root:
            raise Tampered("the tiles are not those of the witnessed tree")
        kept = list(self.entries(old.size, old.size)) if old.size % WIDTH else []
        hashes = [leaf_hash(entry) for entry in (*kept, *new)]
        edge = old.size // WIDTH
        if kept and b"".join(hashes[: len(kept)]) != self.read(0, edge, len(kept)):
            raise Tampered("the last entries are not those of the witnessed tree")
        size = old.size + len(new)
        written = dict(self._chunks(ENTRIES, edge, [*kept, *new]))
        level, index = 0, edge
        while hashes:
            written |= self._chunks(level, index, hashes)
            # A full tile is one hash of the level above, whose own last tile goes on from what it holds so far.
            full = [fold(hashes[i : i + WIDTH]) for i in range(0, len(hashes) - WIDTH + 1, WIDTH)]
            level, before = level + 1, index
            index = before // WIDTH
            held = width(old.size, level, index)
            if not full:
                break
            tile = self.read(level, index, held) if held else b""
            hashes = [tile[i : i + HASH] for i in range(0, len(tile), HASH)] + full
        with ThreadPoolExecutor(_THREADS) as hands:
            list(hands.map(self._write, written, written.values()))
        return self.tree(size).root()

    def checkpoint(self) -> str | None:
        """The last checkpoint that was published."""
        try:
            return str(self._bucket.blob(f"{PREFIX}checkpoint").download_as_bytes().decode(errors="replace"))
        except NotFound:
            return None

    def publish(self, note: str) -> None:
        """Put a checkpoint where readers find it, unless there is one of a larger tree: its publisher was overtaken."""
        blob = self._bucket.get_blob(f"{PREFIX}checkpoint") or self._bucket.blob(f"{PREFIX}checkpoint")
        present = blob.generation or 0
        with suppress(BadNote, NotFound):
            if (
                present
                and checkpoint_of(blob.download_as_bytes().decode(errors="replace")).size > checkpoint_of(note).size
            ):
                return
        blob.cache_control = "no-store"
        with suppress(PreconditionFailed):
            blob.upload_from_string(note, _TEXT_TYPE, if_generation_match=present)

    def _chunks(self, level: int, index: int, items: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
        for first in range(0, len(items), WIDTH):
            chunk = items[first : first + WIDTH]
            content = bundle(chunk) if level == ENTRIES else b"".join(chunk)
            yield path(level, index + first // WIDTH, len(chunk)), content

    def _write(self, name: str, content: bytes) -> None:
        blob = self._bucket.blob(PREFIX + name)
        try:
            blob.upload_from_string(content, _BYTES_TYPE, if_generation_match=0)
        except PreconditionFailed:
            # From a run that broke off, or from somebody who is not us.
            if blob.download_as_bytes() != content:
                raise Tampered(f"{name} is there already, and is another") from None
        self._known[name] = content
