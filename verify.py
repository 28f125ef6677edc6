"""Checks receipts of the transparency log, offline. Needs Python and the package `cryptography`; nothing else of ours.

    python verify.py receipt.json --key 'astra-engineering.co/log+1a2b3c4d+AX…'

The file is what the function `receipt` answers, {"state": "…", "certificate": {…}, "proof": "…"}, with or without the
state, or the evidence that `astra tlog export` writes. The key is the log's, as published; give --key
several times if the log has had several. Exits 0 only if everything in the file was proved, and what it says beside a
proof is what the proof says. A file that has a field twice, or a field that these forms don't have, is refused; so is a
certificate of another form than those that are issued, or one that leaves data remaining.

What is checked, for a record (a certificate, say) and its proof:
  1. the commitment is SHA-256(nonce || record as canonical JSON),
  2. the leaf is {action, actor, at, commitment} as canonical JSON, hashed as RFC 6962 says,
  3. the hashes in the proof lead from the leaf to the root (RFC 6962),
  4. the root is in a checkpoint that the log's key has signed (https://c2sp.org/signed-note).
What is printed is what was proved: what was logged, when, about which data subject, and by which member of staff.
That the record is true is not checked: only that it was logged, as it is, and can't have been changed since. Nor does
this check that evidence has every entry of its days, nor the state beside a certificate.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

NUMBER: Final = "0|[1-9][0-9]{0,14}"
BASE64: Final = "[A-Za-z0-9+/]+=*"
PROOF: Final = re.compile(rf"c2sp\.org/tlog-proof@v1\nextra ({BASE64})\nindex ({NUMBER})((?:\n{BASE64})*)")
CHECKPOINT: Final = re.compile(rf"([^\n]+)\n({NUMBER})\n({BASE64})")
SIGNATURE: Final = re.compile(rf"— ([^\s+]+) ({BASE64})")
KEY: Final = re.compile(rf"([^\s+]+)\+([0-9a-f]{{8}})\+({BASE64})")
SUBJECT: Final = re.compile("[0-9a-f]{64}")
MOMENT: Final = "%Y-%m-%dT%H:%M:%SZ"
EXACT: Final = 2**53 - 1
"""Larger integers are not the same to every reader of JSON."""
LAST_SECOND: Final = 253402300799
"""Of the year 9999."""

SAID: Final = ("index", "action", "at", "actor", "commitment")
EVIDENCE: Final = ("from", "to", "checkpoint", "verifiers", "entries", "closed")
STATES: Final = ("running", "stuck", "verified")
CERTIFIED: Final = "erasure:certificate:issue"
FORMAT: Final = "astra-erasure-certificate/1"
CERTIFICATE: Final = (
    *("format", "subject", "requestedAt", "verifiedAt", "policyVersion", "dataMapSha256", "keyDestroyed"),
    *("stores", "leftOut", "residual", "signature"),
)
COUNTED: Final = ("found", "deleted", "retained", "remaining")
KEPT: Final = ("basis", "until")
"""What a line of a certificate says of data that are retained, and only of those."""
COPY: Final = ("copy", "until", "why")
SIGNED: Final = ("algorithm", "publicKey", "value")


class NotProved(Exception):
    """The message says what does not hold."""


def parsed(raw: bytes, what: str) -> Any:
    """Return the JSON value in `raw`. Raise NotProved if readers could differ about what it says."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise NotProved(f"{what} has the field {shown(name)} twice")
            found[name] = value
        return found

    def whole(number: str) -> int:
        if not re.fullmatch("0|-?[1-9][0-9]{0,15}", number) or not -EXACT <= int(number) <= EXACT:
            raise NotProved(f"{what} has a number that is not a plain integer below 2^53")
        return int(number)

    try:
        text = raw.decode()
        found = json.loads(text, object_pairs_hook=once, parse_int=whole, parse_float=whole, parse_constant=whole)
        json.dumps(found, ensure_ascii=False).encode()  # halves of characters are no text
    except UnicodeError:
        raise NotProved(f"{what} is not text in UTF-8") from None
    except ValueError:
        raise NotProved(f"{what} is not JSON") from None
    except RecursionError:
        raise NotProved(f"{what} is nested too deeply") from None
    return found


