"""verify.py against files that show a reader something else than what was logged."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import rfc8785
from pydantic import SecretBytes

import verify
from astra import tlog
from astra.datamap.table import DATA_MAP
from astra.runtime.pseudonyms import Pseudonym
from astra.tlog import merkle, receipts
from astra.tlog.signed_note import Checkpoint, Signer
from erasure import certificate
from erasure.residual_copies import Copy
from erasure.settings import ErasureSettings

ROOT: Final = Path(__file__).parent.parent
ADA, GRACE, STAFF = "a" * 64, "b" * 64, "7" * 64
SIGNER: Final = Signer.of("example.com/log", bytes(range(32)))
KEY: Final = str(SIGNER.verifier)
AT: Final = 1_790_000_000
CERTIFICATE: Final[dict[str, Any]] = {
    "format": "astra-erasure-certificate/1",
    "subject": ADA,
    "requestedAt": "2026-09-21T13:00:00Z",
    "verifiedAt": "2026-09-21T14:13:20Z",
    "policyVersion": "2026-01-01",
    "dataMapSha256": "d" * 64,
    "keyDestroyed": True,
    "stores": [
        {"entry": "profile", "store": "firestore", "found": 2, "deleted": 2, "retained": 0, "remaining": 0},
        {"entry": "user-key", "store": "vault", "found": 1, "deleted": 1, "retained": 0, "remaining": 0},
        {"entry": "tombstone", "store": "firestore", "found": 1, "deleted": 0, "retained": 1, "remaining": 0}
        | {"basis": "keyed pseudonym and time", "until": "for good"},
    ],
    "leftOut": "Registers that may be under a ban on telling are left out.",
    "residual": [{"copy": "backup", "until": "2026-12-21T14:13:20Z", "why": "backups of the database"}],
    "signature": {"algorithm": "Ed25519", "publicKey": "AAAA", "value": "AAAA"},
}


def logged(record: dict[str, Any], index: int, action: str, actor: str | None) -> dict[str, Any]:
    """The document of an entry, as `tlog.append` and the sequencer make it."""
    nonce = bytes([index]) * 32
    return {
        "action": action,
        "at": AT + index,
        "actor": actor,
        "commitment": tlog.commitment(nonce, record),
        "nonce": base64.b64encode(nonce).decode(),
        "record": rfc8785.dumps(record).decode(),
        "index": index,
    }


ENTRIES: Final = [
    logged(CERTIFICATE, 0, tlog.Action.ERASURE_CERTIFIED.value, None),
    logged({"number": 1, "subject": GRACE}, 1, tlog.Action.CONSENT_GIVEN.value, None),
    logged({"role": "cto", "subject": GRACE}, 2, tlog.Action.ROLE_GRANTED.value, STAFF),
    logged({"review": "2027"}, 3, tlog.Action.REVIEW_OPENED.value, None),
]
HASHES: Final = [merkle.leaf_hash(tlog.leaf(fields)) for fields in ENTRIES]
NOTE: Final = SIGNER.sign(str(Checkpoint("example.com/log", len(ENTRIES), merkle.fold(HASHES))))


def proof(index: int, size: int = len(ENTRIES), note: str = NOTE) -> str:
    tree = merkle.Tree(size, lambda level, _index, wide: b"".join(HASHES[:wide]) if level == 0 else b"")
    return receipts.text(ENTRIES[index], tree.inclusion(index), note)


def piece(index: int) -> dict[str, Any]:
    public = {name: ENTRIES[index][name] for name in ("index", "action", "at", "actor", "commitment")}
    return {**public, "record": json.loads(ENTRIES[index]["record"]), "proof": proof(index)}


RECEIPT: Final[dict[str, Any]] = {"state": "verified", "certificate": CERTIFICATE, "proof": proof(0)}
EVIDENCE: Final[dict[str, Any]] = {
    "from": "2026-09-21T00:00:00Z",
    "to": "2026-09-22T00:00:00Z",
    "checkpoint": NOTE,
    "verifiers": [KEY],
    "entries": [piece(index) for index in range(len(ENTRIES))],
    "closed": [],
}
FORGED: Final = {**CERTIFICATE, "subject": GRACE}


def signed_alone(record: dict[str, Any], action: str = verify.CERTIFIED, **changes: Any) -> dict[str, Any]:
    """Return the receipt of a log's only entry, valid but for what `record` and `changes` of its fields make of it."""
    nonce = base64.b64decode(changes.get("nonce", base64.b64encode(bytes(32))))
    opened = json.dumps(
        record, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )  # rfc8785 refuses some of the odd records
    fields = {
        "action": action,
        "at": AT,
        "actor": None,
        "nonce": base64.b64encode(nonce).decode(),
        "commitment": hashlib.sha256(nonce + opened.encode()).hexdigest(),
        "index": 0,
        **changes,
    }
    return {"certificate": record, "proof": receipts.text(fields, [], root_note(merkle.leaf_hash(tlog.leaf(fields))))}


