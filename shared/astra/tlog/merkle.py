"""RFC 6962 Merkle trees: hashes, roots, proofs and their verification.

A tree of `size` leaves is known by its tiles (https://c2sp.org/tlog-tiles): tile `n` of level `l` holds up to 256
hashes, each of a complete subtree of 256**l leaves. Whatever a proof needs is the hash of a range of leaves, and every
such range falls apart into complete subtrees, each within one tile.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

WIDTH: Final = 256
"""Hashes in a full tile."""
HASH: Final = 32
_TILE_HEIGHT: Final = 8

Read = Callable[[int, int, int], bytes]
"""Answers the tile of (level, index, width): `width` hashes after each other."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node."""
    return hashlib.sha256(b"\1" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root of a tree of these leaf hashes, or of complete subtrees of one size: the same for both."""
    if not hashes:
        return hashlib.sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    left = _split(len(hashes))
    return node_hash(fold(hashes[:left]), fold(hashes[left:]))


def width(size: int, level: int, index: int) -> int:
    """How many hashes tile `index` of `level` holds in a tree of `size` leaves."""
    return max(0, min(WIDTH, (size >> (_TILE_HEIGHT * level)) - index * WIDTH))


class Tree:
    """The tree of the first `size` leaves, whose tiles `read` answers."""

    def __init__(self, size: int, read: Read) -> None:
        self.size = size
        self._read = read

    def root(self) -> bytes:
        """The hash of the whole."""
        return self._range(0, self.size)

    def inclusion(self, index: int) -> list[bytes]:
        """The proof that leaf `index` is in the tree, from the leaf's sibling to the root's child."""
        if not 0 <= index < self.size:
            raise IndexError("the tree has no such leaf")
        proof, first, end = [], 0, self.size
        while end - first > 1:
            middle = first + _split(end - first)
            if index < middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(first, middle))
                first = middle
        return proof[::-1]

    def consistency(self, old: int) -> list[bytes]:
        """The proof that the tree of the first `old` leaves, at least one, is the beginning of this one."""
        if not 0 < old <= self.size:
            raise IndexError("the tree has no such beginning")
        proof, first, end, whole = [], 0, self.size, True
        # `whole`: the old tree still begins where the range does, so its root is known to whoever verifies.
        while old != end:
            middle = first + _split(end - first)
            if old <= middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(first, middle))
                first, whole = middle, False
        return proof[::-1] if whole else [self._range(first, end), *proof[::-1]]

    def _range(self, first: int, end: int) -> bytes:
        if first == end:
            return fold(())
        length = end - first
        if length & (length - 1) == 0 and first % length == 0:
            return self._complete(first, length.bit_length() - 1)
        middle = first + _split(length)
        return node_hash(self._range(first, middle), self._range(middle, end))

    def _complete(self, first: int, height: int) -> bytes:
        """The hash of the complete subtree of 2**height leaves that begins at leaf `first`."""
        level, within = divmod(height, _TILE_HEIGHT)
        index, offset = divmod(first >> (_TILE_HEIGHT * level), WIDTH)
        tile = self._read(level, index, width(self.size, level, index))
        return fold([tile[(offset + i) * HASH : (offset + i + 1) * HASH] for i in range(1 << within)])


def proves_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that the leaf of hash `leaf` is at `index` in the tree of `size` leaves and this root."""
    if not 0 <= index < size:
        return False
    node, last = leaf, size - 1
    for sibling in proof:
        if last == 0:
            return False
        if index & 1 or index == last:
            node = node_hash(sibling, node)
            while not index & 1 and index:  # rightmost, and without a sibling on these levels
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and node == root


def proves_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether `proof` shows that the tree of `old` leaves is the beginning of the tree of `new` leaves."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == fold(())
    if not 0 < old < new or not proof:
        return False
    hashes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    index, last = old - 1, new - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and (first, second) == (old_root, new_root)


def _split(length: int) -> int:
    """The largest power of two below `length`: where RFC 6962 divides a range."""
    return 1 << ((length - 1).bit_length() - 1)
