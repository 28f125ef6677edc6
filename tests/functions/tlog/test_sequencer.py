"""The sequencer over real Firestore and Storage, and a witness that keeps compliance mode."""

import base64
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import AlreadyExists, PreconditionFailed
from google.cloud import firestore

import verify
from astra import jobs, tlog
from astra.runtime.firestore import transact
from astra.runtime.pseudonyms import Pseudonym
from astra.tlog.merkle import fold
from astra.tlog.signed_note import Checkpoint, checkpoint_of
from astra.tlog.tiles import ENTRIES, PREFIX, Tampered, Tiles, path
from cli import tlog as tlog_command
from cli.__main__ import main
from local.paths import ROOT
from tests.functions.tlog.ledger import WHO, Ledger
from tests.support.desk import sit_down
from tlog import sequencer
from tlog.witness import Forked, Witness, WitnessError


class Crash(BaseException):
    """As SIGKILL would: nothing of ours catches it."""


def test_an_entry_is_pending_then_has_a_place_then_a_receipt(ledger: Ledger) -> None:
    [one, two] = ledger.append(2)
    assert ledger.fields(one)["index"] is None
    assert ledger.proof(one) is None
    ledger.sequence()
    assert sorted(ledger.fields(entry)["index"] for entry in (one, two)) == [0, 1]
    [checkpoint] = ledger.witnessed()
    assert checkpoint.size == 2
    assert checkpoint_of(Tiles(ledger.bucket).checkpoint() or "") == checkpoint
    for entry in (one, two):
        fields, proof = ledger.fields(entry), ledger.proof(entry)
        found = verify.verify(json.loads(fields["record"]), proof or "", ledger.keys())
        beside = {name: fields[name] for name in ("action", "at", "actor", "commitment", "index")}
        assert found == beside | {"size": 2}
    assert not ledger.verify().problems


def test_the_leaf_holds_a_commitment_and_nothing_of_the_record(ledger: Ledger) -> None:
    batch = ledger.db.batch()
    record = {"subject": WHO, "canary": "canary"}
    staff = ledger.platform.pseudonyms.of_uid("somebody of the staff")
    entry = tlog.Entry(tlog.Action.CONSENT_GIVEN, record, ledger.platform.clock(), WHO, actor=staff)
    entry_id = tlog.append(batch, ledger.db, entry)
    batch.commit()
    ledger.sequence()
    [leaf] = ledger.entries(1)
    assert set(json.loads(leaf)) == {"action", "at", "actor", "commitment"}
    for blob in ledger.bucket.list_blobs(prefix=PREFIX):
        content = blob.download_as_bytes()
        assert b"canary" not in content
        assert WHO.encode() not in content, "whom it concerns is said by the record alone"
    first, again = ledger.fields(entry_id), tlog.commitment(bytes(32), record)
    assert first["commitment"] != again, "without the nonce a record can't be guessed"


@pytest.mark.parametrize("batches", [(1,), (3, 1, 250, 2, 1), (256, 1), (255, 1, 256), (600, 300)])
def test_the_tree_is_the_same_in_however_many_steps_it_grew(ledger: Ledger, batches: tuple[int, ...]) -> None:
    sizes = []
    for number in batches:
        for first in range(0, number, 400):
            ledger.append(min(number - first, 400))
        ledger.sequence()
        sizes.append(len(ledger.appended))
    assert [checkpoint.size for checkpoint in ledger.witnessed()] == sizes
    entries = ledger.entries(sizes[-1])
    assert ledger.witnessed()[-1].root == fold([verify.sha256(b"\0", entry) for entry in entries])
    assert {ledger.fields(entry)["index"] for entry in ledger.appended} == set(range(sizes[-1]))
    report = ledger.verify()
    assert (report.problems, report.size, report.opened, report.pending) == ([], sizes[-1], sizes[-1], 0)