def root_note(root: bytes, size: int = 1, *, origin: str = SIGNER.name) -> str:
    """Return a checkpoint that the log's key has signed."""
    return SIGNER.sign(str(Checkpoint(origin, size, root)))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Check a file; answer the exit code, what is printed and what is complained of."""

    def check(content: Any, *keys: str) -> tuple[int, str, str]:
        file = tmp_path / "file.json"
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        given = [word for key in keys or (KEY,) for word in ("--key", key)]
        monkeypatch.setattr(sys, "argv", ["verify.py", str(file), *given])
        code = verify.main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return check


def refused(outcome: tuple[int, str, str], reason: str) -> None:
    code, shown, complaint = outcome
    assert (code, complaint[:12]) == (1, "NOT PROVED: "), shown
    assert re.search(reason, complaint), complaint
    assert (shown + complaint).isascii()
    assert not re.search(r"[^\n -~]", shown + complaint), "what the file says must not steer the terminal"
    assert complaint.count("\n") == 1


def test_a_receipt_says_what_was_proved_and_of_whom(run: Callable[..., Any]) -> None:
    for answer in (RECEIPT, {name: RECEIPT[name] for name in ("certificate", "proof")}):
        code, shown, complaint = run(answer)
        assert (code, complaint) == (0, "")
        assert "proved: erasure:certificate:issue is entry 0 of 4, made at 2026-09-21T14:13:20Z" in shown
        assert f"data subject: {ADA}" in shown
        assert GRACE not in shown
        for fact in ("2026-09-21T13:00:00Z", "2026-09-21T14:13:20Z", "3 entries in 2 stores"):
            assert fact in shown
        for fact in ("4 found", "3 deleted", "1 retained", "0 remaining", "key: destroyed"):
            assert fact in shown
    assert "not proved" in run(RECEIPT)[1], "the state beside a certificate is in no log"


def test_evidence_says_of_each_entry_whom_it_concerns_and_who_did_it(run: Callable[..., Any]) -> None:
    code, shown, complaint = run(EVIDENCE)
    assert (code, complaint) == (0, "")
    assert shown.count("proved: ") == 4
    assert shown.count(f"data subject: {GRACE}") == 2
    assert shown.count("data subject: none") == 1
    assert shown.count(f" by {STAFF}") == 1
    assert "in all: 4 entries from 2026-09-21T00:00:00Z until 2026-09-22T00:00:00Z" in shown


def test_it_needs_nothing_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(RECEIPT))
    command = [sys.executable, "-I", str(ROOT / "verify.py"), str(file), "--key", KEY]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    assert ADA in done.stdout


STRANGE: Final = "does not belong there"


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ({**RECEIPT, "record": json.loads(ENTRIES[1]["record"]), "proof": proof(1), "certificate": FORGED}, STRANGE),
        ({**RECEIPT, "record": FORGED}, STRANGE),
        ({**RECEIPT, "certificate": FORGED}, "not what was logged"),
        ({**RECEIPT, "note": "and her copies too"}, STRANGE),
        ({**RECEIPT, "entries": [piece(1)]}, "has no from"),
        ({**EVIDENCE, "certificate": FORGED, "proof": proof(0)}, STRANGE),
        ({**EVIDENCE, "certificate": FORGED}, STRANGE),
        ({"entries": EVIDENCE["entries"]}, "has no from"),
        ({**EVIDENCE, "entries": [{**piece(1), "certificate": FORGED}]}, STRANGE),
        ({**EVIDENCE, "entries": [{**piece(1), "subject": ADA}]}, STRANGE),
        ({**EVIDENCE, "entries": [{"record": piece(1)["record"], "proof": proof(1)}]}, "has no index"),
        ({**EVIDENCE, "entries": [{"certificate": CERTIFICATE, "proof": proof(0)}]}, "has no index"),
        ({**EVIDENCE, "remark": "whole"}, STRANGE),
        ({"record": piece(1)["record"], "proof": proof(1)}, "has no certificate"),
        ({"result": RECEIPT}, "has no certificate"),
        ({**RECEIPT, "state": "verified: and what Grace had"}, "state must be one of"),
        ({**RECEIPT, "state": ["verified"]}, "state must be one of"),
    ],
)
def test_what_is_of_two_forms_or_says_more_is_refused(
    run: Callable[..., Any], shown: dict[str, Any], reason: str
) -> None:
    refused(run(shown), reason)


def test_what_is_no_certificate_does_not_pass_as_one(run: Callable[..., Any]) -> None:
    refused(run({"certificate": piece(1)["record"], "proof": proof(1)}), "logged as account:consent:give")


@pytest.mark.parametrize(
    ("at", "twice"),
    [
        ('"certificate": {', f'"certificate": {json.dumps(FORGED)}, "certificate": {{'),
        ('"proof"', '"proof": "", "proof"'),
        ('"subject": "aaa', f'"subject": "{GRACE}", "subject": "aaa'),
        ('"found": 2', '"found": 0, "found": 2'),
        ('"state"', '"state": "running", "st\\u0061te"'),
    ],
)
def test_a_name_that_is_there_twice_is_refused_at_every_level(run: Callable[..., Any], at: str, twice: str) -> None:
    text = json.dumps(RECEIPT)
    assert at in text
    refused(run(text.replace(at, twice, 1).encode()), "twice")


def test_an_entrys_name_that_is_there_twice_is_refused(run: Callable[..., Any]) -> None:
    for name in ("actor", "record", "index"):
        text = json.dumps(EVIDENCE).replace(f'"{name}": ', f'"{name}": 7, "{name}": ', 1)
        refused(run(text.encode()), "twice")


@pytest.mark.parametrize("index", ["+2", "0_2", "٢", "02", " 2", "2 ", "\uff12", "-0", "2.0", "1e0", "", "9" * 20])
def test_an_index_is_a_plain_number(run: Callable[..., Any], index: str) -> None:
    forged = {**piece(2), "proof": proof(2).replace("index 2", f"index {index}")}
    refused(run({**EVIDENCE, "entries": [forged]}), "no proof of this log")


@pytest.mark.parametrize("size", ["+4", "0_4", "٤", "04", " 4", "4 ", "9" * 20])
def test_a_checkpoints_size_is_a_plain_number_though_it_was_signed(run: Callable[..., Any], size: str) -> None:
    note = SIGNER.sign(str(Checkpoint("example.com/log", 4, merkle.fold(HASHES))).replace("\n4\n", f"\n{size}\n"))
    refused(run({"certificate": CERTIFICATE, "proof": proof(0, note=note)}), "no checkpoint of a log")


def resealed(index: int, change: Callable[[bytes], bytes]) -> dict[str, Any]:
    """A receipt whose extra data were changed."""
    text = proof(index)
    [line] = re.findall(r"extra (\S+)", text)
    return {**RECEIPT, "proof": text.replace(line, base64.b64encode(change(base64.b64decode(line))).decode())}


NOT_PLAIN: Final = "extra data has a number that is not a plain integer"
UNLIKE: Final = "extra data is not as the log writes it"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: raw.replace(b'{"action"', b'{"action":"account:consent:give","action"'), "action twice"),
        (lambda raw: raw.replace(b"{", b'{"aa":1,'), STRANGE),
        (lambda raw: raw.replace(b"{", b"{ "), UNLIKE),
        (lambda raw: raw.replace(b'"at":', b'"at":0'), "not JSON"),
        (lambda raw: raw.replace(b'"at":1790000000', b'"at":1790000000.0'), NOT_PLAIN),
        (lambda raw: raw.replace(b'"at":1790000000', b'"at":' + b"9" * 5000), NOT_PLAIN),
        (lambda raw: raw.replace(b'"at":1790000000', b'"at":NaN'), NOT_PLAIN),
        (lambda raw: raw.replace(b'"AAAA', b'"AA'), "nonce is not in base64"),
        (lambda raw: raw.replace(b'AAA="', b'AAB="'), "nonce is not in base64"),
        (lambda _: b"[" * 100_000, "nested too deeply|no object"),
        (lambda _: b"7", "no object"),
        (lambda _: b"\xff", "UTF-8"),
        (lambda _: b"", "no proof of this log"),
    ],
)
def test_the_extra_data_are_exactly_what_was_written(run: Callable[..., Any], change: Any, reason: str) -> None:
    refused(run(resealed(0, change)), reason)


@pytest.mark.parametrize("at", [True, None, "1790000000", -1, 253402300800, 9 * 10**14, [], {}])
def test_the_time_of_a_proof_is_a_second_that_can_be_shown(run: Callable[..., Any], at: Any) -> None:
    answer = signed_alone(CERTIFICATE)
    [line] = re.findall(r"extra (\S+)", answer["proof"])
    extra = {**json.loads(base64.b64decode(line)), "at": at}
    said = {"action": verify.CERTIFIED, "at": at, "commitment": tlog.commitment(bytes(32), CERTIFICATE)}
    head = answer["proof"].partition("\n\n")[0].replace(line, base64.b64encode(rfc8785.dumps(extra)).decode())
    note = root_note(merkle.leaf_hash(rfc8785.dumps(said)))
    refused(run({"certificate": CERTIFICATE, "proof": f"{head}\n\n{note}"}), "the proof's time is none")


@pytest.mark.parametrize("at", [0, 253402300799])
def test_the_first_and_the_last_second_of_a_proof_can_be_shown(run: Callable[..., Any], at: int) -> None:
    assert run(signed_alone(CERTIFICATE, at=at))[0] == 0


@pytest.mark.parametrize(("name", "value"), [("action", 7), ("actor", 7), ("actor", True)])
def test_the_other_extra_data_are_texts(run: Callable[..., Any], name: str, value: Any) -> None:
    refused(run(signed_alone(CERTIFICATE, **{name: value})), UNLIKE)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_nonce_is_of_its_size(run: Callable[..., Any], size: int) -> None:
    """Otherwise bytes could move between the nonce and the record."""
    answer = signed_alone(CERTIFICATE, nonce=base64.b64encode(bytes(size)).decode())
    refused(run(answer), "nonce is not in base64, or not of its size")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("extra ", "extra  ", "no proof of this log"),
        ("index 0\n", "index 0\n\n", "no checkpoint"),
        ("index 0\n", "index 0\r\n", "no proof of this log"),
        ("=\n", "\n", "base64"),
        ("=\n\nexample", "\n\nexample", "base64"),
        ("— example.com/log ", "— example.com/log  ", "no checkpoint"),
        ("— example.com/log ", "— example.com/log\t", "no checkpoint"),
        ("\n\nexample.com/log\n4\n", "\n\nexample.com/log\n4\n\n", "no checkpoint"),
        ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2", "no proof of this log"),
    ],
)
def test_a_proof_is_written_in_one_way(run: Callable[..., Any], old: str, new: str, reason: str) -> None:
    assert old in proof(0)
    refused(run({**RECEIPT, "proof": proof(0).replace(old, new)}), reason)


def test_a_proof_leads_from_its_entry_to_the_root_and_no_further(run: Callable[..., Any]) -> None:
    answer = signed_alone(CERTIFICATE)
    head, _, note = answer["proof"].partition("\n\n")
    outside = f"{head.replace('index 0', 'index 1')}\n\n{note}"
    refused(run({**answer, "proof": outside}), "index is outside the tree")
    with pytest.raises(verify.NotProved, match="index is outside the tree"):
        verify.root_above(bytes(32), -1, 1, [])
    [_, root] = note.split("\n")[1:3]
    leaf, sibling = base64.b64decode(root), bytes(32)
    above = hashlib.sha256(b"\1" + sibling + leaf).digest()
    longer = f"{head}\n{base64.b64encode(sibling).decode()}\n\n{root_note(above)}"
    refused(run({**answer, "proof": longer}), "proof is too long")
    refused(run({**answer, "proof": f"{head}\n\n{root_note(leaf, 2)}"}), "proof is too short")


def test_a_checkpoint_is_of_the_log_whose_key_signed_it(run: Callable[..., Any]) -> None:
    unsigned = "not signed by the key given"
    answer = signed_alone(CERTIFICATE)
    head, _, note = answer["proof"].partition("\n\n")
    root = base64.b64decode(note.split("\n")[2])
    other, named = Signer.of(SIGNER.name, bytes(32)), Signer("example.com/other", SIGNER.key)
    for signed in (
        root_note(root, origin="example.com/other"),
        other.sign(str(Checkpoint(SIGNER.name, 1, root))),
        named.sign(str(Checkpoint(SIGNER.name, 1, root))),
        named.sign(str(Checkpoint("example.com/other", 1, root))),
        note.replace(f"— {SIGNER.name} ", "— example.com/other "),
    ):
        refused(run({**answer, "proof": f"{head}\n\n{signed}"}), unsigned)
    refused(run({**answer, "proof": answer["proof"].replace("\n1\n", "\n2\n")}), "signature is wrong")
    refused(run({**answer, "proof": answer["proof"].removesuffix("\n")}), "no checkpoint")
    refused(run({**answer, "proof": answer["proof"] + "more\n"}), "no checkpoint")


def test_base64_is_written_in_one_way(run: Callable[..., Any]) -> None:
    """The last letter before `=` has bits that mean nothing: changed, it decodes to the same."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for found in re.finditer(r"(.)(=+)\n", proof(0)):
        other = alphabet[alphabet.index(found[1]) ^ 1]
        text = proof(0)[: found.start(1)] + other + proof(0)[found.end(1) :]
        refused(run({**RECEIPT, "proof": text}), "is not in base64")


