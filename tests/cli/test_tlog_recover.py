"""Firestore is restored from a backup, and knows less of the log than the witness does."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from astra import tlog
from astra.runtime.platform import Platform
from astra.tlog.tiles import Tampered
from cli import common, tlog_recover
from cli import tlog as tlog_command
from cli.__main__ import main
from cli.tlog import evidence
from tests.functions.erasure.boundaries import Boundaries, Crash, Mishap, crash
from tests.functions.governance.conftest import ledger, platform, team  # noqa: F401
from tests.functions.tlog.ledger import Ledger
from tests.support.desk import sit_down

Copy = tuple[dict[str, dict[str, Any]], dict[str, Any]]


def back_up(ledger: Ledger) -> Copy:
    rows = {row.id: row.to_dict() or {} for row in ledger.db.collection(tlog.COMMITMENTS).get()}
    return rows, ledger.job()


def restore(ledger: Ledger, copy: Copy) -> None:
    rows, job = copy
    for row in ledger.db.collection(tlog.COMMITMENTS).get():
        row.reference.delete()
    for name, fields in rows.items():
        tlog.reference(ledger.db, name).set(fields)
    document = ledger.db.document(tlog_command.JOB)
    document.set(job) if job else document.delete()


def recover(ledger: Ledger) -> tlog_recover.Recovery:
    found = tlog_recover.plan(ledger.platform)
    tlog_recover.recover(ledger.platform, found)
    return found


def refuses(ledger: Ledger) -> None:
    """The sequencer signs nothing, and says so by its failures."""
    witnessed = ledger.witnessed()
    ledger.sequence()
    assert ledger.job()["attempts"] > 0
    assert ledger.witnessed() == witnessed


def sound(ledger: Ledger, lost: int) -> None:
    """After another checkpoint everything is as it was witnessed, but for so many records."""
    ledger.grow(2)
    report = ledger.verify()
    assert (report.problems, report.lost, report.pending) == ([], lost, 0)


def test_lost_records_are_logged_and_the_log_goes_on(ledger: Ledger) -> None:
    ledger.grow(3, 2)
    kept, copy = list(ledger.appended), back_up(ledger)
    ledger.grow(4)
    proofs = [ledger.proof(entry) for entry in kept]
    restore(ledger, copy)
    assert any("5 to 8 are not in Firestore" in problem for problem in ledger.verify().problems)
    found = recover(ledger)
    assert (found.lost, found.records_lost, found.places) == ((range(5, 9),), 4, {})
    sound(ledger, lost=4)
    assert [checkpoint.size for checkpoint in ledger.witnessed()] == [3, 5, 9, 12]
    assert all(proofs)
    assert all(ledger.proof(entry) for entry in ledger.appended if entry in kept)
    [logged] = [
        tlog.record(row.to_dict() or {})
        for row in ledger.db.collection(tlog.COMMITMENTS).get()
        if row.get("action") == tlog.Action.RECORDS_LOST
    ]
    assert logged is not None
    assert (logged["size"], logged["lost"]) == (9, [[5, 8]])


@pytest.mark.parametrize("by_itself", [False, True])
def test_what_was_pending_in_the_backup_gets_the_place_back_that_it_had(ledger: Ledger, by_itself: bool) -> None:
    """Where nothing else came meanwhile the sequencer finds the same order again, and needs no help."""
    ledger.grow(3)
    pending = ledger.append(5)
    copy = back_up(ledger)
    ledger.sequence()
    places = {entry: ledger.fields(entry)["index"] for entry in pending}
    restore(ledger, copy)
    if by_itself:
        ledger.sequence()
    else:
        assert recover(ledger).lost == ()
    assert {entry: ledger.fields(entry)["index"] for entry in pending} == places
    sound(ledger, lost=0)


@pytest.mark.parametrize("new", [2, 4, 9])
def test_what_came_after_the_restore_is_in_the_log_and_nothing_of_it_is_dropped(ledger: Ledger, new: int) -> None:
    """Fewer, as many and more than were lost: the sequencer has given them places by then, and signs nothing."""
    ledger.grow(3)
    copy = back_up(ledger)
    ledger.grow(4)
    restore(ledger, copy)
    later = ledger.append(new)
    refuses(ledger)
    found = recover(ledger)
    assert (found.lost, set(found.places)) == ((range(3, 7),), set(later))
    sound(ledger, lost=4)
    tree = ledger.entries(ledger.witnessed()[-1].size)
    assert all(tree[ledger.fields(entry)["index"]] == tlog.leaf(ledger.fields(entry)) for entry in later)


def test_a_backup_from_before_the_log_loses_every_record_and_no_place(ledger: Ledger) -> None:
    copy = back_up(ledger)
    ledger.grow(3)
    restore(ledger, copy)
    assert recover(ledger).lost == (range(3),)
    sound(ledger, lost=3)


def test_a_second_restore_counts_what_was_lost_before_no_second_time(ledger: Ledger) -> None:
    ledger.grow(2)
    copy = back_up(ledger)
    ledger.grow(2)
    restore(ledger, copy)
    recover(ledger)
    ledger.grow(1)
    copy = back_up(ledger)
    ledger.grow(3)
    restore(ledger, copy)
    assert recover(ledger).lost == (range(6, 9),)
    sound(ledger, lost=5)
    with pytest.raises(LookupError, match="nothing to recover"):
        tlog_recover.plan(ledger.platform)


@pytest.mark.parametrize("behind", [False, True])
def test_what_no_backup_explains_is_not_recovered_from(ledger: Ledger, behind: bool) -> None:
    """An entry from before the backup is gone, or is another: somebody did that, and it stays a problem."""
    ledger.grow(3)
    copy = back_up(ledger)
    if behind:
        ledger.grow(2)
        restore(ledger, copy)
    fields = ledger.at(1).get().to_dict()
    ledger.at(1).update({"commitment": "0" * 64})
    with pytest.raises(Tampered, match="entry 1 in Firestore is not the one"):
        tlog_recover.plan(ledger.platform)
    ledger.at(1).set(fields)
    ledger.at(1).delete()
    with pytest.raises(Tampered, match="entry 1 is not in Firestore any more"):
        tlog_recover.plan(ledger.platform)


def test_a_tree_that_is_not_the_witnessed_one_is_not_recovered_from(ledger: Ledger) -> None:
    ledger.grow(3)
    copy = back_up(ledger)
    ledger.grow(2)
    restore(ledger, copy)
    entries = ledger.entries(5)
    ledger.rewrite([*entries[:3], b"another", entries[4]])
    with pytest.raises(Tampered, match="not the witnessed one"):
        tlog_recover.plan(ledger.platform)


def test_where_nothing_is_behind_there_is_nothing_to_recover(ledger: Ledger) -> None:
    with pytest.raises(LookupError):
        tlog_recover.plan(ledger.platform)
    ledger.grow(3)
    ledger.append(2)
    with pytest.raises(LookupError, match="nothing to recover"):
        tlog_recover.plan(ledger.platform)


def test_an_entry_can_declare_lost_only_what_was_before_it(ledger: Ledger) -> None:
    batch = ledger.db.batch()
    record = {"size": 0, "root": "", "lost": [[0, 9]], "at": ""}
    tlog.append(batch, ledger.db, tlog.Entry(tlog.Action.RECORDS_LOST, record, ledger.platform.clock()))
    batch.commit()
    ledger.sequence()
    ledger.grow(3)
    ledger.at(2).delete()
    assert any("2 to 2" in problem for problem in ledger.verify().problems)


def test_wherever_it_breaks_off_doing_it_again_ends_it(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.grow(3)
    pending = ledger.append(2)
    copy = back_up(ledger)
    ledger.grow(4)
    boundaries = Boundaries(monkeypatch)
    for after in (False, True):
        at = calls = 1
        while at <= calls:
            restore(ledger, copy)
            with suppress(Crash), boundaries.armed(Mishap(at, after=after, strike=crash)):
                recover(ledger)
            calls = max(calls, boundaries.calls, at)
            with suppress(LookupError):  # it was done, and the answer alone was lost
                recover(ledger)
            assert [ledger.fields(entry)["index"] for entry in pending] != [None, None]
            lost = [
                row
                for row in ledger.db.collection(tlog.COMMITMENTS).get()
                if row.get("action") == tlog.Action.RECORDS_LOST
            ]
            assert len(lost) == 1
            assert (ledger.job()["size"], ledger.job()["state"]) == (9, "running")
            at += 1
            if at > 40:
                break
    sound(ledger, lost=4)


def test_the_command_says_what_is_lost_and_asks_first(
    ledger: Ledger, platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.grow(3)
    copy = back_up(ledger)
    ledger.grow(2)
    restore(ledger, copy)
    sit_down(monkeypatch, platform)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(common.typer, "confirm", lambda *_, **__: False)
    assert main(["tlog", "recover"]) == 1
    assert "of entries 3 to 4" in capsys.readouterr().out
    assert ledger.job()["size"] == 3
    assert main(["tlog", "recover", "--yes"]) == 0
    assert main(["tlog", "recover", "--yes"]) == 1
    assert "nothing to recover" in capsys.readouterr().err
    sound(ledger, lost=2)
    now, years = platform.clock(), timedelta(days=9999)
    assert evidence(platform, now - years, now + years)["entries"]