def test_a_hundred_parallel_writers_lose_nothing_and_skip_nothing(ledger: Ledger) -> None:
    """With three sequencers that run all the while, and entries that come under earlier times than others."""
    written: list[str] = []

    def write(number: int) -> None:
        def body(transaction: Any) -> str:
            at = ledger.platform.clock() - timedelta(minutes=number)
            return tlog.append(transaction, ledger.db, tlog.Entry(tlog.Action.CONSENT_GIVEN, {"n": number}, at, WHO))

        written.extend(transact(ledger.db, body) for _ in range(3))

    def keep_sequencing(_: int) -> None:
        while len(written) < 300:
            ledger.sequence()

    with ThreadPoolExecutor(103) as hands:
        busy = [hands.submit(keep_sequencing, number) for number in range(3)]
        list(hands.map(write, range(100)))
        for one in busy:
            one.result()
    for _ in range(3):  # whoever was fenced last has left the rest to the next
        ledger.sequence()
    assert sorted(ledger.fields(entry)["index"] for entry in written) == list(range(300))
    report = ledger.verify()
    assert (report.problems, report.size, report.pending) == ([], 300, 0)


def test_an_action_whose_entry_cant_be_written_does_not_happen(ledger: Ledger) -> None:
    done = ledger.db.document("planted/action")

    def body(transaction: Any) -> None:
        transaction.set(done, {"done": True})
        entry = tlog.Entry(tlog.Action.CONSENT_GIVEN, {}, ledger.platform.clock(), WHO)
        tlog.append(transaction, ledger.db, entry, name="the-same")

    transact(ledger.db, body)
    done.delete()
    with pytest.raises(AlreadyExists):
        transact(ledger.db, body)
    assert not done.get().exists
    with pytest.raises(ValueError, match="fractions"):
        tlog.append(
            ledger.db.batch(), ledger.db, tlog.Entry(tlog.Action.CONSENT_GIVEN, {"x": [0.5]}, ledger.platform.clock())
        )


STEPS = {
    "before the tiles": (Tiles, "extend", 0),
    "between two tiles": (Tiles, "_write", 1),
    "before the witness": (Witness, "post", 0),
    "before it is published": (Tiles, "publish", 0),
    "before the checkpoint of the job": (jobs.Worker, "_advance", 1),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_between_any_two_steps_repeats_nothing_and_loses_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    ledger.grow(3)
    owner, name, nth = STEPS[step]
    real, calls = getattr(owner, name), []

    def doomed(*given: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) <= nth:
            return real(*given, **named)
        if after:
            real(*given, **named)
        raise Crash

    ledger.append(300)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, doomed)
        with suppress(Crash):
            ledger.sequence()
        assert calls, "the crash must have come"
    ledger.append(2)  # what comes meanwhile must not change what was decided
    ledger.platform.clock.step(minutes=10)  # type: ignore[attr-defined]
    ledger.sequence()
    report = ledger.verify()
    assert (report.problems, report.size, report.pending) == ([], 305, 0)
    assert sorted(ledger.fields(entry)["index"] for entry in ledger.appended) == list(range(305))