@pytest.mark.parametrize("field", ["index", "action", "at", "actor", "commitment"])
@pytest.mark.parametrize("value", [True, False, None, 1, 2, "", "x", 1.0, [], {}, "\x1b[2J"])
def test_evidence_says_nothing_else_beside_a_proof(run: Callable[..., Any], field: str, value: object) -> None:
    entry = {**piece(1), field: value}
    reason = "plain integer" if isinstance(value, float) else f"says another {field} than the log"
    if (type(value), value) != (type(piece(1)[field]), piece(1)[field]):
        refused(run({**EVIDENCE, "entries": [entry]}), reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"from": "2026-09-22T00:00:00Z"}, "not made in the days"),
        ({"to": "2026-09-21T00:00:00Z"}, "not made in the days"),
        ({"from": "yesterday"}, "a time is not of the form"),
        ({"from": "2026-09-21T00:00:60Z"}, "a time is not of the form"),
        ({"to": 7}, "a time is not of the form"),
        ({"to": "9999-99-99T99:99:99Z"}, "a time is not of the form"),
        ({"checkpoint": SIGNER.sign(str(Checkpoint("example.com/log", 9, bytes(32))))}, "checkpoint is another"),
        ({"checkpoint": NOTE.replace("\n4\n", "\n5\n")}, "signature is wrong"),
        ({"checkpoint": 4}, "checkpoint is no text"),
        ({"verifiers": [KEY, str(Signer.of("example.com/log", bytes(32)).verifier)]}, "a key that was not given"),
        ({"verifiers": KEY}, "no list"),
        ({"verifiers": [7]}, "a key that was not given"),
        ({"verifiers": []}, "names no key"),
        ({"entries": [piece(2), piece(1)]}, "not in their order"),
        ({"entries": [piece(1), piece(1)]}, "not in their order"),
        ({"entries": {"0": piece(0)}}, "no list"),
        ({"entries": "x"}, "no list"),
        ({"entries": [7]}, "no object"),
        ({"closed": {}}, "no list"),
        ({"closed": None}, "no list"),
        ({"closed": [7]}, "no object"),
    ],
)
def test_what_frames_evidence_is_checked_too(run: Callable[..., Any], changes: dict[str, Any], reason: str) -> None:
    refused(run({**EVIDENCE, **changes}), reason)