def fields(value: Any, what: str, needed: tuple[str, ...], allowed: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return `value` if it is an object with exactly these fields, those `allowed` or not. Raise NotProved."""
    if not isinstance(value, dict):
        raise NotProved(f"{what} is no object")
    for name in needed:
        if name not in value:
            raise NotProved(f"{what} has no {name}")
    for name in value:
        if name not in needed + allowed:
            raise NotProved(f"{what} has a field that does not belong there: {shown(name)}")
    return value


def texts(value: Any, what: str, names: tuple[str, ...]) -> None:
    """Raise NotProved if one of these fields of an object is no text."""
    for name in names:
        if not isinstance(value[name], str):
            raise NotProved(f"{what}'s {name} is no text")


def items(value: Any, what: str) -> list[Any]:
    """Return `value` if it is a list. Raise NotProved."""
    if not isinstance(value, list):
        raise NotProved(f"{what} is no list")
    return value


def decoded(text: str, what: str, size: int | None = None) -> bytes:
    """Return the bytes of base64 as there is one way to write them. Raise NotProved."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if base64.b64encode(raw).decode() != text or len(raw) != (size or len(raw)):
        raise NotProved(f"{what} is not in base64, or not of its size")
    return raw


def shown(value: Any) -> str:
    """Return a text for the terminal, which it can't steer: in quotes if it is anything but a plain word."""
    plain = isinstance(value, str) and re.fullmatch(r"[0-9A-Za-z:./-]+", value)
    return str(value) if plain else ascii(value)


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

    try:
        return json.dumps(ordered(value), ensure_ascii=False, separators=(",", ":")).encode()
    except (RecursionError, UnicodeError):
        raise NotProved("the record is nested too deeply, or not text") from None


def sha256(*parts: bytes) -> bytes:
    """The hash of all parts."""
    return hashlib.sha256(b"".join(parts)).digest()


def verify(record: Any, proof: Any, keys: list[str]) -> dict[str, Any]:
    """What the log says of `record`: action, at, actor, commitment, index, size. Raises NotProved."""
    if not isinstance(record, dict) or not isinstance(proof, str):
        raise NotProved("a record must be an object, and a proof a text")
    head, _, checkpoint = proof.partition("\n\n")
    if not (written := PROOF.fullmatch(head)):
        raise NotProved("this is no proof of this log")
    raw, index = decoded(written[1], "the proof's line of extra data"), int(written[2])
    siblings = [decoded(line, "a hash of the proof", 32) for line in written[3].split("\n")[1:]]
    extra = parsed(raw, "the proof's line of extra data")
    fields(extra, "the proof's line of extra data", ("action", "at", "nonce"), ("actor",))
    at = extra["at"]
    if not all(isinstance(extra[name], str) for name in extra if name != "at") or canonical(extra) != raw:
        raise NotProved("the proof's line of extra data is not as the log writes it")
    if type(at) is not int or not 0 <= at <= LAST_SECOND:
        raise NotProved("the proof's time is none")
    # Of a fixed size: else bytes could move between the nonce and the record.
    nonce = decoded(extra.pop("nonce"), "the proof's nonce", 32)
    size, root = signed_root(checkpoint, keys)
    said = {**extra, "commitment": sha256(nonce, canonical(record)).hex()}
    leaf = canonical(said)
    if root_above(sha256(b"\0", leaf), index, size, siblings) != root:
        raise NotProved("the record is not what was logged")
    return {"actor": None, **said, "index": index, "size": size}


def compare(entry: dict[str, Any], found: dict[str, Any]) -> None:
    """Raise NotProved if exported evidence says beside a proof what the proof does not say: people read that."""
    for name in SAID:
        if type(entry[name]) is not type(found[name]) or entry[name] != found[name]:
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
    """Size and root of a checkpoint that one of `keys` has signed. Raises NotProved."""
    text, _, signatures = checkpoint.rpartition("\n\n")
    written = CHECKPOINT.fullmatch(text)
    lines = [SIGNATURE.fullmatch(line) for line in signatures.removesuffix("\n").split("\n")]
    if not written or not all(lines) or not signatures.endswith("\n"):
        raise NotProved("this is no checkpoint of a log")
    size, root = int(written[2]), decoded(written[3], "the checkpoint's root", 32)
    for key in keys:
        name, key_id, public = verifier(key)
        for line in lines:
            assert line  # noqa: S101  (all of them are)
            raw = decoded(line[2], "a signature")
            if line[1] == name == written[1] and raw[:4] == key_id:
                try:
                    Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], f"{text}\n".encode())
                except InvalidSignature:
                    raise NotProved("the checkpoint's signature is wrong") from None
                return size, root
    raise NotProved("the checkpoint is not signed by the key given")


