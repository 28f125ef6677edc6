"""Signed notes and checkpoints, after C2SP signed-note and tlog-checkpoint.

A key that verifies is written as one line, `name+key id+base64`, which is what a reader of the log is given.
"""

import base64
import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from astra.runtime.log import Inconsistent

_ED25519: Final = b"\1"
_KEY_ID_BYTES: Final = 4
_HASH_BYTES: Final = 32
_NAME: Final = re.compile(r"[^\s+]+")
_SIGNATURE: Final = re.compile(rf"— ({_NAME.pattern}) (\S+)")
_CHECKPOINT: Final = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,17})\n([^\n]+)")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
_MAX_NOTE_BYTES: Final = 64 * 1024
"""A longer note is refused."""


class BadNote(Inconsistent):
    """It is no note, no checkpoint of this log, or not signed by a known key."""


@dataclass(frozen=True)
class Verifier:
    """The public half of a key, under the name that it signs with."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, line: str) -> Self:
        """`line` is `name+key id+base64`. Raises ValueError."""
        name, _, rest = line.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = decoded(encoded)
        if not _NAME.fullmatch(name) or raw[:1] != _ED25519 or len(raw) != 1 + _HASH_BYTES:
            raise ValueError("not an Ed25519 verifier key")
        found = cls(name, raw[1:])
        if found.key_id.hex() != key_id:
            raise ValueError("the key id does not belong to the key")
        return found

    @property
    def key_id(self) -> bytes:
        """Four bytes by which a signature names its key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"


@dataclass(frozen=True)
class Signer:
    """Signs notes under a name. Ed25519 is deterministic: the same text is the same note."""

    name: str
    key: Ed25519PrivateKey

    @classmethod
    def of(cls, name: str, secret: bytes) -> Self:
        """The signer of this name whose private key is these 32 bytes."""
        return cls(name, Ed25519PrivateKey.from_private_bytes(secret))

    @property
    def verifier(self) -> Verifier:
        """What its signatures are checked with."""
        return Verifier(self.name, self.key.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """The note of `text`, which ends with a newline."""
        signature = base64.b64encode(self.verifier.key_id + self.key.sign(text.encode())).decode()
        return f"{text}\n— {self.name} {signature}\n"


@dataclass(frozen=True)
class Checkpoint:
    """A tree's size and root, under the log's name."""

    origin: str
    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def signed_by(note: str, verifiers: Collection[Verifier]) -> Verifier:
    """Which of `verifiers` signed `note`. Raises BadNote if none did, or if a signature of a known key is wrong."""
    text, found, signatures = note.rpartition("\n\n")
    if not found or len(note) > _MAX_NOTE_BYTES or not note.endswith("\n") or _CONTROL.search(note):
        raise BadNote("not a signed note")
    signers = []
    for line in signatures.removesuffix("\n").split("\n"):
        written = _SIGNATURE.fullmatch(line)
        name, raw = (written[1], _of_note(written[2])) if written else ("", b"")
        if len(raw) <= _KEY_ID_BYTES:
            raise BadNote("not a signature line")
        for verifier in verifiers:
            if (name, raw[:_KEY_ID_BYTES]) == (verifier.name, verifier.key_id):
                try:
                    Ed25519PublicKey.from_public_bytes(verifier.public).verify(
                        raw[_KEY_ID_BYTES:], f"{text}\n".encode()
                    )
                except InvalidSignature:
                    raise BadNote("a signature is wrong") from None
                signers.append(verifier)
    if not signers:
        raise BadNote("not signed by a key of this log")
    return signers[0]


def checkpoint_of(note: str) -> Checkpoint:
    """What a checkpoint says, whoever signed it. Raises BadNote."""
    written = _CHECKPOINT.fullmatch(note.rpartition("\n\n")[0])
    if not written:
        raise BadNote("not a checkpoint")
    root = _of_note(written[3])
    if len(root) != _HASH_BYTES:
        raise BadNote("the root is not a SHA-256")
    return Checkpoint(written[1], int(written[2]), root)


def decoded(text: str) -> bytes:
    """Return the bytes of base64, if it is written as `base64.b64encode` does. Raise ValueError otherwise."""
    raw = base64.b64decode(text, validate=True)
    # The bits of the last letter that stand for no byte would make several texts of one.
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not base64 in its one way of writing")
    return raw


def _of_note(text: str) -> bytes:
    try:
        return decoded(text)
    except ValueError:
        raise BadNote("not base64") from None