def test_evidence_without_a_record_or_an_entry_proves_nothing(run: Callable[..., Any]) -> None:
    closed = {name: piece(1)[name] for name in ("index", "action", "at", "actor", "commitment")}
    refused(run({**EVIDENCE, "entries": [piece(0)], "closed": [closed]}), "of 1 .* the record was removed")
    refused(run({**EVIDENCE, "entries": []}), "nothing")
    refused(run({"state": "running"}), "no proof")
    refused(run({"state": "verified", "certificate": CERTIFICATE}), "no proof")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (json.dumps(RECEIPT).encode("utf-16"), "UTF-8"),
        (b"[" * 100_000, "nested too deeply|not JSON"),
        (b'{"certificate": ' + b'{"a":' * 100_000, "nested too deeply|not JSON"),
        (b"NaN", "plain integer"),
        (b"7", "no object"),
        (b"null", "no object"),
        (b"[]", "no object"),
        (b'"x"', "no object"),
        (b"{}", "has no certificate"),
        (b'{"certificate": 7, "proof": ""}', "must be an object"),
        (b'{"certificate": {}, "proof": 7}', "a proof a text"),
        (b'{"certificate": {}, "proof": "\\n\\n"}', "no proof of this log"),
        (b'{"\\u001b[2J\\u202e\\nproved: x": 1}', "has no certificate"),
        (b'{"state": "\\u001b[2J", "certificate": {}, "proof": ""}', "state must be one of"),
    ],
)
def test_what_is_no_such_file_is_refused_in_a_line(run: Callable[..., Any], content: bytes, reason: str) -> None:
    refused(run(content), reason)