def test_two_sequencers_at_once_make_one_tree(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append(5)
    real = Witness.post

    def slow(self: Witness, note: str) -> None:
        monkeypatch.setattr(Witness, "post", real)
        ledger.platform.clock.step(minutes=10)  # type: ignore[attr-defined]  (its lease ends)
        ledger.append(5)
        ledger.sequence()
        real(self, note)

    monkeypatch.setattr(Witness, "post", slow)
    ledger.sequence()
    assert [checkpoint.size for checkpoint in ledger.witnessed()] == [5, 10]
    assert checkpoint_of(Tiles(ledger.bucket).checkpoint() or "").size == 10, "who was overtaken hides nothing"
    assert not ledger.verify().problems


def test_an_inconsistent_tree_is_not_signed_even_if_all_else_looked_right(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.grow(3)
    real = Tiles.extend

    def wrong(self: Tiles, *given: Any) -> bytes:
        real(self, *given)
        return bytes(32)

    monkeypatch.setattr(Tiles, "extend", wrong)
    ledger.grow(2)
    assert [checkpoint.size for checkpoint in ledger.witnessed()] == [3]
    assert ledger.job()["attempts"] == 1


def test_nothing_new_means_no_new_checkpoint(ledger: Ledger) -> None:
    ledger.sequence()
    assert Tiles(ledger.bucket).checkpoint() is None
    ledger.grow(2)
    ledger.sequence()
    assert [checkpoint.size for checkpoint in ledger.witnessed()] == [2]


def test_while_the_witness_is_down_entries_wait_and_nothing_is_published(ledger: Ledger) -> None:
    ledger.grow(2)
    url = ledger.platform.settings.witness_url
    ledger.use(witness_url="http://127.0.0.1:9")
    ledger.grow(2)
    assert ledger.job()["attempts"] == 1
    assert checkpoint_of(Tiles(ledger.bucket).checkpoint() or "").size == 2
    ledger.use(witness_url=url)
    tlog_command.resume(ledger.platform)
    ledger.sequence()
    assert [checkpoint.size for checkpoint in ledger.witnessed()] == [2, 4]
    assert not ledger.verify().problems


def test_a_sequencer_that_fails_too_often_is_stuck_until_staff_let_it_go_on(ledger: Ledger) -> None:
    ledger.grow(1)
    ledger.use(witness_bucket="another")
    ledger.append()
    for _ in range(jobs.MAX_ATTEMPTS):
        ledger.platform.clock.step(hours=1)  # type: ignore[attr-defined]
        ledger.sequence()
    assert ledger.job()["state"] == "stuck"


def test_the_witness_forgets_nothing_and_takes_no_second_history(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.grow(2)
    witness = Witness(ledger.platform.settings)
    note = witness.latest() or ""
    witness.post(note)
    other = ledger.signer().sign(str(Checkpoint(ledger.platform.settings.log_origin, 2, bytes(32))))
    with pytest.raises(Forked):
        witness.post(other)
    bucket, client = ledger.platform.settings.witness_bucket, witness._client
    [version] = client.list_object_versions(Bucket=bucket, Prefix=f"{ledger.platform.settings.log_origin}/")["Versions"]
    held = client.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    assert held["ObjectLockMode"] == "COMPLIANCE"
    with pytest.raises(client.exceptions.ClientError, match="Access Denied"):
        client.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    client.delete_object(Bucket=bucket, Key=version["Key"])  # a marker: the key looks gone
    assert witness.latest() == note
    for number in range(12):  # more than one page of a listing
        client.put_object(Bucket=bucket, Key=version["Key"], Body=f"junk {number}".encode())
    assert witness.latest() == note, "the first is the one that was locked"
    witness.post(note)
    client.put_object(Bucket=bucket, Key=version["Key"], Body=other.encode())
    for ask in (witness.latest, lambda: witness.post(note)):
        with pytest.raises(Forked):
            ask()
    capsys.readouterr()
    ledger.append()
    ledger.sequence()
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in said] == ["job.failed", "log.inconsistent"]
    assert {line["error"] for line in said} == {"Forked"}
    assert any("not those that were witnessed" in problem for problem in ledger.verify().problems)


def test_the_witness_is_asked_for_what_the_log_signed_under_its_own_name(ledger: Ledger) -> None:
    """Who can put anything there says nothing by it, and does not stop the log either."""
    ledger.grow(2)
    witness, origin = Witness(ledger.platform.settings), ledger.platform.settings.log_origin
    note = witness.latest() or ""
    by_another_key = ledger.signer(3).sign(str(Checkpoint(origin, 90, bytes(32))))
    of_another_log = ledger.signer().sign(str(Checkpoint("example.com/other", 91, bytes(32))))
    for size, body in ((90, by_another_key), (91, of_another_log), (92, note), (93, "junk")):
        witness._client.put_object(
            Bucket=ledger.platform.settings.witness_bucket, Key=witness._name(size), Body=body.encode()
        )
    assert witness.latest() == note
    ledger.grow(1)
    assert checkpoint_of(witness.latest() or "").size == 3
    with pytest.raises(WitnessError, match="does not have"):
        witness.post(ledger.signer().sign(str(Checkpoint(origin, 93, bytes(32)))))


def test_a_refused_checkpoint_that_is_not_there_is_not_taken_for_remembered(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a write meets another one that then fails."""
    witness, real = Witness(ledger.platform.settings), Witness._ask

    def conflict(self: Witness, verb: str, **given: Any) -> Any:
        if verb == "put_object":
            raise FileExistsError
        return real(self, verb, **given)

    monkeypatch.setattr(Witness, "_ask", conflict)
    with pytest.raises(WitnessError):
        witness.post(ledger.signer().sign(str(Checkpoint(ledger.platform.settings.log_origin, 1, bytes(32)))))


def test_a_bucket_without_object_lock_is_no_witness(ledger: Ledger) -> None:
    witness = Witness(ledger.platform.settings)
    witness._client.create_bucket(Bucket="without-lock")
    ledger.use(witness_bucket="without-lock")
    with pytest.raises(WitnessError, match="InvalidRequest"):
        Witness(ledger.platform.settings).post(ledger.signer().sign(str(Checkpoint("x", 1, bytes(32)))))


def test_a_tile_that_is_there_already_must_be_the_same(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Storage emulator ignores preconditions, so what they would answer is answered here."""
    ledger.grow(1)
    name = path(0, 0, 1)
    tiles, content = Tiles(ledger.bucket), ledger.bucket.blob(PREFIX + name).download_as_bytes()
    asked: list[Any] = []

    def refuse(_: object, *given: Any, **named: Any) -> None:
        asked.append(named["if_generation_match"])
        raise PreconditionFailed("there is one")

    monkeypatch.setattr(type(ledger.bucket.blob("x")), "upload_from_string", refuse)
    tiles._write(name, content)
    with pytest.raises(Tampered, match="is there already"):
        tiles._write(name, bytes(32))
    assert asked == [0, 0]


def test_names_of_tiles_are_the_specifications() -> None:
    assert path(0, 1234067, 256) == "tile/0/x001/x234/067"
    assert path(3, 0, 17) == "tile/3/000.p/17"
    assert path(ENTRIES, 999, 256) == "tile/entries/999"
    assert path(ENTRIES, 1000, 1) == "tile/entries/x001/000.p/1"


@pytest.mark.parametrize("field", ["record", "nonce"])
def test_where_a_record_is_removed_the_tree_stays_whole_and_it_is_missed(ledger: Ledger, field: str) -> None:
    ledger.grow(3)
    tlog.reference(ledger.db, ledger.appended[1]).update({field: firestore.DELETE_FIELD})
    index = ledger.fields(ledger.appended[1])["index"]
    if field == "nonce":
        assert ledger.proof(ledger.appended[1]) is None
    for _ in range(2):
        report = ledger.verify()
        assert report.problems == [f"the record of entry {index} was removed"]
        ledger.grow(1)


def test_a_record_says_whom_it_concerns_and_of_the_log_itself_nobody(ledger: Ledger) -> None:
    now, batch = ledger.platform.clock(), ledger.db.batch()
    about = [
        tlog.append(batch, ledger.db, tlog.Entry(tlog.Action.ROLE_GRANTED, {"role": "cto"}, now, WHO)),
        tlog.append(batch, ledger.db, tlog.Entry(tlog.Action.REVIEW_OPENED, {"review": "2027"}, now)),
    ]
    batch.commit()
    ledger.sequence()
    found = [tlog.record(ledger.fields(entry)) for entry in about]
    assert found == [{"role": "cto", "subject": WHO}, {"review": "2027"}]
    assert not ledger.verify().problems


def rotate(ledger: Ledger, seed: int) -> None:
    """Announce a key, have it witnessed, deploy it with the old one among those that verify."""
    old = ledger.signer().verifier
    tlog_command.announce(ledger.platform, str(ledger.signer(seed).verifier))
    ledger.sequence()
    deploy(ledger, seed, *ledger.platform.settings.log_verifiers, str(old))


def deploy(ledger: Ledger, seed: int, *verifiers: str) -> None:
    key = base64.b64encode(bytes([seed] * 32)).decode()
    settings = type(ledger.platform.settings)(log_key=key, log_verifiers=verifiers)
    ledger.use(log_key=settings.log_key, log_verifiers=settings.log_verifiers)


def test_keys_are_rotated_and_what_old_ones_signed_stays_good(ledger: Ledger) -> None:
    ledger.grow(2)
    [receipt, old] = [ledger.proof(ledger.appended[0]), ledger.signer().verifier]
    rotate(ledger, 1)
    rotate_again = ledger.append()
    ledger.sequence()
    rotate(ledger, 2)
    ledger.grow(1)
    assert [checkpoint.size for checkpoint in ledger.witnessed()] == [2, 3, 4, 5, 6]
    assert not ledger.verify().problems
    record = json.loads(ledger.fields(ledger.appended[0])["record"])
    assert verify.verify(record, receipt or "", [str(old)])["index"] in (0, 1)
    assert verify.verify(record, receipt or "", ledger.keys())["size"] == 2
    assert ledger.proof(rotate_again[0])


def test_a_key_that_was_not_announced_signs_nothing(ledger: Ledger) -> None:
    ledger.grow(2)
    old = str(ledger.signer().verifier)
    deploy(ledger, 1, old)
    ledger.grow(1)
    assert ledger.job()["attempts"] == 1
    assert [checkpoint.size for checkpoint in ledger.witnessed()] == [2]
    # Announced, but not yet under the old key: it would be its own witness.
    tlog_command.announce(ledger.platform, str(ledger.signer().verifier))
    tlog_command.resume(ledger.platform)
    ledger.sequence()
    assert [checkpoint.size for checkpoint in ledger.witnessed()] == [2]


def test_a_log_whose_keys_are_not_known_goes_no_further(ledger: Ledger) -> None:
    ledger.grow(2)
    deploy(ledger, 1)
    ledger.grow(1)
    assert ledger.job()["attempts"] == 1
    assert any("no checkpoint of this log" in problem for problem in ledger.verify().problems)


def test_only_a_key_of_this_name_is_announced(ledger: Ledger) -> None:
    for line in ("nonsense", str(sequencer.Signer.of("example.com/other", bytes(32)).verifier)):
        with pytest.raises(ValueError):
            tlog_command.announce(ledger.platform, line)


def test_staff_see_the_log_as_tables_and_export_evidence_that_verifies_offline(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    now = ledger.platform.clock().replace(hour=23, minute=57)  # all is logged before midnight, and looked at after it
    ledger.platform.clock.now, day = now, now.date().isoformat()  # type: ignore[attr-defined]
    ledger.grow(3)
    staff = Pseudonym("7" * 64)
    batch = ledger.db.batch()
    tlog.append(batch, ledger.db, tlog.Entry(tlog.Action.HOLD_PLACED, {}, ledger.platform.clock(), None, staff))
    batch.commit()
    ledger.sequence()
    sit_down(monkeypatch, ledger.platform)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*command: str) -> tuple[int, str]:
        code = main(["tlog", *command])
        return code, capsys.readouterr().out

    code, shown = run("list", "--subject", WHO[:12])
    assert (code, shown.count("account:consent:give"), shown.count("is the one committed to")) == (0, 3, 3)
    assert run("list")[1].count("account:consent:give") == 3
    assert "running" in run("status")[1]
    code, shown = run("verify")
    assert code == 0
    assert "the log is as it was witnessed" in shown
    code, key = run("key")
    file = tmp_path / "evidence.json"
    assert run("export", day, day, str(file))[0] == 0
    assert run("export", "2020-01-01", "2020-01-02", str(tmp_path / "none.json"))[0] == 0

    def offline(path: Path, with_key: str) -> subprocess.CompletedProcess[str]:
        """In a Python that can't import anything of ours."""
        command = [sys.executable, "-I", str(ROOT / "verify.py"), str(path), "--key", with_key]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603

    good = offline(file, key.strip())
    assert (good.returncode, good.stdout.count("proved: account:consent:give")) == (0, 3), good.stderr
    assert offline(file, str(ledger.signer(9).verifier)).returncode == 1
    assert offline(tmp_path / "none.json", key.strip()).returncode == 1, "nothing was proved"
    assert f"governance:hold:place is entry 3 of 4, made at {day}" in good.stdout
    assert good.stdout.count(f" by {staff}") == 1
    evidence = json.loads(file.read_text())

    def forged(reason: str, **changes: Any) -> bool:
        """Whether evidence whose last entry was changed is refused for this reason."""
        entries = [*evidence["entries"][:-1], evidence["entries"][-1] | changes]
        file.write_text(json.dumps(evidence | {"entries": entries}))
        found = offline(file, key.strip())
        return found.returncode == 1 and reason in found.stderr

    assert forged("not what was logged", record={"number": 7})
    for name, value in {"index": 0, "action": "x", "at": 0, "actor": WHO, "commitment": "0" * 64}.items():
        assert forged(f"says another {name} than the log", **{name: value})
    tlog.reference(ledger.db, ledger.appended[0]).update({"record": firestore.DELETE_FIELD})
    assert run("export", day, day, str(file))[0] == 0
    partial = offline(file, key.strip())
    assert (partial.returncode, "the record was removed" in partial.stderr) == (1, True)