def verifier(line: str) -> tuple[str, bytes, bytes]:
    """Name, id and bytes of a key that is written as name+id+base64. Raises NotProved."""
    if not (written := KEY.fullmatch(line.strip())):
        raise NotProved("the key given is not whole: name+id+base64")
    raw = decoded(written[3], "the key given", 33)  # one byte 1 for Ed25519, then the key
    key_id = sha256(written[1].encode(), b"\n", raw)[:4]
    if key_id.hex() != written[2] or raw[0] != 1:
        raise NotProved("the key given is not whole: its id does not belong to it")
    return written[1], key_id, raw[1:]


def receipt(answer: Any, keys: list[str]) -> Iterator[str]:
    """Check what `receipt` answered; yield what it proves. Raises NotProved."""
    if isinstance(answer, dict) and "state" in answer and "proof" not in answer:
        raise NotProved("there is no proof in it yet: call `receipt` again in some minutes")
    fields(answer, "the file", ("certificate", "proof"), ("state",))
    if "state" in answer and answer["state"] not in STATES:
        raise NotProved(f"the file's state must be one of {', '.join(STATES)}")
    found = verify(answer["certificate"], answer["proof"], keys)
    if found["action"] != CERTIFIED:
        raise NotProved(f"the record is not a certificate of erasure: it was logged as {shown(found['action'])}")
    yield from described(answer["certificate"], found)
    if "state" in answer:
        yield f"  not proved: state {answer['state']}, which `receipt` reported beside the certificate"


def evidence(answer: dict[str, Any], keys: list[str]) -> Iterator[str]:
    """Check exported evidence; yield what it proves. Raises NotProved."""
    fields(answer, "the evidence", EVIDENCE)
    first, end, checkpoint = moment(answer["from"]), moment(answer["to"]), answer["checkpoint"]
    if not isinstance(checkpoint, str):
        raise NotProved("the evidence's checkpoint is no text")
    signed_root(checkpoint, keys)
    if not items(answer["verifiers"], "the evidence's list of keys"):
        raise NotProved("the evidence names no key: it must name those that the log publishes")
    if not all(key in keys for key in answer["verifiers"]):
        raise NotProved("the evidence names a key that was not given: give every key that the log publishes as --key")
    before, entries = -1, items(answer["entries"], "the evidence's list of entries")
    for entry in entries:
        fields(entry, "an entry", (*SAID, "record", "proof"))
        found = verify(entry["record"], entry["proof"], keys)
        compare(entry, found)
        if entry["proof"].partition("\n\n")[2] != checkpoint:
            raise NotProved("an entry's checkpoint is another than the evidence's")
        if not first <= when(found["at"]) < end:
            raise NotProved("an entry was not made in the days that the evidence is of")
        if found["index"] <= before:
            raise NotProved("the entries are not in their order, each once")
        before = found["index"]
        yield from described(entry["record"], found)
    for entry in items(answer["closed"], "the evidence's list of entries without a record"):
        fields(entry, "an entry without a record", SAID)
    if closed := answer["closed"]:
        raise NotProved(f"of {len(closed)} entries the record was removed")
    if before < 0:
        raise NotProved("there is nothing in it to prove")
    yield f"in all: {len(entries)} entries from {first} until {end}; that there were no others is not proved"


