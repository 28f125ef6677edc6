"""verify.py against files that show a reader something else than what was logged."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import rfc8785

import verify
from astra import merkle, proofs, tlog
from astra.notes import Checkpoint, Signer

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
    "keyDestroyed": True,
    "stores": [
        {"entry": "profile", "store": "firestore", "found": 2, "deleted": 2, "retained": 0, "remaining": 0},
        {"entry": "user-key", "store": "vault", "found": 1, "deleted": 1, "retained": 0, "remaining": 0},
        {"entry": "tombstone", "store": "firestore", "found": 1, "deleted": 0, "retained": 1, "remaining": 0},
    ],
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
    return proofs.text(ENTRIES[index], tree.inclusion(index), note)


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


def refused(outcome: tuple[int, str, str], reason: str = "") -> None:
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


@pytest.mark.parametrize(
    "shown",
    [
        {**RECEIPT, "record": json.loads(ENTRIES[1]["record"]), "proof": proof(1), "certificate": FORGED},
        {**RECEIPT, "record": FORGED},
        {**RECEIPT, "certificate": FORGED},
        {**RECEIPT, "note": "and her copies too"},
        {**RECEIPT, "entries": [piece(1)]},
        {**EVIDENCE, "certificate": FORGED, "proof": proof(0)},
        {**EVIDENCE, "certificate": FORGED},
        {"entries": EVIDENCE["entries"]},
        {**EVIDENCE, "entries": [{**piece(1), "certificate": FORGED}]},
        {**EVIDENCE, "entries": [{**piece(1), "subject": ADA}]},
        {**EVIDENCE, "entries": [{"record": piece(1)["record"], "proof": proof(1)}]},
        {**EVIDENCE, "entries": [{"certificate": CERTIFICATE, "proof": proof(0)}]},
        {**EVIDENCE, "remark": "whole"},
        {"record": piece(1)["record"], "proof": proof(1)},
        {"result": RECEIPT},
        {**RECEIPT, "state": "verified: and what Grace had"},
        {**RECEIPT, "state": ["verified"]},
    ],
)
def test_what_is_of_two_forms_or_says_more_is_refused(run: Callable[..., Any], shown: dict[str, Any]) -> None:
    refused(run(shown))


def test_what_is_no_certificate_does_not_pass_as_one(run: Callable[..., Any]) -> None:
    refused(run({"certificate": piece(1)["record"], "proof": proof(1)}), "certificate")


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
    refused(run({**EVIDENCE, "entries": [forged]}))


@pytest.mark.parametrize("size", ["+4", "0_4", "٤", "04", " 4", "4 ", "9" * 20])
def test_a_checkpoints_size_is_a_plain_number_though_it_was_signed(run: Callable[..., Any], size: str) -> None:
    note = SIGNER.sign(str(Checkpoint("example.com/log", 4, merkle.fold(HASHES))).replace("\n4\n", f"\n{size}\n"))
    refused(run({"certificate": CERTIFICATE, "proof": proof(0, note=note)}))


def resealed(index: int, change: Callable[[bytes], bytes]) -> dict[str, Any]:
    """A receipt whose extra data were changed."""
    text = proof(index)
    [line] = re.findall(r"extra (\S+)", text)
    return {**RECEIPT, "proof": text.replace(line, base64.b64encode(change(base64.b64decode(line))).decode())}


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace(b'{"action"', b'{"action":"account:consent:give","action"'),
        lambda raw: raw.replace(b"{", b'{"aa":1,'),
        lambda raw: raw.replace(b"{", b"{ "),
        lambda raw: raw.replace(b'"at":', b'"at":0'),
        lambda raw: raw.replace(b'"at":1790000000', b'"at":1790000000.0'),
        lambda raw: raw.replace(b'"at":1790000000', b'"at":true'),
        lambda raw: raw.replace(b'"at":1790000000', b'"at":' + b"9" * 15),
        lambda raw: raw.replace(b'"at":1790000000', b'"at":' + b"9" * 5000),
        lambda raw: raw.replace(b'"at":1790000000', b'"at":NaN'),
        lambda raw: raw.replace(b'"at":1790000000', b'"at":-1'),
        lambda raw: raw.replace(b'"AAAA', b'"AA'),
        lambda raw: raw.replace(b'AAA="', b'AAB="'),
        lambda _: b"[" * 100_000,
        lambda _: b"7",
        lambda _: b"\xff",
        lambda _: b"",
    ],
)
def test_the_extra_data_are_exactly_what_was_written(run: Callable[..., Any], change: Any) -> None:
    refused(run(resealed(0, change)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("extra ", "extra  "),
        ("index 0\n", "index 0\n\n"),
        ("index 0\n", "index 0\r\n"),
        ("=\n", "\n"),
        ("=\n\nexample", "\n\nexample"),
        ("— example.com/log ", "— example.com/log  "),
        ("— example.com/log ", "— example.com/log\t"),
        ("\n\nexample.com/log\n4\n", "\n\nexample.com/log\n4\n\n"),
        ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2"),
    ],
)
def test_a_proof_is_written_in_one_way(run: Callable[..., Any], old: str, new: str) -> None:
    assert old in proof(0)
    refused(run({**RECEIPT, "proof": proof(0).replace(old, new)}))


def test_base64_is_written_in_one_way(run: Callable[..., Any]) -> None:
    """The last letter before `=` has bits that mean nothing: changed, it decodes to the same."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for found in re.finditer(r"(.)(=+)\n", proof(0)):
        other = alphabet[alphabet.index(found[1]) ^ 1]
        text = proof(0)[: found.start(1)] + other + proof(0)[found.end(1) :]
        refused(run({**RECEIPT, "proof": text}), "base64|extra")


