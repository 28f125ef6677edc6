"""An attacker who writes wherever we do, Firestore and Storage, and even has the log's key; but not the witness.

Each way of rewriting history is found by the audit, and where the sequencer goes on from what was touched, it signs
nothing. What an attacker can do unseen is remove an entry before it has a place: see the end.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from google.cloud import firestore

import verify
from astra import tlog
from astra.tlog.signed_note import checkpoint_of
from astra.tlog.tiles import ENTRIES, PREFIX, Tampered, Tiles, bundle, path
from erasure import request_handlers
from tests.functions.governance.ledger import WHO, Ledger, nonce
from tlog import sequencer

SIZE = 300


def swapped(entries: list[bytes], one: int, other: int) -> list[bytes]:
    entries[one], entries[other] = entries[other], entries[one]
    return entries


def edited(entry: bytes) -> bytes:
    fields = json.loads(entry)
    return json.dumps({**fields, "at": fields["at"] - 86400}, separators=(",", ":"), sort_keys=True).encode()


def other_tree(make: Callable[[list[bytes]], list[bytes]], *, with_key: bool) -> Callable[[Ledger], None]:
    def attack(ledger: Ledger) -> None:
        ledger.rewrite(make(ledger.entries(SIZE)), ledger.signer() if with_key else None)

    return attack


def edit(entries: list[bytes]) -> list[bytes]:
    return [*entries[:7], edited(entries[7]), *entries[8:]]


def edit_the_last(entries: list[bytes]) -> list[bytes]:
    return [*entries[:-1], edited(entries[-1])]


def delete_and_fill(entries: list[bytes]) -> list[bytes]:
    return [*entries[:7], *entries[8:], edited(entries[-1])]


def delete(entries: list[bytes]) -> list[bytes]:
    return [*entries[:7], *entries[8:]]


def insert(entries: list[bytes]) -> list[bytes]:
    return [*entries[:7], edited(entries[7]), *entries[7:]]


def reorder(entries: list[bytes]) -> list[bytes]:
    return swapped(entries, 3, 299)


def edit_one_hash(ledger: Ledger) -> None:
    ledger.put(path(0, 0, 256), bytes(32 * 256))


def edit_an_upper_tile(ledger: Ledger) -> None:
    ledger.put(path(1, 0, 1), bytes(32))


def edit_the_entries_alone(ledger: Ledger) -> None:
    entries = ledger.entries(SIZE)[256:]
    ledger.put(path(ENTRIES, 1, 44), bundle([edited(entries[0]), *entries[1:]]))


def cut_a_bundle_off(ledger: Ledger) -> None:
    ledger.put(path(ENTRIES, 1, 44), bundle(ledger.entries(SIZE)[256:])[:-1])


def drop_from_a_bundle(ledger: Ledger) -> None:
    ledger.put(path(ENTRIES, 1, 44), bundle(ledger.entries(SIZE)[256:-1]))


def remove_tiles(ledger: Ledger) -> None:
    ledger.bucket.blob(PREFIX + path(0, 1, 44)).delete()


def remove_entries(ledger: Ledger) -> None:
    ledger.bucket.blob(PREFIX + path(ENTRIES, 0, 256)).delete()


def truncate(ledger: Ledger) -> None:
    """Back to the first checkpoint, signed as it was, in Storage and in Firestore."""
    first = ledger.entries(SIZE)[:200]
    ledger.rewrite(first, ledger.signer())
    for row in ledger.db.collection(tlog.COMMITMENTS).where(filter=firestore.FieldFilter("index", ">=", 200)).get():
        row.reference.delete()
    sequencer.reference(ledger.db).update({"size": 200, "published": 200})


def begin_anew(ledger: Ledger) -> None:
    """No log was ever here."""
    for blob in ledger.bucket.list_blobs(prefix=PREFIX):
        blob.delete()
    batch = ledger.db.batch()
    for row in ledger.db.collection(tlog.COMMITMENTS).get():
        batch.delete(row.reference)
    batch.commit()
    sequencer.reference(ledger.db).delete()


def begin_anew_with_other_entries(ledger: Ledger) -> None:
    """And another one of the same length is."""
    job = ledger.job()
    begin_anew(ledger)
    ledger.append(SIZE)
    rows = ledger.db.collection(tlog.COMMITMENTS).get()
    batch = ledger.db.batch()
    for number, row in enumerate(rows):
        batch.update(row.reference, {"index": number})
    batch.commit()
    ledger.rewrite([tlog.leaf(row.to_dict() or {}) for row in rows], ledger.signer())
    sequencer.reference(ledger.db).set(job)


def fork(ledger: Ledger) -> None:
    """A longer tree of its own, signed with the stolen key and shown to some."""
    ledger.rewrite([*edit(ledger.entries(SIZE)), b"{}"], ledger.signer())


def sign_with_another_key(ledger: Ledger) -> None:
    ledger.rewrite(edit(ledger.entries(SIZE)), ledger.signer(3))


def edit_everywhere(ledger: Ledger) -> None:
    """One record, in Firestore, in the entries and in all tiles above it: but for the checkpoint it all fits."""
    exchange_a_record_with_its_commitment(ledger)
    rows = ledger.db.collection(tlog.COMMITMENTS).order_by("index").get()
    ledger.rewrite([tlog.leaf(row.to_dict() or {}) for row in rows])


def unpublish(ledger: Ledger) -> None:
    ledger.bucket.blob(f"{PREFIX}checkpoint").delete()


def publish_an_old_checkpoint(ledger: Ledger) -> None:
    first = ledger.witnessed()[0]
    ledger.put("checkpoint", ledger.signer().sign(str(first)).encode())


def publish_nonsense(ledger: Ledger) -> None:
    ledger.put("checkpoint", b"nonsense")


def edit_a_record(ledger: Ledger) -> None:
    ledger.at(7).update({"record": '{"number":8}'})


def exchange_a_record_with_its_commitment(ledger: Ledger) -> None:
    ledger.at(7).update({"record": "{}", "nonce": nonce(1), "commitment": tlog.commitment(bytes([1] * 32), {})})


def backdate_in_firestore(ledger: Ledger) -> None:
    ledger.at(7).update({"at": 0})


def remove_from_firestore(ledger: Ledger) -> None:
    ledger.at(7).delete()


def remove_the_last_from_firestore(ledger: Ledger) -> None:
    ledger.at(299).delete()


def reorder_in_firestore(ledger: Ledger) -> None:
    one, other = ledger.at(7), ledger.at(8)
    one.update({"index": 8})
    other.update({"index": 7})


def give_a_place_twice(ledger: Ledger) -> None:
    ledger.at(8).update({"index": 7})


def hide_from_queries(ledger: Ledger) -> None:
    ledger.at(7).update({"index": firestore.DELETE_FIELD})


def rename(ledger: Ledger, to: str = "6" * 64) -> None:
    """An entry about somebody is said to be about somebody else."""
    old = ledger.at(7)
    ledger.db.collection(tlog.COMMITMENTS).document(f"{to}.{old.id.partition('.')[2]}").set(old.get().to_dict())
    old.delete()


def rename_to_the_logs(ledger: Ledger) -> None:
    """Or about nobody."""
    rename(ledger, tlog.LOG)


def remove_a_record(ledger: Ledger) -> None:
    ledger.at(7).update({"record": firestore.DELETE_FIELD, "nonce": firestore.DELETE_FIELD})


IN_STORAGE = {
    "edit, without the key": other_tree(edit, with_key=False),
    "edit, with the key": other_tree(edit, with_key=True),
    "edit the last": other_tree(edit_the_last, with_key=True),
    "delete": other_tree(delete, with_key=True),
    "delete and fill up": other_tree(delete_and_fill, with_key=True),
    "insert": other_tree(insert, with_key=True),
    "reorder": other_tree(reorder, with_key=True),
    "edit one hash": edit_one_hash,
    "edit an upper tile": edit_an_upper_tile,
    "edit the entries alone": edit_the_entries_alone,
    "cut a bundle off": cut_a_bundle_off,
    "drop from a bundle": drop_from_a_bundle,
    "remove tiles": remove_tiles,
    "remove entries": remove_entries,
    "truncate": truncate,
    "begin anew": begin_anew,
    "begin anew with other entries": begin_anew_with_other_entries,
    "fork": fork,
    "sign with another key": sign_with_another_key,
    "edit everywhere": edit_everywhere,
    "unpublish": unpublish,
    "publish an old checkpoint": publish_an_old_checkpoint,
    "publish nonsense": publish_nonsense,
}
IN_FIRESTORE = {
    "edit a record": edit_a_record,
    "exchange a record with its commitment": exchange_a_record_with_its_commitment,
    "backdate": backdate_in_firestore,
    "remove": remove_from_firestore,
    "remove the last": remove_the_last_from_firestore,
    "reorder": reorder_in_firestore,
    "give a place twice": give_a_place_twice,
    "hide": hide_from_queries,
    "rename": rename,
    "rename to the log's": rename_to_the_logs,
    "remove a record": remove_a_record,
}
#: Of these the sequencer goes on, or does not see them: it reads the right edge of the tree, not all of it.
BEYOND_THE_EDGE = {"edit one hash", "remove entries", "unpublish", "publish an old checkpoint", "publish nonsense"}


@pytest.mark.parametrize("attack", IN_STORAGE)
def test_who_rewrites_the_tree_is_found_and_nothing_is_signed_on_top_of_it(ledger: Ledger, attack: str) -> None:
    ledger.grow(200, 100)
    assert not ledger.verify().problems
    IN_STORAGE[attack](ledger)
    assert ledger.verify().problems, "unseen"
    before = ledger.witnessed()
    ledger.grow(1)
    if attack not in BEYOND_THE_EDGE and not goes_on_from_what_was_witnessed(ledger, before):
        assert ledger.witnessed() == before, "it was signed"
        assert ledger.job()["attempts"] == 1
    if attack not in ("unpublish", "publish an old checkpoint", "publish nonsense"):
        assert ledger.verify().problems, "the next checkpoint has covered it up"


def goes_on_from_what_was_witnessed(ledger: Ledger, before: list[Any]) -> bool:
    """Whether what was signed has the witnessed tree as its beginning: the attack did not reach what it grew from."""
    after = ledger.witnessed()
    if after == before:
        return False
    [new] = after[len(before) :]
    proof = Tiles(ledger.bucket).tree(new.size).consistency(before[-1].size)
    assert sequencer.merkle.proves_consistency(before[-1].size, new.size, proof, before[-1].root, new.root)
    return True


@pytest.mark.parametrize("attack", IN_FIRESTORE)
def test_who_rewrites_what_staff_see_is_found(ledger: Ledger, attack: str) -> None:
    ledger.grow(200, 100)
    IN_FIRESTORE[attack](ledger)
    problems = ledger.verify().problems
    assert problems, "unseen"
    assert "not those that were witnessed" not in str(problems), "the tree itself is whole"


def test_a_job_that_is_set_back_repeats_nothing(ledger: Ledger) -> None:
    """Sequenced anew from an earlier place, entries would be there twice."""
    ledger.grow(5, 5)
    sequencer.reference(ledger.db).update({"size": 5, "published": 5})
    ledger.grow(1)
    assert [checkpoint.size for checkpoint in ledger.witnessed()] == [5, 10]
    assert ledger.job()["attempts"] == 1


def test_a_job_that_is_set_ahead_signs_nothing(ledger: Ledger) -> None:
    ledger.grow(5)
    sequencer.reference(ledger.db).update({"size": 9, "published": 9})
    ledger.grow(1)
    assert [checkpoint.size for checkpoint in ledger.witnessed()] == [5]


def test_an_entry_that_goes_between_its_place_and_its_checkpoint_is_missed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.grow(2)
    ledger.append(3)
    real = sequencer.Sequencer._publish

    def die(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(sequencer.Sequencer, "_publish", die)
    with pytest.raises(KeyboardInterrupt):
        ledger.sequence()
    monkeypatch.setattr(sequencer.Sequencer, "_publish", real)
    ledger.at(3).delete()
    ledger.platform.clock.step(minutes=10)  # type: ignore[attr-defined]
    ledger.sequence()
    assert [checkpoint.size for checkpoint in ledger.witnessed()] == [2]
    with pytest.raises(Tampered, match="missing"):
        sequencer.Sequencer(ledger.platform)._assigned(2, 5)


def events(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]


def test_a_receipt_outlives_the_log_and_is_not_made_of_a_rewritten_one(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.grow(5)
    entry = ledger.appended[2]
    record, proof = json.loads(ledger.fields(entry)["record"]), ledger.proof(entry) or ""
    ledger.at(ledger.fields(entry)["index"]).update({"at": 0})
    with pytest.raises(Tampered):
        ledger.proof(entry)
    capsys.readouterr()
    assert request_handlers._proof(ledger.platform, entry) is None
    assert events(capsys) == ["log.proof-failed", "log.inconsistent"]
    ledger.bucket.blob(f"{PREFIX}checkpoint").upload_from_string(b"\xff\n\n\xff\n")
    assert request_handlers._proof(ledger.platform, entry) is None
    assert events(capsys) == ["log.proof-failed", "log.inconsistent"]
    begin_anew(ledger)
    assert verify.verify(record, proof, ledger.keys())["size"] == 5
    for forged in (
        proof.replace("index ", "index 1"),
        proof.replace("c2sp.org", "example.com"),
        proof.replace("\n5\n", "\n6\n"),
        proof.replace("extra ", "extra A"),
        proof.rpartition("\n\n")[0],
        "",
    ):
        with pytest.raises(verify.NotProved):
            verify.verify(record, forged, ledger.keys())
    with pytest.raises(verify.NotProved, match="not what was logged"):
        verify.verify({**record, "subject": "somebody"}, proof, ledger.keys())
    with pytest.raises(verify.NotProved, match="not signed by the key"):
        verify.verify(record, proof, [str(ledger.signer(3).verifier)])
    assert checkpoint_of(proof.partition("\n\n")[2]).size == 5
    assert WHO in str(record)


def test_what_waits_for_too_long_is_a_problem(ledger: Ledger) -> None:
    ledger.grow(1)
    ledger.append()
    assert not ledger.verify().problems
    ledger.platform.clock.step(hours=2)  # type: ignore[attr-defined]
    assert any("waiting" in problem for problem in ledger.verify().problems)


def test_the_limit_an_entry_without_a_place_can_be_removed_unseen(ledger: Ledger) -> None:
    """Written down as a test, so that nobody believes more of the log than it keeps."""
    [entry] = ledger.append()
    tlog.reference(ledger.db, entry).delete()
    ledger.grow(1)
    assert not ledger.verify().problems