@pytest.mark.parametrize("number", [0, 1, 2**53 - 1, 10**15])
def test_a_plain_integer_is_read(run: Callable[..., Any], number: int) -> None:
    line = {**CERTIFICATE["stores"][0], "found": number, "deleted": number}
    assert run(signed_alone({**CERTIFICATE, "stores": [line]}))[0] == 0


@pytest.mark.parametrize("number", ["2.0", "2e0", "-0", "NaN", "Infinity", str(2**53), str(-(2**53)), "9" * 5000])
def test_a_number_that_readers_could_differ_about_is_refused(run: Callable[..., Any], number: str) -> None:
    """Signed as what a lenient reader makes of it, so that nothing but the number is wrong."""
    value = int(number) if re.fullmatch("-?[0-9]{1,16}", number) else 2
    answer = signed_alone({**CERTIFICATE, "stores": [{**CERTIFICATE["stores"][0], "found": value, "deleted": value}]})
    text = json.dumps(answer).replace(f'"found": {value}, "deleted": {value}', f'"found": {number}, "deleted": {value}')
    assert f": {number}," in text
    refused(run(text.encode()), "not a plain integer")


@pytest.mark.parametrize("name", [{"\ud800": 1}, {"a": "\ud800"}])
def test_half_a_character_is_no_text(run: Callable[..., Any], name: dict[str, Any]) -> None:
    refused(run({**RECEIPT, "certificate": {**CERTIFICATE, **name}}), "not text in UTF-8")


