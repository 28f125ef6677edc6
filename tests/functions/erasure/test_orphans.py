"""The roll call over a project of its own: whoever should not be there is erased, and nobody else."""

import io
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from firebase_admin import auth
from google.api_core.exceptions import ServiceUnavailable
from requests.adapters import HTTPAdapter

import cascade
import orphans
from astra import erasure, jobs, log, tombstones
from astra.platform import Platform
from astra.pseudonyms import Pseudonym
from tests.functions.erasure.somebody import Somebody

BUDGET = timedelta(minutes=1)


def call_the_roll(platform: Platform[Any]) -> dict[str, Any]:
    """A whole round, a day after whatever happened. Answers the job."""
    platform.clock.step(hours=25)  # type: ignore[attr-defined]
    orphans.call_the_roll(platform, BUDGET)
    fields: dict[str, Any] = erasure.roll_call(platform.db).get().to_dict() or {}
    return fields


def finish(platform: Platform[Any], *people: Somebody) -> None:
    """Run what the roll call has begun."""
    for somebody in people:
        for _ in range(3):
            somebody.work()
            platform.clock.step(hours=2)  # type: ignore[attr-defined]


def begun(platform: Platform[Any]) -> set[str]:
    return {job.id for job in jobs_of(platform)}


def jobs_of(platform: Platform[Any]) -> list[Any]:
    return platform.db.collection(erasure.JOBS).get()


def test_sound_accounts_are_left_alone(platform: Platform[Any], ada: Somebody) -> None:
    before = ada.places()
    call_the_roll(platform)
    assert begun(platform) == set()
    assert ada.places() == before


def test_accounts_deleted_in_the_console_or_in_bulk_take_their_data_along(platform: Platform[Any]) -> None:
    gone, stays = [Somebody(platform) for _ in range(3)], Somebody(platform)
    before = stays.places()
    auth.delete_users([somebody.uid for somebody in gone], app=platform.app)
    call_the_roll(platform)
    finish(platform, *gone)
    for somebody in gone:
        assert somebody.fields()["state"] == "verified"
        assert somebody.places() == set()
    assert begun(platform) == {somebody.subject for somebody in gone}
    assert stays.places() == before


@pytest.mark.parametrize("place", ["objects", "keys", "documents below a missing profile"])
def test_data_of_somebody_who_never_was_goes(platform: Platform[Any], place: str) -> None:
    uid = "never-was-anybody"
    match place:
        case "objects":
            platform.bucket.blob(f"images/{uid}/ring-0001").upload_from_file(io.BytesIO(b"x"), size=1)
        case "keys":
            platform.vault.new_object(uid, "ring-0001")
        case _:
            platform.db.document(f"users/{uid}/images/ring-0001").set({"createdAt": platform.clock()})
    call_the_roll(platform)
    subject = platform.pseudonyms.of_uid(uid)
    assert begun(platform) == {subject}


def test_an_account_whose_sign_up_broke_off_goes_and_staff_stay(platform: Platform[Any]) -> None:
    for uid in ("broke-off", "staff-member"):
        auth.create_user(uid=uid, app=platform.app)
    auth.set_custom_user_claims("staff-member", {"role": "privacy"}, app=platform.app)
    call_the_roll(platform)
    assert begun(platform) == {platform.pseudonyms.of_uid("broke-off")}


def test_what_is_younger_than_a_day_is_given_time(platform: Platform[Any]) -> None:
    auth.create_user(uid="just-signing-up", app=platform.app)
    platform.db.document("users/just-signing-up-too").set({"state": "active"})
    orphans.call_the_roll(platform, BUDGET)
    assert begun(platform) == set()


@pytest.mark.parametrize("tombstone", ["kept", "lost with the rest of the database"])
def test_a_restored_backup_is_erased_again(platform: Platform[Any], ada: Somebody, tombstone: str) -> None:
    profile = platform.db.document(f"users/{ada.uid}")
    image = profile.collection("images").document("ring-0001")
    backup = {reference: reference.get().to_dict() for reference in (profile, image)}
    first = ada.erase()["certificate"]
    for reference, fields in backup.items():
        reference.set(fields or {})
    auth.create_user(uid=ada.uid, app=platform.app)  # even the account
    if tombstone != "kept":
        ada.job.delete()
        tombstones.reference(platform.db, ada.subject).delete()
    call_the_roll(platform)
    finish(platform, ada)
    assert ada.fields()["state"] == "verified"
    assert ada.fields()["certificate"]["verifiedAt"] > first["verifiedAt"]
    assert ada.places() == set()
    assert tombstones.reference(platform.db, ada.subject).get().exists


def test_an_erasure_under_way_is_not_disturbed(platform: Platform[Any], ada: Somebody) -> None:
    erasure.begin(platform, ada.uid, platform.clock())
    ada.work()
    before = ada.fields()
    call_the_roll(platform)
    assert ada.fields() == before


