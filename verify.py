"""Checks receipts of the transparency log, offline. Needs Python and the package `cryptography`; nothing else of ours.

    python verify.py receipt.json --key 'astra-engineering.co/log+1a2b3c4d+AX…'

The file is what the function `receipt` answers, {"certificate": {…}, "proof": "…"}, or the evidence that
`python -m astra.audit export` writes. The key is the log's, as published; give --key several times if the log has had
several. Exits 0 only if everything in the file was proved, and what it says beside a proof is what the proof says.

What is checked, for a record (a certificate, say) and its proof:
  1. the commitment is SHA-256(nonce || record as canonical JSON),
  2. the leaf is {action, actor, at, commitment} as canonical JSON, hashed as RFC 6962 says,
  3. the hashes in the proof lead from the leaf to the root (RFC 6962),
  4. the root is in a checkpoint that the log's key has signed (https://c2sp.org/signed-note).
That the record is true is not checked: only that it was logged, as it is, and can't have been changed since.
"""

import argparse
import base64
import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class NotProved(Exception):
    """The message says what does not hold."""


def canonical(value: Any) -> bytes:
    """Canonical JSON (RFC 8785) of a value without fractions."""

    def ordered(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {name: ordered(inner[name]) for name in sorted(inner, key=lambda name: name.encode("utf-16-be"))}
        if isinstance(inner, list):
            return [ordered(item) for item in inner]
        if isinstance(inner, float):
            raise NotProved("a record of the log holds no fractions")
        return inner

    return json.dumps(ordered(value), ensure_ascii=False, separators=(",", ":")).encode()


def sha256(*parts: bytes) -> bytes:
    """The hash of all parts."""
    return hashlib.sha256(b"".join(parts)).digest()


def verify(record: Any, proof: str, keys: list[str]) -> dict[str, Any]:
    """What the log says of `record`: action, at, actor, commitment, index, size. Raises NotProved."""
    try:
        head, checkpoint = proof.split("\n\n", 1)
        header, extra_line, index_line, *path = head.split("\n")
        if header != "c2sp.org/tlog-proof@v1" or not extra_line.startswith("extra ") or index_line[:6] != "index ":
            raise NotProved("this is no proof of this log")
        extra = json.loads(base64.b64decode(extra_line[6:], validate=True))
        index, nonce = int(index_line[6:]), base64.b64decode(extra.pop("nonce"), validate=True)
        siblings = [base64.b64decode(line, validate=True) for line in path]
        size, root = signed_root(checkpoint, keys)
    except (ValueError, KeyError, AttributeError, TypeError):
        raise NotProved("this is no proof of this log") from None
    said = {**extra, "commitment": sha256(nonce, canonical(record)).hex()}
    leaf = canonical(said)
    if root_above(sha256(b"\0", leaf), index, size, siblings) != root:
        raise NotProved("the record is not what was logged")
    return {"action": None, "at": None, "actor": None, **said, "index": index, "size": size}


def compare(entry: dict[str, Any], found: dict[str, Any]) -> None:
    """Raise NotProved if exported evidence says beside a proof what the proof does not say: people read that."""
    for name in ("index", "action", "at", "actor", "commitment"):
        if name in entry and entry[name] != found[name]:
            raise NotProved(f"the evidence says another {name} than the log")


def root_above(node: bytes, index: int, size: int, siblings: list[bytes]) -> bytes:
    """The root of the tree of `size` leaves in which `siblings` lie beside the way up from leaf `index`."""
    if not 0 <= index < size:
        raise NotProved("the index is outside the tree")
    last = size - 1
    for sibling in siblings:
        if last == 0:
            raise NotProved("the proof is too long")
        if index & 1 or index == last:
            node = sha256(b"\1", sibling, node)
            while not index & 1 and index:  # a rightmost node without a sibling goes up as it is
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\1", node, sibling)
        index, last = index >> 1, last >> 1
    if last:
        raise NotProved("the proof is too short")
    return node


def signed_root(checkpoint: str, keys: list[str]) -> tuple[int, bytes]:
    """Size and root of a checkpoint that one of `keys` has signed. Raises NotProved, ValueError."""
    text, _, signatures = checkpoint.rpartition("\n\n")
    origin, size, root = text.split("\n")
    for key in keys:
        name, key_id, encoded = key.strip().split("+", 2)
        public = base64.b64decode(encoded, validate=True)  # one byte 1 for Ed25519, then the key
        if sha256(name.encode(), b"\n", public)[:4].hex() != key_id or public[0] != 1:
            raise NotProved("the key is not whole")
        for line in signatures.splitlines():
            dash, signer, signature = line.split(" ")
            raw = base64.b64decode(signature, validate=True)
            if dash == "—" and signer == name == origin and raw[:4].hex() == key_id:
                try:
                    Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], f"{text}\n".encode())
                except InvalidSignature:
                    raise NotProved("the checkpoint's signature is wrong") from None
                return int(size), base64.b64decode(root, validate=True)
    raise NotProved("the checkpoint is not signed by the key given")


def main() -> int:
    """Check a file; answer the exit code."""
    parser = argparse.ArgumentParser(description="Check receipts of the transparency log, offline.")
    parser.add_argument("file", type=Path, help="what `receipt` answered, or exported evidence, as JSON")
    parser.add_argument("--key", action="append", required=True, help="the log's verifier key: name+id+base64")
    chosen = parser.parse_args()
    answer = json.loads(chosen.file.read_text(encoding="utf-8"))
    given = answer.get("entries", [answer])
    try:
        for entry in given:
            record = entry.get("record", entry.get("certificate"))
            if record is None or "proof" not in entry:
                raise NotProved("there is no record with a proof in it")
            found = verify(record, entry["proof"], chosen.key)
            compare(entry, found)
            made = datetime.fromtimestamp(found["at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            by = f" by {found['actor']}" if found["actor"] else ""
            print(f"proved: {found['action']} is entry {found['index']} of {found['size']}, made at {made}{by}")
        if closed := answer.get("closed"):
            raise NotProved(f"of {len(closed)} entries the record was removed")
    except NotProved as reason:
        print(f"NOT PROVED: {reason}", file=sys.stderr)
        return 1
    return 0 if given else 1


if __name__ == "__main__":
    sys.exit(main())
