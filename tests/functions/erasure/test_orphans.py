"""The roll call over a project of its own: orphans are erased, slowly, and nobody else ever is."""

import io
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from firebase_admin import auth
from google.api_core.exceptions import ServiceUnavailable
from requests.adapters import HTTPAdapter

from astra import erasure, jobs, tlog
from astra.accounts import tombstones
from astra.erasure import roll_call
from astra.runtime import log
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.vault import vault_of
from cli import erasure as erasure_command
from erasure import cascade, freeze, orphans, rosters
from local.demo.scan import documents
from tests.functions.erasure.somebody import Somebody
from tests.support.colleagues import logged

BUDGET = timedelta(minutes=1)
#: Production's times, and no limit on the share of so few people.
SETTINGS = {"roll_call_hours": 24, "orphan_confirm_hours": 24, "orphan_frozen_days": 7, "orphans_share": 1}


@pytest.fixture
def platform(platform: Platform[Any]) -> Platform[Any]:
    platform.__dict__["settings"] = platform.settings.model_copy(update=SETTINGS)
    return platform


def change(platform: Platform[Any], **settings: Any) -> None:
    platform.__dict__["settings"] = platform.settings.model_copy(update=settings)


def call_the_roll(platform: Platform[Any], hours: float = 25) -> dict[str, Any]:
    """One round, so many hours after whatever happened. Returns the job."""
    platform.clock.step(hours=hours)  # type: ignore[attr-defined]
    orphans.call_the_roll(platform, BUDGET)
    fields: dict[str, Any] = roll_call.job(platform.db).get().to_dict() or {}
    return fields


def call_until_erased(platform: Platform[Any]) -> dict[str, Any]:
    """The three rounds that it takes: one notes an orphan, the next freezes it, one a week later erases it."""
    call_the_roll(platform)
    call_the_roll(platform)
    return call_the_roll(platform, hours=24 * 8)


def switch(platform: Platform[Any], *, enabled: bool) -> None:
    fields = roll_call.switched(enabled=enabled, report=None, approvers=[], now=platform.clock())
    roll_call.switch(platform.db).set(fields)


def hide(monkeypatch: pytest.MonkeyPatch, uids: Collection[str], *views: str) -> None:
    """Leave accounts out of what Auth answers, as an outage may: of `get_users`, `list_users`, or both."""
    real_get, real_list = auth.get_users, auth.list_users

    def get_users(identifiers: Any, app: Any) -> Any:
        return real_get([one for one in identifiers if one.uid not in uids] or [auth.UidIdentifier("nobody")], app=app)

    def list_users(**arguments: Any) -> Any:
        page = real_list(**arguments)
        page._current["users"] = [user for user in page._current.get("users", ()) if user["localId"] not in uids]
        return page

    for view, replacement in (("get_users", get_users), ("list_users", list_users)):
        if view in views:
            monkeypatch.setattr(auth, view, replacement)


