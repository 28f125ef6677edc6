"""Every callable of every codebase is either a person's own business or `@privileged`: there is no third kind."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from local.paths import ROOT
from local.stack import firebase_json
from tests.support import code

T = TypeVar("T", bound=ast.AST)
CODEBASES = firebase_json.codebases()

#: What people do with their own account or for themselves: nothing in the request names another account.
OWN_BUSINESS = {
    "start_signup": "before there is an account",
    "update_profile": "the caller's own profile",
    "accept_policy": "the caller's own consent",
    "set_ip_lock": "the caller's own sign-in",
    "send_code": "goes to the address's own mailbox",
    "unlock": "proved by a code from that mailbox",
    "delete_account": "the caller's own account",
    "delete_item": "the caller's own images, prompts and events",
    "receipt": "proved by the receipt",
    "accept_security_policy": "the caller's own acceptance, before they have a role",
    "log_event": "the caller's own events",
    "generate_image": "the caller's own images",
    "request_export": "the caller's own data",
    "see_notice": "the caller's own notice",
}
#: Plain HTTP functions, which have no form that could be looked at: whose each is, and by what it knows them.
BY_REQUEST = {
    "notice_page": "everybody's: a notice that two people approved, and nothing else",
    "open_image": "the caller's own image, by their token",
    "policy_page": "the published policy, for everybody",
    "bounced": "nobody's: the mail server's report, by its signature",
}
#: What starts a function without anybody asking for it.
STARTED = {
    "on_schedule",
    "on_task_dispatched",
    "on_object_finalized",
    "before_user_created",
    "before_user_signed_in",
    "on_message_published",
}
NAMES_SOMEBODY = {"uid", "subject", "account", "userId", "email"}
#: These name an address that is the caller's own: they prove it by its mailbox, or have no account yet.
BY_ADDRESS = {"start_signup", "send_code", "unlock"}


@dataclass(frozen=True)
class Handler:
    """A callable as `main.py` declares it, with the function behind it and the form it takes."""

    name: str
    function: ast.FunctionDef
    form: ast.ClassDef

    def is_privileged(self) -> bool:
        return any(
            isinstance(found, ast.Call) and isinstance(found.func, ast.Name) and found.func.id == "privileged"
            for found in self.function.decorator_list
        )

    def fields(self) -> set[str]:
        return {
            node.target.id
            for node in self.form.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }


def handlers(folder: Path) -> Iterator[Handler]:
    """The callables of a codebase, followed from their decorators to the functions that do the work."""
    tree = ast.parse((folder / "main.py").read_text(encoding="utf-8"))
    files = {
        name: folder.joinpath(*full.split(".")).with_suffix(".py") for name, full in code.imported_as(tree).items()
    }
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            made = [call for call in triggers(node) if call.rpartition(".")[2] not in STARTED]
            assert not made, f"{ast.unparse(node)}: write it with a decorator, so that it can be looked at"
            continue
        for decorator in node.decorator_list:
            if trigger(decorator).endswith("on_request"):
                assert node.name in BY_REQUEST, f"{node.name}: make it a callable, or say whose own business it is"
            if isinstance(decorator, ast.Call) and trigger(decorator).endswith("on_call"):
                assert trigger(decorator) == "callables.on_call", f"{node.name} goes round astra.runtime.callables"
                [returned] = [found for found in node.body if isinstance(found, ast.Return)]
                assert isinstance(returned.value, ast.Call)
                module, _, function = ast.unparse(returned.value.func).partition(".")
                home, _, form = ast.unparse(decorator.args[1]).partition(".")
                yield Handler(
                    node.name,
                    definition(files[module], function, ast.FunctionDef),
                    definition(files[home], form, ast.ClassDef),
                )


def trigger(decorator: ast.expr) -> str:
    """The dotted name of a decorator, with or without arguments."""
    return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)


def triggers(node: ast.stmt) -> list[str]:
    """What a statement that defines no function makes one with, `on_` something."""
    names = (ast.unparse(found) for found in ast.walk(node) if isinstance(found, ast.Attribute | ast.Name))
    imported = (alias.name for alias in node.names) if isinstance(node, ast.ImportFrom) else ()
    return [name for name in (*names, *imported) if name.rpartition(".")[2].startswith(("on_", "before_"))]


def definition(path: Path, name: str, kind: type[T]) -> T:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    [found] = [node for node in tree.body if isinstance(node, kind) and getattr(node, "name", "") == name]
    return found


@pytest.mark.parametrize("codebase", CODEBASES)
def test_a_staff_handler_is_wrapped(codebase: str) -> None:
    for handler in handlers(ROOT / CODEBASES[codebase]):
        if handler.name in OWN_BUSINESS:
            named = handler.fields() & NAMES_SOMEBODY
            assert not named or handler.name in BY_ADDRESS, f"{handler.name} names somebody: wrap it in @privileged"
            assert not handler.is_privileged(), f"{handler.name} is staff's: take it off the list"
        else:
            assert handler.is_privileged(), f"{handler.name}: wrap it in @privileged, or say whose own business it is"


def test_there_are_staff_handlers_to_find() -> None:
    found = {handler.name for handler in handlers(ROOT / CODEBASES["governance"]) if handler.is_privileged()}
    assert {"grant_role", "revoke_role", "sign_review", "place_hold", "release_hold"} <= found
    assert {"record_disclosure", "register_processor", "remove_child"} <= found
    assert {"publish_policy", "withdraw_policy", "plan_transfer", "cancel_transfer"} <= found


MAIN = """
from spying import work

