"""The gate of a business transfer: shut until everybody has been told and had their time, and never for who is gone."""

import ast
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import erasure, tlog
from astra.notices import campaigns
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from astra.staff import Role, freezes
from cli import transfers as transfers_command
from governance import transfers
from governance.transfer_requests import CancelTransfer, PlanTransfer, cancel_transfer, plan_transfer
from governance.transfers import Closed, gate
from local.paths import ROOT
from tests.functions.erasure.boundaries import Boundaries, Mishap
from tests.support import code
from tests.support.announcing import Board, tell_everybody, titles
from tests.support.colleagues import Person, Team, logged

WAITING = timedelta(days=30)
MOMENT = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def waiting(platform: Platform[Any]) -> None:
    """The waiting period of production."""
    settings = platform.settings.model_copy(update={"transfer_waiting_days": 30})
    platform.__dict__["settings"] = settings


@pytest.fixture
def board(platform: Platform[Any], team: Team) -> Board:
    return Board(platform, team)


def plan(platform: Platform[Any], days: float = 31, **changes: Any) -> PlanTransfer:
    fields = {
        "recipient": "Acme Holding, Inc.",
        "plannedAt": (platform.clock() + timedelta(days=days)).isoformat(),
        "policyUrl": "https://acme.example/privacy",
        "summary": "Acme Holding, Inc. buys the service and goes on running it.",
    }
    return parse(PlanTransfer, fields | changes)


@pytest.fixture
def transfer(platform: Platform[Any], board: Board, ada: Person, grace: Person) -> str:
    """Planned for a day after the waiting period; nobody has been told yet."""
    return str(board.decide(plan_transfer, plan(platform))["transfer"])


@pytest.fixture
def ada(team: Team) -> Person:
    return team.customer()


@pytest.fixture
def grace(team: Team) -> Person:
    return team.customer()


def passing(platform: Platform[Any], name: str) -> set[str]:
    return {uid for page in gate(platform, name) for uid in page}


def closed(platform: Platform[Any], name: str) -> Closed:
    with pytest.raises(Closed) as refused:
        passing(platform, name)
    return refused.value


def everybody(board: Board, *others: Person) -> set[str]:
    return {person.uid for person in (board.priya, board.cleo, *others)}


def told(platform: Platform[Any], name: str) -> Any:
    """Everybody is told, and it is answered when that was complete."""
    tell_everybody(platform, transfers.campaign(name))
    return campaigns.completed_at(platform.db, transfers.campaign(name))


def test_nothing_passes_before_everybody_has_been_told_however_late_it_is(
    platform: Platform[Any], transfer: str
) -> None:
    platform.clock.step(days=900)  # type: ignore[attr-defined]
    refused = closed(platform, transfer)
    assert (refused.reason, refused.opens_at) == ("not everybody has been told yet", None)


def test_nothing_passes_before_the_waiting_period_is_over_and_then_everybody_does(
    platform: Platform[Any], transfer: str, board: Board, ada: Person, grace: Person
) -> None:
    platform.clock.step(days=5)  # type: ignore[attr-defined]
    complete = told(platform, transfer)
    opens = complete + WAITING
    for now in (complete, opens - MOMENT):
        platform.clock.now = now  # type: ignore[attr-defined]
        assert closed(platform, transfer).opens_at == opens
    platform.clock.now = opens  # type: ignore[attr-defined]
    assert passing(platform, transfer) == everybody(board, ada, grace)
    [opened] = logged(platform, tlog.Action.TRANSFER_OPENED)
    assert opened["record"]["transfer"] == transfer
    passing(platform, transfer)
    assert len(logged(platform, tlog.Action.TRANSFER_OPENED)) == 1
    assert "is to go to Acme Holding" in " ".join(titles(ada))


def test_nothing_passes_while_a_breach_has_exports_frozen(
    platform: Platform[Any], transfer: str, board: Board, ada: Person, grace: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "_PAGE_PROFILES", 1)
    told(platform, transfer)
    platform.clock.step(days=40)  # type: ignore[attr-defined]
    pages, control = gate(platform, transfer), freezes.reference(platform.db, freezes.Control.EXPORTS)
    next(pages)
    control.set({"frozen": True})
    with pytest.raises(Closed, match="exports are frozen"):
        next(pages)
    assert [row[-1] for row in transfers_command.status(platform) if row[0] == transfer] == [
        closed(platform, transfer).reason
    ]
    control.delete()
    assert passing(platform, transfer) == everybody(board, ada, grace)