def test_the_roll_goes_on_where_its_worker_died(platform: Platform[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        auth.create_user(uid=f"broke-off-{number}", app=platform.app)
    monkeypatch.setattr(orphans, "_PAGE", 2)
    real, pages = orphans._orphans, [0]

    def dies(*args: Any) -> Any:
        pages[0] += 1
        if pages[0] == 2:
            raise ServiceUnavailable("down")
        return real(*args)

    monkeypatch.setattr(orphans, "_orphans", dies)
    platform.clock.step(hours=25)  # type: ignore[attr-defined]
    orphans.call_the_roll(platform, BUDGET)
    assert begun(platform) == set(), "nobody is erased before the round knows how many they are"
    platform.clock.step(hours=1)  # type: ignore[attr-defined]
    orphans.call_the_roll(platform, BUDGET)
    assert len(begun(platform)) == 5
    assert (erasure.roll_call(platform.db).get().to_dict() or {})["attempts"] == 0


@pytest.mark.parametrize(
    ("stop", "go"), [({"most_orphans": 2}, {"most_orphans": 3}), ({"few_orphans": 2}, {"orphans_share": 0.5})]
)
def test_too_many_at_once_are_reported_instead_of_erased(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, stop: dict[str, Any], go: dict[str, Any]
) -> None:
    people = [Somebody(platform) for _ in range(6)]
    gone = people[:3]
    platform.__dict__["settings"] = platform.settings.model_copy(update=stop)
    monkeypatch.setattr(orphans, "_PAGE", 1)  # each of them is on a page of their own
    auth.delete_users([somebody.uid for somebody in gone], app=platform.app)
    job = call_the_roll(platform)
    assert (job["state"], job["noted"]) == ("stuck", [])
    assert begun(platform) == set()
    platform.__dict__["settings"] = platform.settings.model_copy(update=go)
    erasure.retry(platform, erasure.roll_call(platform.db))
    orphans.call_the_roll(platform, BUDGET)
    assert begun(platform) == {somebody.subject for somebody in gone}


def test_who_is_sound_again_when_it_is_looked_a_second_time_stays(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    auth.create_user(uid="late-profile", app=platform.app)
    platform.clock.step(hours=25)  # type: ignore[attr-defined]
    real = log.write

    def meanwhile(event: log.Event, *args: Any, **kwargs: Any) -> None:
        if event is log.Event.ORPHANS_FOUND:  # between the two
            platform.db.document("users/late-profile").set({"state": "active"})
        real(event, *args, **kwargs)

    monkeypatch.setattr(log, "write", meanwhile)
    orphans.call_the_roll(platform, BUDGET)
    assert begun(platform) == set()


def test_no_account_id_is_noted(platform: Platform[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    auth.create_user(uid="broke-off", app=platform.app)
    platform.clock.step(hours=25)  # type: ignore[attr-defined]
    while not begun(platform):
        orphans.call_the_roll(platform, timedelta(0))
        assert "broke-off" not in str(erasure.roll_call(platform.db).get().to_dict())


def test_an_address_that_was_free_again_is_somebody_elses(platform: Platform[Any], ada: Somebody) -> None:
    auth.delete_user(ada.uid, app=platform.app)
    platform.clock.step(hours=25)  # type: ignore[attr-defined]
    enrolment = platform.db.collection("enrolments").document(platform.pseudonyms.of_email(ada.email))
    enrolment.set({"createdAt": platform.clock()})
    orphans.call_the_roll(platform, BUDGET)
    finish(platform, ada)
    assert ada.fields()["state"] == "verified"
    assert enrolment.get().exists


def test_objects_in_nobodys_folder_are_reported(platform: Platform[Any], capsys: pytest.CaptureFixture[str]) -> None:
    platform.bucket.blob("images/").upload_from_string(b"")  # as the console makes folders
    call_the_roll(platform)
    assert "odd-names" not in capsys.readouterr().out
    platform.bucket.blob("images/stray.jpg").upload_from_string(b"x")
    call_the_roll(platform)
    assert 'odd-names", "count": 1}' in capsys.readouterr().out


def test_folders_of_old_generations_alone_are_asked_for(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The emulator keeps one generation, so this is seen on the wire.
    asked, real = [], HTTPAdapter.send

    def send(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        if "delimiter=" in request.url:
            asked.append(parse_qs(urlsplit(request.url).query))
        return real(self, request, *args, **kwargs)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    call_the_roll(platform)
    assert {query["prefix"][0] for query in asked} == {"incoming/", "images/", "thumbs/"}
    assert all(query["versions"][0].lower() == "true" for query in asked)


def test_every_place_of_the_map_that_names_an_account_is_gone_through() -> None:
    places = {"incoming", "images", "thumbs", "users", "keys", "staff", "removals", "suspensions"}
    assert len(list(orphans._rosters())) == 1 + len(places)


def test_a_name_like_a_pattern_takes_nobody_along(platform: Platform[Any], ada: Somebody) -> None:
    before = ada.places()
    for uid in ("{item}", "{email}"):
        platform.bucket.blob(f"images/{uid}/stray").upload_from_string(b"x")
    call_the_roll(platform)
    for job in jobs_of(platform):
        worker = jobs.Worker(platform.db, platform.clock, timedelta(seconds=1))
        worker.run(job.reference, cascade.Cascade(platform, Pseudonym(job.id)).page, BUDGET)
    assert ada.places() == before
    assert not list(platform.bucket.list_blobs(prefix="images/{"))


@pytest.mark.parametrize("name", ["x" * 129, "..", "__odd__"])
def test_an_odd_name_is_reported_and_stops_nothing(
    platform: Platform[Any], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.bucket.blob(f"images/{name}/stray").upload_from_string(b"x")
    auth.create_user(uid="broke-off", app=platform.app)
    job = call_the_roll(platform)
    assert (job["state"], job["attempts"]) == ("running", 0)
    assert begun(platform) == {platform.pseudonyms.of_uid("broke-off")}
    assert "odd-names" in capsys.readouterr().out


def test_what_comes_back_while_something_is_held_goes_all_the_same(platform: Platform[Any], ada: Somebody) -> None:
    now = platform.clock()
    ada.hold("image-records", days=300)
    erasure.begin(platform, ada.uid, now)
    finish(platform, ada)
    assert ada.fields()["step"] == erasure.HELD
    profile = platform.db.document(f"users/{ada.uid}")
    profile.set({"state": "active", "email": ada.email})
    call_the_roll(platform)
    finish(platform, ada)
    assert not profile.get().exists
    assert ada.fields()["step"] == erasure.HELD
