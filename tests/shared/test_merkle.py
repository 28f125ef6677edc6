"""RFC 6962 against the reference vectors of Certificate Transparency, and for every size of small trees."""

import functools
import hashlib

import pytest

import verify
from astra.tlog import merkle
from astra.tlog.merkle import Tree, fold, leaf_hash, proves_consistency, proves_inclusion

# The leaves, roots and proofs that every implementation of Certificate Transparency is tested with.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEFT = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
RIGHT = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
LAST = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
FIFTH = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
INCLUSION = [
    (0, 8, ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", LEFT, RIGHT]),
    (5, 8, [FIFTH, LAST, ROOTS[4]]),
    (2, 3, [ROOTS[2]]),
]
CONSISTENCY = [
    (1, 8, ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", LEFT, RIGHT]),
    (2, 5, [LEFT, FIFTH]),
    (2, 8, [LEFT, RIGHT]),
    (6, 8, ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", LAST, ROOTS[4]]),
]
REFERENCE = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]
MANY = [leaf_hash(str(number).encode()) for number in range(66_000)]


def tree(hashes: list[bytes], size: int) -> Tree:
    """The tree of the first `size` hashes, over tiles that are made when asked for."""

    @functools.cache
    def read(level: int, index: int, wide: int) -> bytes:
        span = 256**level
        tile = [
            fold(hashes[i * span : (i + 1) * span]) for i in range(index * 256, min(index * 256 + 256, size // span))
        ]
        assert len(tile) == wide, "a tile is asked for by its width in the tree"
        return b"".join(tile)

    return Tree(size, read)


@pytest.mark.parametrize("size", range(9))
def test_the_reference_roots(size: int) -> None:
    assert tree(REFERENCE, size).root().hex() == ROOTS[size]
    assert fold(REFERENCE[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION)
def test_the_reference_inclusion_proofs(index: int, size: int, proof: list[str]) -> None:
    assert [node.hex() for node in tree(REFERENCE, size).inclusion(index)] == proof
    siblings, root = list(map(bytes.fromhex, proof)), bytes.fromhex(ROOTS[size])
    assert proves_inclusion(REFERENCE[index], index, size, siblings, root)
    assert verify.root_above(REFERENCE[index], index, size, siblings) == root


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCY)
def test_the_reference_consistency_proofs(old: int, new: int, proof: list[str]) -> None:
    assert [node.hex() for node in tree(REFERENCE, new).consistency(old)] == proof
    roots = (bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]))
    assert proves_consistency(old, new, list(map(bytes.fromhex, proof)), *roots)


def test_every_leaf_of_every_small_tree_is_proved_and_nothing_else_is() -> None:
    for size in range(1, 40):
        root, grown = fold(MANY[:size]), tree(MANY, size)
        for index in range(size):
            proof = grown.inclusion(index)
            assert proves_inclusion(MANY[index], index, size, proof, root)
            assert not proves_inclusion(MANY[size], index, size, proof, root)
            assert not proves_inclusion(MANY[index], index, size, [*proof, root], root)
            assert not proves_inclusion(MANY[index], size, size, proof, root)
            for number in range(len(proof)):
                wrong = [*proof[:number], hashlib.sha256(proof[number]).digest(), *proof[number + 1 :]]
                assert not proves_inclusion(MANY[index], index, size, wrong, root)
                assert not proves_inclusion(MANY[index], index, size, proof[:number], root)


def test_every_small_tree_is_proved_to_begin_with_each_smaller_one_and_with_no_other() -> None:
    for new in range(1, 40):
        grown, root = tree(MANY, new), fold(MANY[:new])
        for old in range(1, new + 1):
            proof, before = grown.consistency(old), fold(MANY[:old])
            assert proves_consistency(old, new, proof, before, root)
            if old < new:
                other = fold([*MANY[: old - 1], MANY[-1]])
                assert not proves_consistency(old, new, proof, other, root)
                assert not proves_consistency(old, new, proof[:-1], before, root)
                assert not proves_consistency(old, new, [*proof, root], before, root)
                assert not proves_consistency(old, new, proof, before, other)
    assert proves_consistency(0, 5, [], fold(()), fold(MANY[:5]))
    assert not proves_consistency(0, 5, [], fold(MANY[:1]), fold(MANY[:5]))
    assert not proves_consistency(6, 5, [], fold(MANY[:6]), fold(MANY[:5]))


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 600, 65_535, 65_536, 65_537, 66_000])
def test_proofs_across_the_edges_of_tiles(size: int) -> None:
    grown, root = tree(MANY, size), fold(MANY[:size])
    assert grown.root() == root
    for index in (0, 255, 256, size // 2, size - 1):
        if index < size:
            assert proves_inclusion(MANY[index], index, size, grown.inclusion(index), root)
    for old in (1, 255, 256, 257, size // 2, size - 1):
        if old < size:
            assert proves_consistency(old, size, grown.consistency(old), fold(MANY[:old]), root)


def test_what_is_not_there_is_not_proved() -> None:
    for index in (-1, 8):
        with pytest.raises(IndexError):
            tree(REFERENCE, 8).inclusion(index)
    for old in (0, 9):
        with pytest.raises(IndexError):
            tree(REFERENCE, 8).consistency(old)


def test_the_widths_of_the_specifications_example() -> None:
    widths = {level: [merkle.width(70_000, level, index) for index in (0, 1, 272, 273, 274)] for level in range(3)}
    assert widths == {0: [256, 256, 256, 112, 0], 1: [256, 17, 0, 0, 0], 2: [1, 0, 0, 0, 0]}