def test_nothing_passes_before_it_was_planned(platform: Platform[Any], board: Board) -> None:
    name = board.decide(plan_transfer, plan(platform, days=100))["transfer"]
    planned = platform.clock() + timedelta(days=100)
    told(platform, name)
    platform.clock.now = planned - MOMENT  # type: ignore[attr-defined]
    assert closed(platform, name).opens_at == platform.db.document(f"transfers/{name}").get().get("plannedAt")


@pytest.mark.parametrize("when", ["before-told", "in-the-window", "frozen"])
def test_who_deletes_their_account_in_the_window_is_not_transferred(
    platform: Platform[Any], transfer: str, board: Board, ada: Person, grace: Person, when: str
) -> None:
    if when == "before-told":
        erasure.begin(platform, ada.uid, platform.clock())
    told(platform, transfer)
    if when == "in-the-window":
        erasure.begin(platform, ada.uid, platform.clock())
    if when == "frozen":
        ada.profile.update({"state": "frozen"})
    platform.clock.step(days=40)  # type: ignore[attr-defined]
    assert passing(platform, transfer) == everybody(board, grace)


def test_a_profile_that_a_backup_brought_back_is_not_transferred(
    platform: Platform[Any], transfer: str, board: Board, ada: Person, grace: Person
) -> None:
    told(platform, transfer)
    before = ada.profile.get().to_dict() or {}
    erasure.begin(platform, ada.uid, platform.clock())
    ada.profile.set(before)
    platform.clock.step(days=40)  # type: ignore[attr-defined]
    assert passing(platform, transfer) == everybody(board, grace)


def test_who_deletes_while_the_transfer_runs_is_in_no_later_page_nor_is_anybody_once_it_is_cancelled(
    platform: Platform[Any], transfer: str, board: Board, ada: Person, grace: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "_PAGE_PROFILES", 1)
    told(platform, transfer)
    platform.clock.step(days=40)  # type: ignore[attr-defined]
    pages = gate(platform, transfer)
    first = next(pages)
    later = [person for person in (ada, grace, board.priya, board.cleo) if person.uid not in first]
    erasure.begin(platform, later[0].uid, platform.clock())
    second = next(pages)
    assert later[0].uid not in second
    cancel_transfer(platform, board.priya.call(CancelTransfer(transfer=transfer)))
    with pytest.raises(Closed, match="cancelled"):
        next(pages)