def test_canonical_json_has_no_fractions_and_no_bottomless_depths() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(verify.NotProved, match="no fractions"):
        verify.canonical({"a": [1.5]})
    with pytest.raises(verify.NotProved, match="nested too deeply"):
        verify.canonical(deep)


def test_a_file_that_is_not_there_is_not_proved(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run(RECEIPT)
    for path in ("/nowhere/\x1b[2J", "/"):
        monkeypatch.setattr(sys, "argv", ["verify.py", path, "--key", KEY])
        assert verify.main() == 1


def other_key(kind: bytes, key_id: str | None = None, name: str = SIGNER.name) -> str:
    """Return the log's key as it would be written under another kind, id or name."""
    raw = kind + SIGNER.verifier.public
    own = hashlib.sha256(f"{name}\n".encode() + raw).hexdigest()[:8]
    return f"{name}+{key_id or own}+{base64.b64encode(raw).decode()}"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        *((key, "name[+]id[+]base64") for key in ("", "x", "a+b", "a+b+c", "a+00000000+", KEY.replace("+", "+0", 1))),
        *((key, "the key given is not in base64") for key in ("a+00000000+AQ==", KEY[:-1], KEY + "A")),
        (other_key(b"\1", "00000000"), "id does not belong"),
        (other_key(b"\2"), "id does not belong"),
    ],
)
def test_what_is_no_key_is_said_to_be_none(run: Callable[..., Any], key: str, reason: str) -> None:
    refused(run(RECEIPT, key), reason)