def described(record: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return what was logged and about whom, in lines. Raise NotProved for a certificate that is not one."""
    by = f" by {shown(found['actor'])}" if found["actor"] else ""
    place = f"entry {found['index']} of {found['size']}"
    return [
        f"proved: {shown(found['action'])} is {place}, made at {when(found['at'])}{by}",
        f"  data subject: {shown(record['subject']) if 'subject' in record else 'none'}",
        *(certified(record) if found["action"] == CERTIFIED else ()),
    ]


def certified(record: dict[str, Any]) -> Iterator[str]:
    """Yield what a certificate says. Raise NotProved if it is not of the known form."""
    what = "the certificate"
    if record.get("format") != FORMAT:
        raise NotProved(f"{what} is not of the form {FORMAT}")
    fields(record, what, CERTIFICATE)
    texts(record, what, ("subject", "policyVersion", "dataMapSha256", "leftOut"))
    if not SUBJECT.fullmatch(record["subject"]):
        raise NotProved(f"{what}'s subject must be 64 digits of 0 to f: they say whose data were erased")
    if not isinstance(record["keyDestroyed"], bool):
        raise NotProved(f"{what}'s keyDestroyed must be true or false")
    texts(fields(record["signature"], f"{what}'s signature", SIGNED), f"{what}'s signature", SIGNED)
    for copy in items(record["residual"], f"{what}'s list of copies"):
        texts(fields(copy, f"a copy in {what}", COPY), f"a copy in {what}", COPY)
        moment(copy["until"])
    lines = [counted(line) for line in items(record["stores"], f"{what}'s list of stores")]
    if not lines:
        raise NotProved(f"{what} names no store: it must say what became of the data in each")
    yield "  request: its id is the data subject; the receipt begins with it"
    yield f"  erasure: requested at {moment(record['requestedAt'])}, verified at {moment(record['verifiedAt'])}"
    totals = ", ".join(f"{sum(line[name] for line in lines)} {name}" for name in COUNTED)
    yield f"  data: {len(lines)} entries in {len({line['store'] for line in lines})} stores; {totals}"
    yield f"  user's key: {'destroyed' if record['keyDestroyed'] else 'not destroyed'}"


def counted(value: Any) -> dict[str, Any]:
    """Return a certificate's line about one entry. Raise NotProved for one that no erasure leads to."""
    what, needed = "a line of the certificate", ("entry", "store", *COUNTED)
    line = fields(value, what, needed, KEPT)
    texts(line, what, ("entry", "store"))
    if not all(type(line[name]) is int and line[name] >= 0 for name in COUNTED):
        raise NotProved(f"{what} has a count that is no whole number from 0 on")
    if line["remaining"]:
        raise NotProved(f"{line['remaining']} of {shown(line['entry'])} remaining: a certificate is issued only at 0")
    if line["found"] != line["deleted"] + line["retained"]:
        raise NotProved(f"the counts of {shown(line['entry'])} do not add up: found must be deleted and retained")
    kept = KEPT if line["retained"] else ()
    texts(fields(line, what, needed + kept), what, kept)
    if kept and line["until"] != "for good":
        moment(line["until"])
    return line


def moment(text: Any) -> str:
    """Return `text` if it is a time as the log writes it: texts of that form are in the order of time."""
    try:
        read = datetime.strptime(text, MOMENT).replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    except (TypeError, ValueError):
        read = None
    if read is None or read != text:  # strptime reads 2026-1-31 too
        raise NotProved("a time is not of the form 2026-01-31T00:00:00Z, of a certificate or of evidence")
    return read


def when(seconds: int) -> str:
    """A time of the log in words."""
    return datetime.fromtimestamp(seconds, UTC).strftime(MOMENT)


def main() -> int:
    """Check a file; answer the exit code."""
    parser = argparse.ArgumentParser(description="Check receipts of the transparency log, offline.")
    parser.add_argument("file", type=Path, help="what `receipt` answered, or exported evidence, as JSON")
    parser.add_argument("--key", action="append", required=True, help="the log's verifier key: name+id+base64")
    chosen = parser.parse_args()
    try:
        keys = [key.strip() for key in chosen.key]
        for key in keys:
            verifier(key)
        answer = parsed(chosen.file.read_bytes(), "the file")
        form = evidence if isinstance(answer, dict) and "entries" in answer else receipt
        for line in form(answer, keys):
            print(line)
    except NotProved as reason:
        print(f"NOT PROVED: {reason}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"NOT PROVED: the file can't be read: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
