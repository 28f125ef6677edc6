"""Why a stack will never be ready is said in words that a person can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.stack import readiness

if TYPE_CHECKING:
    from pathlib import Path


def test_a_codebase_that_does_not_load_is_named_with_what_python_said(tmp_path: Path) -> None:
    codebase = tmp_path / "functions" / "broken"
    codebase.mkdir(parents=True)
    (codebase / "main.py").write_text("import nonexistent_thing\n")
    log = tmp_path / "firebase.log"
    log.write_text(f'i  functions: Watching "{codebase}" for Cloud Functions...\n')
    assert readiness.load_failure(log, {}) is None

    with log.open("a") as more:
        more.write(
            "⬢  functions: Failed to load function definition from source: FirebaseError: it may have an error\n"
        )
    reason = readiness.load_failure(log, {})
    assert (
        reason
        == f"functions/broken does not load: ModuleNotFoundError: No module named 'nonexistent_thing' (log: {log})"
    )

    (codebase / "main.py").write_text("")
    reason = readiness.load_failure(log, {})
    assert reason == f"functions/broken does not load: FirebaseError: it may have an error (log: {log})"