def test_a_key_of_another_kind_has_signed_nothing(run: Callable[..., Any]) -> None:
    """The checkpoint names that very key, and the signature is good: the kind alone is wrong."""
    key = other_key(b"\2")
    text, _, line = NOTE.rpartition("\n\n")
    signature = base64.b64decode(line.split()[2])[4:]
    named = base64.b64encode(bytes.fromhex(key.split("+")[1]) + signature).decode()
    answer = {**RECEIPT, "proof": proof(0, note=f"{text}\n\n— {SIGNER.name} {named}\n")}
    refused(run(answer, key), "id does not belong")


def test_what_was_logged_under_odd_names_is_shown_as_such(run: Callable[..., Any]) -> None:
    """Whoever runs the log may have logged anything."""
    odd = "x\x1b[2J\nproved: y"
    fields = logged({"subject": odd}, 0, odd, odd)
    note = SIGNER.sign(str(Checkpoint("example.com/log", 1, merkle.leaf_hash(tlog.leaf(fields)))))
    entry = {name: fields[name] for name in ("index", "action", "at", "actor", "commitment")}
    entry |= {"record": {"subject": odd}, "proof": receipts.text(fields, [], note)}
    code, shown, _ = run({**EVIDENCE, "checkpoint": note, "entries": [entry]})
    assert code == 0
    assert shown.isascii()
    assert not re.search(r"[^\n -~]", shown)
    assert sum(line.startswith("proved: ") for line in shown.splitlines()) == 1


LINE: Final = CERTIFICATE["stores"][0]
KEPT: Final = CERTIFICATE["stores"][2]
NO_TIME: Final = "a time is not of the form"
NO_SUBJECT: Final = "subject must be 64 digits"