@callables.on_call(STAFF, work.Form, LIMIT)
def spy(call):
    return work.spy(STAFF.platform, call)
"""


@pytest.mark.parametrize(
    ("decorator", "wrapped"),
    [("", False), ("@cached\n", False), ("@privileged\n", False), ("@privileged(tlog.Action.ROLE_GRANTED)\n", True)],
)
def test_an_unwrapped_one_would_be_found(tmp_path: Path, decorator: str, wrapped: bool) -> None:
    folder = tmp_path / "spying"
    (folder / "spying").mkdir(parents=True)
    (folder / "main.py").write_text(MAIN)
    (folder / "spying/work.py").write_text(f"class Form:\n    uid: str\n{decorator}def spy(platform, call): ...\n")
    [handler] = handlers(folder)
    assert handler.is_privileged() is wrapped
    assert handler.fields() == {"uid"}
    assert handler.name not in OWN_BUSINESS


@pytest.mark.parametrize(
    "main",
    [
        "spy = callables.on_call(STAFF, work.Form, LIMIT)(work.spy)",
        "spy: Any = https_fn.on_call()(work.spy)",
        "if True:\n    spy = https_fn.on_request()(work.spy)",
        "from firebase_functions.https_fn import on_request",
        "make = callables.on_call",
        "@https_fn.on_request()\ndef spy(request): ...",
        "@on_request\ndef spy(request): ...",
        "@https_fn.on_call()\ndef spy(request): ...",
    ],
)
def test_one_that_is_declared_in_another_way_would_be_found(tmp_path: Path, main: str) -> None:
    (tmp_path / "main.py").write_text(main)
    with pytest.raises(AssertionError):
        list(handlers(tmp_path))


def test_nobody_decides_by_the_tokens_claim() -> None:
    """A claim says what was true up to an hour ago; sign-in reads it to know who needs no profile."""
    readers = set()
    for path in code.DEPLOYED:
        text = path.read_text(encoding="utf-8")
        if "custom_claims" in text or 'token["role"]' in text or "token.get(" in text:
            readers.add(str(path.relative_to(ROOT)))
    assert readers == {"functions/signup/main.py", "shared/astra/staff/members.py"}