@pytest.mark.parametrize("field", ["index", "action", "at", "actor", "commitment"])
@pytest.mark.parametrize("value", [True, False, None, 1, 2, "", "x", 1.0, [], {}, "\x1b[2J"])
def test_evidence_says_nothing_else_beside_a_proof(run: Callable[..., Any], field: str, value: object) -> None:
    entry = {**piece(1), field: value}
    if (type(value), value) != (type(piece(1)[field]), piece(1)[field]):
        refused(run({**EVIDENCE, "entries": [entry]}))


@pytest.mark.parametrize(
    "changes",
    [
        {"from": "2026-09-22T00:00:00Z"},
        {"to": "2026-09-21T00:00:00Z"},
        {"from": "yesterday"},
        {"to": 7},
        {"checkpoint": SIGNER.sign(str(Checkpoint("example.com/log", 9, bytes(32))))},
        {"checkpoint": NOTE.replace("\n4\n", "\n5\n")},
        {"checkpoint": 4},
        {"verifiers": [KEY, str(Signer.of("example.com/log", bytes(32)).verifier)]},
        {"verifiers": KEY},
        {"verifiers": [7]},
        {"entries": [piece(2), piece(1)]},
        {"entries": [piece(1), piece(1)]},
        {"entries": {"0": piece(0)}},
        {"entries": "x"},
        {"entries": [7]},
        {"closed": {}},
        {"closed": None},
        {"closed": [7]},
    ],
)
def test_what_frames_evidence_is_checked_too(run: Callable[..., Any], changes: dict[str, Any]) -> None:
    refused(run({**EVIDENCE, **changes}))


def test_evidence_without_a_record_or_an_entry_proves_nothing(run: Callable[..., Any]) -> None:
    closed = {name: piece(1)[name] for name in ("index", "action", "at", "actor", "commitment")}
    refused(run({**EVIDENCE, "entries": [piece(0)], "closed": [closed]}), "of 1 .* the record was removed")
    refused(run({**EVIDENCE, "entries": []}), "nothing")
    refused(run({"state": "running"}), "no proof")
    refused(run({"state": "verified", "certificate": CERTIFICATE}), "no proof")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        json.dumps(RECEIPT).encode("utf-16"),
        b"[" * 100_000,
        b'{"certificate": ' + b'{"a":' * 100_000,
        b'{"certificate": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b', "proof": ""}',
        b"NaN",
        b"7",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"certificate": {"a": NaN}, "proof": ""}',
        b'{"certificate": {"a": 1.5}, "proof": ""}',
        b'{"certificate": {"a": ' + b"9" * 5000 + b'}, "proof": ""}',
        b'{"certificate": {"a": -0}, "proof": ""}',
        b'{"certificate": {"a": 9007199254740992}, "proof": ""}',
        b'{"certificate": {"a": "\\ud800"}, "proof": ""}',
        b'{"certificate": {"\\ud800": 1}, "proof": ""}',
        b'{"certificate": 7, "proof": 7}',
        b'{"certificate": {}, "proof": 7}',
        b'{"certificate": {}, "proof": "\\n\\n"}',
        b'{"\\u001b[2J\\u202e\\nproved: x": 1}',
        b'{"state": "\\u001b[2J", "certificate": {}, "proof": ""}',
    ],
)
def test_what_is_no_such_file_is_refused_in_a_line(run: Callable[..., Any], content: bytes) -> None:
    refused(run(content))


def test_a_file_that_is_not_there_is_not_proved(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run(RECEIPT)
    for path in ("/nowhere/\x1b[2J", "/"):
        monkeypatch.setattr(sys, "argv", ["verify.py", path, "--key", KEY])
        assert verify.main() == 1


@pytest.mark.parametrize(
    "key", ["", "x", "a+b", "a+b+c", "a+00000000+", "a+00000000+AQ==", KEY[:-1], KEY.replace("+", "+0", 1), KEY + "A"]
)
def test_what_is_no_key_is_said_to_be_none(run: Callable[..., Any], key: str) -> None:
    refused(run(RECEIPT, key), "key")


def test_what_was_logged_under_odd_names_is_shown_as_such(run: Callable[..., Any]) -> None:
    """Whoever runs the log may have logged anything."""
    odd = "x\x1b[2J\nproved: y"
    fields = logged({"subject": odd}, 0, odd, odd)
    note = SIGNER.sign(str(Checkpoint("example.com/log", 1, merkle.leaf_hash(tlog.leaf(fields)))))
    entry = {name: fields[name] for name in ("index", "action", "at", "actor", "commitment")}
    entry |= {"record": {"subject": odd}, "proof": proofs.text(fields, [], note)}
    code, shown, _ = run({**EVIDENCE, "checkpoint": note, "entries": [entry]})
    assert code == 0
    assert shown.isascii()
    assert not re.search(r"[^\n -~]", shown)
    assert sum(line.startswith("proved: ") for line in shown.splitlines()) == 1


@pytest.mark.parametrize(
    "changes", [{"stores": 7}, {"stores": [7]}, {"format": "x"}, {"verifiedAt": 7}, {"stores": [{}]}]
)
def test_what_was_logged_as_a_certificate_and_is_none_is_refused(run: Callable[..., Any], changes: Any) -> None:
    record = {**CERTIFICATE, **changes}
    fields = logged(record, 0, tlog.Action.ERASURE_CERTIFIED.value, None)
    note = SIGNER.sign(str(Checkpoint("example.com/log", 1, merkle.leaf_hash(tlog.leaf(fields)))))
    outcome = run({"certificate": record, "proof": proofs.text(fields, [], note)})
    refused(outcome, "certificate")
    assert outcome[1] == ""
