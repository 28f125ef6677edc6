from typing import Any

import pytest

from astra import erasure
from astra.datamap.model import Disposition
from astra.datamap.table import DATA_MAP
from astra.erasure import legal_holds
from astra.runtime.platform import Platform
from erasure import residual_copies
from tests.functions.erasure.somebody import Somebody


def run(ada: Somebody, hours: float = 3) -> dict[str, Any]:
    """Work on the erasure for some hours."""
    for _ in range(round(hours)):
        ada.work()
        ada.platform.clock.step(hours=1)  # type: ignore[attr-defined]
    return ada.fields()


def line(job: dict[str, Any], entry: str) -> dict[str, Any]:
    found: dict[str, Any] = next(line for line in job["certificate"]["stores"] if line["entry"] == entry)
    return found


def test_what_is_held_stays_readable_and_everything_else_goes(ada: Somebody) -> None:
    neighbour = Somebody(ada.platform, ada.uid + "x")
    before = neighbour.places()
    ada.hold("sealed-images")
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    job = run(ada)
    left = {place for place in ada.places() if not place.startswith("(default):erasures/")}
    # The keys too: without them a held image is noise.
    assert left == {f"images/{ada.uid}/ring-0001", f"vault:keys/{ada.uid}", f"vault:keys/{ada.uid}/objects/ring-0001"}
    assert (job["state"], job["step"]) == ("running", "held")
    assert neighbour.places() == before


def test_the_certificate_says_what_is_held_why_and_until_when(ada: Somebody) -> None:
    ada.hold("sealed-images")
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    job = run(ada)
    held = line(job, "sealed-images")
    assert (held["found"], held["deleted"], held["retained"], held["remaining"]) == (1, 0, 1, 0)
    assert held["basis"] == "legal hold: Code of civil procedure § 142, case 7 O 12/26"
    assert held["until"] > job["certificate"]["verifiedAt"]
    assert job["certificate"]["keyDestroyed"] is False
    assert (line(job, "profile")["deleted"], line(job, "profile")["retained"]) == (1, 0)


@pytest.mark.parametrize("how", ["released", "expired"])
def test_when_the_hold_ends_the_erasure_goes_on_by_itself(ada: Somebody, how: str) -> None:
    hold = ada.hold("sealed-images", days=2)
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    run(ada)
    if how == "released":
        legal_holds.release(ada.platform.db, ada.subject, hold, ada.platform.clock())
        legal_holds.release(ada.platform.db, ada.subject, hold, ada.platform.clock())  # twice is once
    else:
        run(ada, 20)
        assert ada.fields()["step"] == "held"
        ada.platform.clock.step(days=2)  # type: ignore[attr-defined]
    job = run(ada, 6)
    assert job["state"] == "verified"
    assert "uid" not in job
    assert ada.places() == set()
    assert (line(job, "sealed-images")["deleted"], line(job, "sealed-images")["retained"]) == (1, 0)
    assert job["certificate"]["keyDestroyed"] is True


def test_a_hold_placed_in_the_middle_keeps_what_is_still_there(ada: Somebody) -> None:
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    while (job := ada.fields())["step"] != "firestore":
        ada.job.update(ada.cascade().page(job))  # type: ignore[arg-type]
    ada.hold("image-records")
    job = run(ada)
    assert line(job, "image-records")["retained"] == 1
    assert line(job, "sealed-images")["deleted"] == 1
    assert ada.platform.db.document(f"users/{ada.uid}/images/ring-0001").get().exists


def test_one_hold_ends_and_another_still_holds(ada: Somebody) -> None:
    first, _ = ada.hold("sealed-images"), ada.hold("image-records", "sealed-images")
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    run(ada)
    legal_holds.release(ada.platform.db, ada.subject, first, ada.platform.clock())
    job = run(ada, 6)
    assert job["step"] == "held"
    assert line(job, "sealed-images")["retained"] == 1


def test_a_hold_on_what_is_not_there_delays_nothing(ada: Somebody) -> None:
    ada.hold("prompts")
    assert ada.erase()["state"] == "verified"


NAMES = [entry.name for entry in DATA_MAP if entry.disposition is Disposition.DELETE and not entry.passing]


@pytest.mark.parametrize(
    ("entries", "changes", "reason"),
    [
        (NAMES, {}, "everything"),
        (NAMES[1:], {}, "nearly so"),
        ([], {}, "name what"),
        (["*"], {}, "not in the data map"),
        (["tombstone"], {}, "never erased"),
        (["uploads"], {}, "uploads: gone by itself"),
        (["sealed-images"], {"basis": "  "}, "basis"),
        (["sealed-images"], {"approvers": ["priya"]}, "two different"),
        (["sealed-images"], {"approvers": ["priya", "priya"]}, "two different"),
        (["sealed-images"], {"approvers": ["priya", " "]}, "two different"),
        (["sealed-images"], {"approvers": ["priya", "Priya "]}, "two different"),
        (["sealed-images"], {"approvers": "priya"}, "two different"),
        (["sealed-images"], {"days": -1}, "future"),
        (["sealed-images"], {"days": 367}, "366 days"),
    ],
)
def test_a_hold_that_is_too_wide_or_unfounded_is_refused(
    ada: Somebody, entries: list[str], changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(legal_holds.Refused, match=reason):
        ada.hold(*entries, **changes)
    assert not legal_holds.reference(ada.platform.db, ada.subject).get().exists


def test_everything_is_not_held_piece_by_piece_either(ada: Somebody) -> None:
    for number in range(0, len(NAMES), 2):
        try:
            ada.hold(*NAMES[number : number + 2])
        except legal_holds.Refused as refused:
            assert "nearly so" in str(refused)
            break
    else:
        pytest.fail("everything is held")
    held = legal_holds.held(legal_holds.reference(ada.platform.db, ada.subject).get(), ada.platform.clock())
    assert len(NAMES) / 3 < len(held) < len(NAMES) * 2 / 3
    ada.hold(*NAMES[:2])  # what is held anyway may be held for another reason


def test_releasing_what_was_never_held_is_refused(platform: Platform[Any], ada: Somebody) -> None:
    with pytest.raises(legal_holds.Refused):
        legal_holds.release(platform.db, ada.subject, "0123456789abcdef", platform.clock())


def test_keys_are_held_as_long_as_the_longest_hold_that_needs_them(ada: Somebody) -> None:
    ada.hold("sealed-images", days=300)
    ada.hold("user-key", "object-keys", days=3)
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    job = run(ada)
    assert line(job, "object-keys")["until"] == line(job, "sealed-images")["until"]


def test_a_hold_that_ends_during_the_verification_is_not_waited_for(
    ada: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, real, released = ada.hold("sealed-images", days=300), residual_copies.lasting, [False]

    def meanwhile(platform: Platform[Any]) -> Any:
        if not released[0]:
            released[0] = True
            legal_holds.release(platform.db, ada.subject, hold, platform.clock())
        return real(platform)

    monkeypatch.setattr(residual_copies, "lasting", meanwhile)
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    assert run(ada, 9)["state"] == "verified"
    assert ada.places() == set()