def test_an_erasure_that_begins_while_a_page_is_read_is_in_it_or_not_but_never_half(
    platform: Platform[Any], transfer: str, board: Board, ada: Person, grace: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's transaction has not read yet when the erasure commits: the page is without her."""
    told(platform, transfer)
    platform.clock.step(days=40)  # type: ignore[attr-defined]
    boundaries = Boundaries(monkeypatch)

    def strike(_store: str) -> None:
        with boundaries.armed(None):
            erasure.begin(platform, ada.uid, platform.clock())

    with boundaries.armed(Mishap(1, after=False, strike=strike)):
        assert passing(platform, transfer) == everybody(board, grace)


def test_who_was_not_told_is_not_transferred_and_who_signs_up_later_waits_as_long(
    platform: Platform[Any], transfer: str, team: Team, board: Board, ada: Person, grace: Person
) -> None:
    told(platform, transfer)
    platform.clock.step(days=20)  # type: ignore[attr-defined]
    untold, late = team.customer(), team.customer()
    at = platform.clock()
    [(name, notice)] = campaigns.pending(platform.db, at)
    assert name == transfers.campaign(transfer)
    late.profile.collection("notices").document(name).set({"title": notice.title, "createdAt": at})
    platform.clock.now = at + WAITING - MOMENT  # type: ignore[attr-defined]
    assert passing(platform, transfer) == everybody(board, ada, grace)
    platform.clock.now = at + WAITING  # type: ignore[attr-defined]
    assert passing(platform, transfer) == everybody(board, ada, grace, late)
    assert untold.uid not in passing(platform, transfer)


def test_who_signs_up_after_the_planned_day_is_told_until_somebody_passes_the_gate(
    platform: Platform[Any], transfer: str, team: Team
) -> None:
    platform.clock.step(days=60)  # type: ignore[attr-defined]
    opens = told(platform, transfer) + WAITING
    platform.clock.now = at = opens - MOMENT  # type: ignore[attr-defined]
    assert [name for name, _ in campaigns.pending(platform.db, at)] == [transfers.campaign(transfer)]
    late = team.customer()
    late.profile.collection("notices").document(transfers.campaign(transfer)).set({"createdAt": at})
    platform.clock.now = opens  # type: ignore[attr-defined]
    assert late.uid not in passing(platform, transfer)
    assert campaigns.pending(platform.db, opens) == []
    platform.clock.now = at + WAITING  # type: ignore[attr-defined]
    assert late.uid in passing(platform, transfer)


def test_pages_follow_each_other_without_gap_and_go_on_from_where_somebody_was(
    platform: Platform[Any], transfer: str, board: Board, ada: Person, grace: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(platform, transfer)
    platform.clock.step(days=40)  # type: ignore[attr-defined]
    expected = sorted(everybody(board, ada, grace))
    for size in (1, 2, 3, 4, 5):
        monkeypatch.setattr(transfers, "_PAGE_PROFILES", size)
        pages = list(gate(platform, transfer))
        assert [uid for page in pages for uid in page] == expected
        assert all(0 < len(page) <= size for page in pages)
    rest = [uid for page in gate(platform, transfer, after=expected[1]) for uid in page]
    assert rest == expected[2:]


def test_one_person_plans_nothing_and_may_cancel(platform: Platform[Any], board: Board, team: Team) -> None:
    form = plan(platform)
    for _ in range(2):
        assert plan_transfer(platform, board.priya.call(form))["state"] == "proposed"
    assert platform.db.collection("transfers").get() == []
    for role in (Role.SECURITY, Role.SUPPORT):
        with pytest.raises(HttpsError) as refused:
            plan_transfer(platform, team.hire(role).call(form))
        assert refused.value.code is FunctionsErrorCode.PERMISSION_DENIED
    name = plan_transfer(platform, board.cleo.call(form))["transfer"]
    answer = cancel_transfer(platform, board.priya.call(CancelTransfer(transfer=name)))
    stored = campaigns.reference(platform.db, answer["campaign"]).get()
    assert stored.get("state") == "proposed", "to write to everybody takes two"
    assert campaigns.pending(platform.db, platform.clock()) == []
    original = campaigns.reference(platform.db, transfers.campaign(name)).get()
    assert (original.get("state"), original.get("stoppedIn")) == ("stopped", None), "nobody is told any more"
    assert closed(platform, name).reason == "it was cancelled"
    with pytest.raises(HttpsError) as again:
        cancel_transfer(platform, board.cleo.call(CancelTransfer(transfer=name)))
    assert again.value.code is FunctionsErrorCode.ALREADY_EXISTS
    with pytest.raises(HttpsError) as unknown:
        cancel_transfer(platform, board.cleo.call(CancelTransfer(transfer="0" * 16)))
    assert unknown.value.code is FunctionsErrorCode.NOT_FOUND
    assert closed(platform, "0" * 16).reason == "there is no such transfer"


@pytest.mark.parametrize("canary", [False, True])
def test_its_notices_wait_for_two_people_if_it_is_planned_so(
    platform: Platform[Any], board: Board, canary: bool
) -> None:
    name = board.decide(plan_transfer, plan(platform, canary=canary))["transfer"]
    state = campaigns.reference(platform.db, transfers.campaign(name)).get().get("state")
    assert state == ("canary" if canary else "running")


@pytest.mark.parametrize("changed", ["recipient", "plannedAt", "policyUrl"])
def test_what_the_second_one_changed_is_another_proposal(platform: Platform[Any], board: Board, changed: str) -> None:
    form = plan(platform)
    others = {"recipient": "Eve, Inc.", "plannedAt": form.plannedAt + MOMENT, "policyUrl": "https://eve.example"}
    plan_transfer(platform, board.priya.call(form))
    answer = plan_transfer(platform, board.cleo.call(form.model_copy(update={changed: others[changed]})))
    assert answer["state"] == "proposed"


@pytest.mark.parametrize(
    "changes",
    [
        {"days": 29.9},
        {"plannedAt": "soon"},
        {"policyUrl": "http://acme.example/privacy"},
        {"policyUrl": "https://acme.example/ privacy"},
        {"recipient": "A\nB"},
        {"summary": ""},
        {"waitingDays": 0},
    ],
)
def test_what_is_no_plan_is_refused(platform: Platform[Any], board: Board, changes: dict[str, Any]) -> None:
    with pytest.raises(HttpsError) as refused:
        plan_transfer(platform, board.priya.call(plan(platform, **changes)))
    assert refused.value.code is FunctionsErrorCode.INVALID_ARGUMENT


def test_a_shorter_setting_does_not_open_what_was_planned_before(platform: Platform[Any], transfer: str) -> None:
    platform.__dict__["settings"] = platform.settings.model_copy(update={"transfer_waiting_days": 0})
    told(platform, transfer)
    assert closed(platform, transfer).opens_at is not None


def test_what_is_logged_names_no_company_and_nobody(platform: Platform[Any], transfer: str, board: Board) -> None:
    planned = logged(platform, tlog.Action.TRANSFER_PLANNED)
    assert sorted(entry["record"]["state"] for entry in planned) == ["done", "proposed"]
    assert "Acme" not in repr(planned)
    assert board.cleo.uid not in repr(planned)


def test_staff_see_why_a_gate_is_shut(platform: Platform[Any], transfer: str, board: Board) -> None:
    assert next(transfers_command.status(platform)) == (
        transfer,
        "Acme Holding, Inc.",
        "0 of ?",
        "unknown",
        "not everybody has been told yet",
    )
    told(platform, transfer)
    row = next(transfers_command.status(platform))
    assert (row[2], row[4]) == ("4 of 4", "people may still delete their accounts")
    platform.clock.step(days=40)  # type: ignore[attr-defined]
    assert next(transfers_command.status(platform))[4] == "open"


#: Whoever goes through people in bulk, and why nothing of that leaves the company.
BULK = {
    "functions/governance/governance/transfers.py": "the gate itself",
    "functions/notices/notices/cohort.py": "tells them, in their own documents",
    "functions/notices/notices/in_app.py": "counts them",
    "functions/breach/breach/assessment/affected.py": "notes with each what of theirs was exposed",
    "functions/retention/retention/restamp.py": "dates what is theirs",
    "functions/retention/retention/inactivity.py": "finds whom nobody has seen for long, to warn and erase them",
}


def bulk(tree: ast.AST) -> Iterator[int]:
    """Lines that name the collection of people for something else than one document of it."""
    single = {
        id(node.func.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "document"
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or id(node) in single:
            continue
        if node.func.attr in ("collection", "collection_group") and [ast.unparse(arg) for arg in node.args] == [
            "'users'"
        ]:
            yield node.lineno


def test_nothing_else_goes_through_everybody() -> None:
    found = set()
    for path in (*code.DEPLOYED, *code.CLI):
        if list(bulk(ast.parse(path.read_text(encoding="utf-8")))):
            found.add(str(path.relative_to(ROOT)))
    assert found == BULK.keys(), "what lists people for somebody outside goes through transfers.gate"


@pytest.mark.parametrize(
    ("code", "is_bulk"),
    [
        ('db.collection("users").document(uid).get()', False),
        ('db.document("users", uid)', False),
        ('db.collection("users", uid, "notices")', False),
        ('db.collection("users").get()', True),
        ('people = db.collection("users")', True),
        ('db.collection("users").where(filter=x).limit(3)', True),
        ('db.collection_group("users")', True),
    ],
)
def test_what_goes_through_everybody_would_be_found(code: str, is_bulk: bool) -> None:
    assert bool(list(bulk(ast.parse(code)))) is is_bulk