@contextmanager
def between_looking_and_acting(work: Callable[[], object]) -> Iterator[None]:
    """Do `work` once a round has looked everywhere, and before it acts anywhere."""
    real = log.write

    def meanwhile(event: log.Event, *args: Any, **kwargs: Any) -> None:
        if event is log.Event.ORPHANS_FOUND:
            work()
        real(event, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(log, "write", meanwhile)
        yield


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


def state(somebody: Somebody) -> Any:
    return somebody.platform.db.document(f"users/{somebody.uid}").get().get("state")


def untouched(*people: Somebody) -> Callable[[], bool]:
    """Whether everything of theirs is as it was, their keys and their profiles' states included."""
    platform, uids = people[0].platform, {somebody.uid for somebody in people}

    def belongings() -> dict[str, Any]:
        stored = [*documents(platform.db), *documents(platform.vault_db)]
        found = {path: fields for path, fields in stored if uids & set(path.split("/"))}
        objects = {blob.name: blob.generation for blob in platform.bucket.list_blobs()}
        return found | {name: generation for name, generation in objects.items() if uids & set(name.split("/"))}

    before = belongings()
    return lambda: belongings() == before


def test_sound_accounts_are_left_alone(platform: Platform[Any], ada: Somebody) -> None:
    is_untouched = untouched(ada)
    call_until_erased(platform)
    assert begun(platform) == set()
    assert is_untouched()


def test_accounts_deleted_in_bulk_are_frozen_a_day_later_and_erased_after_a_week(platform: Platform[Any]) -> None:
    gone, stays = [Somebody(platform) for _ in range(3)], Somebody(platform)
    auth.delete_users([somebody.uid for somebody in gone], app=platform.app)
    are_untouched, is_untouched = untouched(*gone), untouched(stays)
    call_the_roll(platform)
    assert are_untouched(), "denied once is not enough"
    call_the_roll(platform)
    assert [state(somebody) for somebody in gone] == ["frozen"] * 3
    assert begun(platform) == set(), "frozen first"
    for _ in range(6):
        call_the_roll(platform)
    assert begun(platform) == set()
    assert all(vault_of(platform).find_object(somebody.uid, "ring-0001") for somebody in gone), "the keys are there"
    call_the_roll(platform)
    assert begun(platform) == {somebody.subject for somebody in gone}
    finish(platform, *gone)
    for somebody in gone:
        assert somebody.fields()["state"] == "verified"
        assert somebody.places() == set()
    assert is_untouched()
    assert {entry["record"]["subject"] for entry in logged(platform, tlog.Action.ORPHAN_FROZEN)} == begun(platform)


@pytest.mark.parametrize("hidden", [1, 3])
def test_accounts_that_one_view_denies_and_the_other_names_stop_the_round(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hidden: int
) -> None:
    people = [Somebody(platform) for _ in range(15)]
    are_untouched = untouched(*people)
    with monkeypatch.context() as outage:
        hide(outage, [somebody.uid for somebody in people[:hidden]], "get_users")
        for _ in range(3):
            job = call_the_roll(platform, hours=24 * 8)
            assert (job["state"], job["stopped"]) == ("stuck", "contradiction")
            erasure_command.retry(platform, roll_call.job(platform.db))
    assert '"event": "roll-call.stopped"' in capsys.readouterr().out
    assert begun(platform) == set()
    assert are_untouched()
    assert call_the_roll(platform)["state"] == "running"
    assert are_untouched()


def test_an_account_that_is_denied_and_then_found_in_one_round_stops_it(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, ada: Somebody
) -> None:
    real, asked = auth.get_users, []

    def flapping(identifiers: Any, app: Any) -> Any:
        asked.append(identifiers)
        return real(identifiers if len(asked) > 1 else [auth.UidIdentifier("nobody")], app=app)

    monkeypatch.setattr(auth, "get_users", flapping)
    assert call_the_roll(platform)["stopped"] == "contradiction"
    assert begun(platform) == set()


def test_an_outage_of_both_views_that_is_over_the_next_day_changes_nothing(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [Somebody(platform) for _ in range(15)]
    are_untouched = untouched(*people)
    with monkeypatch.context() as outage:
        hide(outage, [somebody.uid for somebody in people[:3]], "get_users", "list_users")
        call_the_roll(platform)
        orphans.call_the_roll(platform, BUDGET)  # at once: no second round within the outage
    for _ in range(3):
        assert call_the_roll(platform, hours=24 * 8)["suspects"] == {}
    assert begun(platform) == set()
    assert are_untouched()


def test_whoever_was_frozen_in_a_long_outage_is_given_back_and_staff_are_called(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    people = [Somebody(platform) for _ in range(4)]
    are_untouched = untouched(*people)
    with monkeypatch.context() as outage:
        hide(outage, [people[0].uid, people[1].uid], "get_users", "list_users")
        call_the_roll(platform)
        call_the_roll(platform)
    assert [state(somebody) for somebody in people] == ["frozen", "frozen", "active", "active"]
    # One of them is held by a child's removal, too: that is not the roll call's to undo.
    platform.db.document(f"removals/{people[1].uid}").set({"state": "frozen"})
    assert "orphans.returned" not in capsys.readouterr().out
    job = call_the_roll(platform, hours=24 * 8)
    assert (job["state"], job["suspects"]) == ("running", {})
    assert [state(somebody) for somebody in people] == ["active", "frozen", "active", "active"]
    assert '"severity": "CRITICAL", "event": "orphans.returned"' in capsys.readouterr().out
    platform.db.document(f"removals/{people[1].uid}").delete()
    platform.db.document(f"users/{people[1].uid}").update({"state": "active"})
    assert are_untouched()
    assert len(logged(platform, tlog.Action.ORPHAN_GIVEN_BACK)) == 1


def test_a_project_whose_accounts_have_no_profiles_loses_nobody(platform: Platform[Any]) -> None:
    uids = [f"no-profile-{number}" for number in range(5)]
    for uid in uids:
        auth.create_user(uid=uid, app=platform.app)
        platform.bucket.blob(f"images/{uid}/ring-0001").upload_from_string(b"x")
    for _ in range(4):
        job = call_the_roll(platform, hours=24 * 8)
        assert (job["state"], job["suspects"]) == ("running", {})
    assert begun(platform) == set()
    assert len(auth.list_users(app=platform.app).users) == 5


@pytest.mark.parametrize("place", ["objects", "keys", "documents below a missing profile"])
def test_data_of_an_account_that_never_was_is_erased(platform: Platform[Any], place: str) -> None:
    uid = "never-was-anybody"
    match place:
        case "objects":
            platform.bucket.blob(f"images/{uid}/ring-0001").upload_from_file(io.BytesIO(b"x"), size=1)
        case "keys":
            vault_of(platform).new_object(uid, "ring-0001")
        case _:
            platform.db.document(f"users/{uid}/images/ring-0001").set({"createdAt": platform.clock()})
    call_until_erased(platform)
    assert begun(platform) == {platform.pseudonyms.of_uid(uid)}


def test_what_is_younger_than_a_day_is_given_time(platform: Platform[Any], ada: Somebody) -> None:
    platform.db.document("users/just-signing-up").set({"state": "active"})
    platform.bucket.blob("images/just-signing-up-too/ring-0001").upload_from_string(b"x")
    orphans.call_the_roll(platform, BUDGET)
    assert (roll_call.job(platform.db).get().to_dict() or {})["suspects"] == {}
    Somebody(platform)  # so that two are no more than all accounts
    assert len(call_the_roll(platform)["suspects"]) == 2


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


def test_an_erasure_under_way_is_neither_disturbed_nor_a_contradiction(platform: Platform[Any], ada: Somebody) -> None:
    erasure.begin(platform, ada.uid, platform.clock())
    ada.work()
    before = ada.fields()
    assert call_the_roll(platform)["state"] == "running"
    assert ada.fields() == before


def test_an_account_that_is_erased_while_it_is_listed_is_no_contradiction(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, ada: Somebody
) -> None:
    real = auth.list_users

    def list_users(**arguments: Any) -> Any:
        page = real(**arguments)
        ada.erase()
        return page

    monkeypatch.setattr(auth, "list_users", list_users)
    assert call_the_roll(platform)["state"] == "running"
    assert ada.fields()["state"] == "verified"


def test_the_roll_goes_on_where_its_worker_died(platform: Platform[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        platform.db.document(f"users/orphan-{number}").set({"state": "active"})
    call_the_roll(platform)
    call_the_roll(platform)
    monkeypatch.setattr(rosters, "MAX_PAGE_ACCOUNTS", 2)
    real, pages = rosters.look_up, [0]

    def dies(*arguments: Any) -> Any:
        pages[0] += 1
        if pages[0] in (2, 20):
            raise ServiceUnavailable("down")
        return real(*arguments)

    monkeypatch.setattr(rosters, "look_up", dies)
    call_the_roll(platform, hours=24 * 8)
    assert begun(platform) == set(), "nobody is erased before the round has looked everywhere"
    for _ in range(3):
        call_the_roll(platform, hours=1)
    assert pages[0] > 20
    assert len(begun(platform)) == 5
    assert (roll_call.job(platform.db).get().to_dict() or {})["attempts"] == 0


@pytest.mark.parametrize(
    ("stop", "go"), [({"most_orphans": 2}, {"most_orphans": 3}), ({"orphans_share": 0.4}, {"orphans_share": 0.5})]
)
def test_too_many_at_once_are_reported_instead_of_erased(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, stop: dict[str, Any], go: dict[str, Any]
) -> None:
    people = [Somebody(platform) for _ in range(6)]
    gone = people[:3]
    change(platform, **stop)
    monkeypatch.setattr(rosters, "MAX_PAGE_ACCOUNTS", 1)  # each of them is on a page of their own
    auth.delete_users([somebody.uid for somebody in gone], app=platform.app)
    are_untouched = untouched(*people)
    job = call_the_roll(platform)
    assert (job["state"], job["stopped"], job["seen"]) == ("stuck", "too-many", {})
    assert are_untouched()
    change(platform, **go)
    erasure_command.retry(platform, roll_call.job(platform.db))
    call_until_erased(platform)
    assert begun(platform) == {somebody.subject for somebody in gone}


def test_no_number_of_orphans_is_exempt_from_the_limits(platform: Platform[Any]) -> None:
    change(platform, orphans_share=0.1)
    people = [Somebody(platform) for _ in range(9)]
    auth.delete_user(people[0].uid, app=platform.app)
    assert call_the_roll(platform)["stopped"] == "too-many"
    change(platform, orphans_share=0.12)
    erasure_command.retry(platform, roll_call.job(platform.db))
    assert len(call_the_roll(platform)["suspects"]) == 1


def test_an_account_that_is_back_when_the_round_acts_stops_it(platform: Platform[Any], ada: Somebody) -> None:
    auth.delete_user(ada.uid, app=platform.app)
    call_the_roll(platform)
    call_the_roll(platform)
    with between_looking_and_acting(lambda: auth.create_user(uid=ada.uid, email=ada.email, app=platform.app)):
        assert call_the_roll(platform, hours=24 * 8)["stopped"] == "contradiction"
    assert begun(platform) == set()
    erasure_command.retry(platform, roll_call.job(platform.db))
    call_the_roll(platform)
    assert state(ada) == "active", "and what was frozen is given back"


def both_orphans(platform: Platform[Any]) -> tuple[Somebody, Somebody]:
    """Two people whose accounts are gone, as the roll call meets them: the first is acted on before the second."""
    pair = Somebody(platform, uid="aaa-first"), Somebody(platform, uid="bbb-second")
    auth.delete_users([somebody.uid for somebody in pair], app=platform.app)
    return pair


@pytest.mark.parametrize(("rounds", "page"), [(1, 100), (2, 100), (2, 1)])
def test_an_account_that_is_back_keeps_the_round_from_touching_anybody(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, rounds: int, page: int
) -> None:
    first, second = both_orphans(platform)
    monkeypatch.setattr(rosters, "MAX_PAGE_ACCOUNTS", page)
    for _ in range(rounds):
        call_the_roll(platform)
    before = state(first), state(second)
    with between_looking_and_acting(lambda: auth.create_user(uid=second.uid, email=second.email, app=platform.app)):
        assert call_the_roll(platform, hours=24 * 8)["stopped"] == "contradiction"
    assert begun(platform) == set()
    assert (state(first), state(second)) == before
    # Both accounts are there again: whatever was frozen, or was about to be, is given back.
    auth.create_user(uid=first.uid, email=first.email, app=platform.app)
    erasure_command.retry(platform, roll_call.job(platform.db))
    assert call_the_roll(platform)["suspects"] == {}
    assert (state(first), state(second)) == ("active", "active")


def test_after_a_contradiction_every_orphans_time_begins_anew(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, ada: Somebody
) -> None:
    other = Somebody(platform)
    auth.delete_user(ada.uid, app=platform.app)
    call_the_roll(platform)
    call_the_roll(platform)
    with monkeypatch.context() as outage:
        hide(outage, [other.uid], "get_users")
        assert call_the_roll(platform, hours=24 * 8)["stopped"] == "contradiction"
    erasure_command.retry(platform, roll_call.job(platform.db))
    for hours in (1, 25, 24 * 6):
        call_the_roll(platform, hours=hours)
        assert begun(platform) == set()
    call_the_roll(platform, hours=24 * 2)
    assert begun(platform) == {ada.subject}


def test_a_worker_that_dies_while_it_freezes_leaves_nobody_frozen_for_good(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, ada: Somebody
) -> None:
    auth.delete_user(ada.uid, app=platform.app)
    call_the_roll(platform)
    real = freeze.freeze

    def dies(*arguments: Any) -> None:
        real(*arguments)
        raise ServiceUnavailable("just before the checkpoint")

    with monkeypatch.context() as patched:
        patched.setattr(freeze, "freeze", dies)
        call_the_roll(platform)
    assert state(ada) == "frozen"
    switch(platform, enabled=False)
    call_the_roll(platform)
    assert state(ada) == "active"


def test_a_plan_that_is_a_day_old_is_dropped(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, ada: Somebody
) -> None:
    auth.delete_user(ada.uid, app=platform.app)
    call_the_roll(platform)
    call_the_roll(platform)

    def dies(*_: Any, **__: Any) -> None:
        raise ServiceUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr(orphans._Round, "_act", dies)
        assert call_the_roll(platform, hours=24 * 8)["plan"]
    auth.create_user(uid=ada.uid, email=ada.email, app=platform.app)
    with monkeypatch.context() as outage:
        hide(outage, [ada.uid], "get_users")
        assert call_the_roll(platform)["stopped"] == "contradiction", "it asks for the list again"
    assert begun(platform) == set()


def test_what_a_legal_hold_keeps_of_the_erased_counts_for_no_limit(platform: Platform[Any]) -> None:
    held = [Somebody(platform) for _ in range(3)]
    for somebody in held:
        somebody.hold("image-records", days=300)
        erasure.begin(platform, somebody.uid, platform.clock())
        finish(platform, somebody)
        assert somebody.fields()["step"] == erasure.HELD
    change(platform, most_orphans=2)
    assert call_the_roll(platform)["state"] == "running"
    assert ask_for_a_dry_run(platform)["restored"] == []


def test_a_round_of_an_older_form_begins_anew(platform: Platform[Any], ada: Somebody) -> None:
    job = roll_call.job(platform.db)
    job.set(jobs.opened(platform.clock(), roster=3, cursor="x", here=1, longest=1, noted=[], erasing=False))
    job.update({"fence": 7, "state": "stuck", "nextRunAt": None})
    fields = call_the_roll(platform)
    assert (fields["state"], fields["attempts"], fields["phase"]) == ("running", 0, "look")
    assert fields["fence"] > 7


def test_a_dry_run_and_a_round_share_the_time_that_there_is(platform: Platform[Any], ada: Somebody) -> None:
    auth.delete_user(ada.uid, app=platform.app)
    call_the_roll(platform)
    roll_call.dry_run(platform.db).set(jobs.opened(platform.clock(), **roll_call.begun()))
    real = platform.clock

    def slow() -> Any:
        real.step(minutes=1)  # type: ignore[attr-defined]
        return real()

    platform.__dict__["clock"] = slow
    real.step(hours=25)  # type: ignore[attr-defined]
    orphans.call_the_roll(platform, timedelta(minutes=5))
    assert state(ada) == "active", "the dry run took all of it"


def test_no_account_id_is_noted(platform: Platform[Any], ada: Somebody) -> None:
    auth.delete_user(ada.uid, app=platform.app)
    while not begun(platform):
        platform.clock.step(hours=25)  # type: ignore[attr-defined]
        for _ in range(30):
            orphans.call_the_roll(platform, timedelta(0))
            assert ada.uid not in str(roll_call.job(platform.db).get().to_dict())


def test_an_address_that_was_free_again_is_somebody_elses(platform: Platform[Any], ada: Somebody) -> None:
    auth.delete_user(ada.uid, app=platform.app)
    call_the_roll(platform)
    call_the_roll(platform)
    platform.clock.step(days=8)  # type: ignore[attr-defined]
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


def test_every_place_of_the_map_that_names_an_account_is_gone_through_and_the_list_of_accounts_last() -> None:
    places = ["incoming", "images", "thumbs", "users", "keys", "staff", "removals", "suspensions"]
    places_of = [roster.place for roster in rosters.rosters()]
    assert sorted(places_of[:-1]) == sorted(places)
    assert places_of[-1] == "accounts"


def test_a_name_like_a_pattern_takes_nobody_along(platform: Platform[Any], ada: Somebody) -> None:
    before = ada.places()
    for uid in ("{item}", "{email}"):
        platform.bucket.blob(f"images/{uid}/stray").upload_from_string(b"x")
    call_until_erased(platform)
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
    platform.db.document("users/orphan").set({"state": "active"})
    job = call_until_erased(platform)
    assert (job["state"], job["attempts"]) == ("running", 0)
    assert begun(platform) == {platform.pseudonyms.of_uid("orphan")}
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


def test_switched_off_it_touches_nothing_and_looks_nowhere(platform: Platform[Any], ada: Somebody) -> None:
    auth.delete_user(ada.uid, app=platform.app)
    for document in (None, {"enabled": False}):
        if document is None:
            roll_call.switch(platform.db).delete()
        else:
            roll_call.switch(platform.db).set(document)
        is_untouched = untouched(ada)
        assert call_until_erased(platform) == {}
        assert is_untouched()


def test_switched_off_while_people_are_frozen_it_gives_them_back(
    platform: Platform[Any], ada: Somebody, capsys: pytest.CaptureFixture[str]
) -> None:
    auth.delete_user(ada.uid, app=platform.app)
    call_the_roll(platform)
    call_the_roll(platform)
    assert state(ada) == "frozen"
    switch(platform, enabled=False)
    assert "1 profiles that it had frozen" in roll_call.state_line(platform.db)
    assert call_the_roll(platform, hours=24 * 8)["suspects"] == {}
    assert state(ada) == "active"
    assert "orphans.returned" not in capsys.readouterr().out, "nobody has come back"
    assert begun(platform) == set()


def test_switched_off_between_looking_and_acting_it_does_not_act(platform: Platform[Any], ada: Somebody) -> None:
    auth.delete_user(ada.uid, app=platform.app)
    call_the_roll(platform)
    call_the_roll(platform)
    with between_looking_and_acting(lambda: switch(platform, enabled=False)):
        call_the_roll(platform, hours=24 * 8)
    assert begun(platform) == set()
    call_the_roll(platform)
    assert state(ada) == "active"


def ask_for_a_dry_run(platform: Platform[Any]) -> dict[str, Any]:
    """What `roll-call --dry-run` asks for, a day after whatever happened. Returns the report."""
    platform.clock.step(hours=25)  # type: ignore[attr-defined]
    roll_call.dry_run(platform.db).set(jobs.opened(platform.clock(), **roll_call.begun()))
    orphans.call_the_roll(platform, BUDGET)
    return roll_call.report(platform.db).get().to_dict() or {}


def test_a_dry_run_stores_what_it_found_and_touches_nothing(platform: Platform[Any]) -> None:
    switch(platform, enabled=False)
    people = [Somebody(platform) for _ in range(4)]
    auth.delete_user(people[0].uid, app=platform.app)
    auth.create_user(uid="no-profile", app=platform.app)
    back = Somebody(platform)
    back.erase()
    platform.db.document(f"users/{back.uid}").set({"state": "active"})
    are_untouched = untouched(*people)
    found = ask_for_a_dry_run(platform)
    assert roll_call.sealed(found) == found
    assert found["orphans"] == [{"subject": people[0].subject, "places": ["images", "incoming", "keys", "users"]}]
    assert (found["accounts"], found["withoutProfile"], found["restored"]) == (4, 1, [back.subject])
    assert (found["contradictions"], found["more"], found["withinLimits"]) == (0, 0, True)
    assert people[0].uid not in str(found)
    assert are_untouched()
    assert begun(platform) == {back.subject}, "from before"
    assert not roll_call.job(platform.db).get().exists


def test_a_dry_run_says_what_would_stop_a_round(platform: Platform[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    switch(platform, enabled=False)
    people = [Somebody(platform) for _ in range(3)]
    change(platform, orphans_share=0.1)
    monkeypatch.setattr(orphans, "_MAX_ORPHANS", 1)
    with monkeypatch.context() as outage:
        hide(outage, [somebody.uid for somebody in people], "get_users")
        found = ask_for_a_dry_run(platform)
    assert (len(found["orphans"]), found["more"] > 1, found["withinLimits"]) == (1, True, False)
    assert found["contradictions"] == 3
    assert begun(platform) == set()


def test_a_drill_is_called_as_if_it_were_later(platform: Platform[Any], ada: Somebody) -> None:
    auth.delete_user(ada.uid, app=platform.app)
    for days in (2, 4, 12):
        orphans.call_the_roll(platform, BUDGET, ahead=timedelta(days=days))
    assert begun(platform) == {ada.subject}
    finish(platform, ada)
    assert ada.fields()["state"] == "verified"