def without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in fields.items() if other != name}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        *((without(CERTIFICATE, name), f"the certificate has no {name}") for name in without(CERTIFICATE, "format")),
        (without(CERTIFICATE, "format"), "not of the form"),
        ({**CERTIFICATE, "note": "and her copies too"}, STRANGE),
        ({**CERTIFICATE, "format": "x"}, "not of the form"),
        *(
            ({**CERTIFICATE, "subject": subject}, NO_SUBJECT)
            for subject in ("", "ada", ADA[1:], ADA + "a", ADA.upper(), ADA + "\n", "٣" * 64)
        ),
        *(({**CERTIFICATE, "subject": subject}, "subject is no text") for subject in (None, [ADA], {ADA: ADA}, 7)),
        *(
            ({**CERTIFICATE, name: time}, NO_TIME)
            for name in ("requestedAt", "verifiedAt")
            for time in (
                *(7, None, "", "2026-09-21", "9999-99-99T99:99:99Z", "0000-01-01T00:00:00Z", "2026-02-29T00:00:00Z"),
                *("2026-09-21T24:00:00Z", "2026-09-21T23:59:60Z", "2026-9-21T13:00:00Z", "2026-09-21T13:00:00+00:00"),
                *("2026-09-21t13:00:00z", "2026-09-21T13:00:00Z\n", "٢026-09-21T13:00:00Z", "2026-09-21 13:00:00Z"),
            )
        ),
        *(({**CERTIFICATE, name: 7}, f"{name} is no text") for name in ("policyVersion", "dataMapSha256", "leftOut")),
        *(({**CERTIFICATE, "keyDestroyed": value}, "keyDestroyed") for value in (1, None, "true")),
        ({**CERTIFICATE, "signature": {"algorithm": "Ed25519"}}, "signature has no publicKey"),
        ({**CERTIFICATE, "signature": {**CERTIFICATE["signature"], "by": "x"}}, STRANGE),
        ({**CERTIFICATE, "signature": {**CERTIFICATE["signature"], "value": 7}}, "value is no text"),
        ({**CERTIFICATE, "residual": {}}, "no list"),
        ({**CERTIFICATE, "residual": [{"copy": "backup"}]}, "has no until"),
        ({**CERTIFICATE, "residual": [{"copy": "backup", "until": "for good", "why": "x"}]}, NO_TIME),
        ({**CERTIFICATE, "residual": [{**CERTIFICATE["residual"][0], "why": None}]}, "why is no text"),
        ({**CERTIFICATE, "residual": [{**CERTIFICATE["residual"][0], "by": "x"}]}, STRANGE),
        ({**CERTIFICATE, "stores": 7}, "no list"),
        ({**CERTIFICATE, "stores": []}, "names no store"),
    ],
)
def test_what_was_logged_as_a_certificate_and_is_none_is_refused(
    run: Callable[..., Any], record: dict[str, Any], reason: str
) -> None:
    outcome = run(signed_alone(record))
    refused(outcome, reason)
    assert outcome[1] == ""


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (7, "no object"),
        ({}, "has no entry"),
        ({**LINE, "note": "x"}, STRANGE),
        ({**LINE, "entry": 7}, "entry is no text"),
        ({**LINE, "store": 7}, "store is no text"),
        *(
            ({**LINE, name: value}, "whole number from 0")
            for name in verify.COUNTED
            for value in (True, None, "2", [], -2)
        ),
        ({**LINE, "found": 3}, "counts of profile do not add up"),
        ({**LINE, "found": 3, "remaining": 1}, "1 of profile remaining"),
        ({**LINE, "basis": "x", "until": "for good"}, "basis"),
        (without(KEPT, "basis"), "basis"),
        (without(KEPT, "until"), "until"),
        ({**KEPT, "basis": 7}, "basis is no text"),
        ({**KEPT, "until": "some day"}, NO_TIME),
    ],
)
def test_a_line_that_no_certificate_has_is_refused(run: Callable[..., Any], line: Any, reason: str) -> None:
    outcome = run(signed_alone({**CERTIFICATE, "stores": [CERTIFICATE["stores"][1], line]}))
    refused(outcome, reason)
    assert outcome[1] == ""


def test_counts_that_cancel_out_are_refused(run: Callable[..., Any]) -> None:
    lines = [{**LINE, "found": 2 + left, "remaining": left} for left in (5, -5)]
    refused(run(signed_alone({**CERTIFICATE, "stores": lines})), "remaining|whole number")


@pytest.mark.parametrize("is_held", [False, True])
def test_every_certificate_that_is_issued_is_proved(run: Callable[..., Any], is_held: bool) -> None:
    """With all that it can have: what is held, what stays, what no entry claims, and copies."""
    now = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    counts = {"profile": 1, "unmapped-firestore": 2, "unmapped-vault": 1}
    job = {"createdAt": now - timedelta(hours=1), "counts": counts, "replicateUntil": now + timedelta(hours=1)}
    hold = {"basis": "subpoena, case 7", "expiresAt": now + timedelta(days=30)}
    record = certificate.issue(
        ErasureSettings.model_construct(certificate_key=SecretBytes(bytes(32))),
        Pseudonym(ADA),
        job if is_held else without(job, "replicateUntil"),
        Counter(
            {entry.name: 1 for entry in DATA_MAP if entry.disposition_note or (is_held and entry.name == "user-key")}
        ),
        {"user-key": hold} if is_held else {},
        [Copy("backup", timedelta(days=90), "backups of the database")] if is_held else [],
        now,
        "2026-01-01",
    )
    code, shown, complaint = run(signed_alone(record))
    assert (code, complaint) == (0, "")
    assert f"key: {'not destroyed' if is_held else 'destroyed'}" in shown
