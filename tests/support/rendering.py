"""Render every template through the functions that the codebases call, and say which files that opened.

`tests/test_wheel.py` runs this as a program, with the package that is to be tried first on its path.
"""

import json
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import astra
from astra import policies
from astra.notices import messages
from astra.notices.inbox import Kind
from astra.policies import Policy
from breach import deadlines, texts
from cli import incident_report, registers
from governance import policy_pages

AT: Final = datetime(2026, 11, 1, tzinfo=UTC)
NAMES: Final = (
    *("version", "effectiveAt", "summary", "url", "reason", "recipient", "plannedAt", "policyUrl", "opened"),
    *("erasesAt", "lastActiveAt", "receipt", "elements"),
)
SAID: Final = ("nature", "whatHappened", "weAreDoing", "youCanDo", "consequences", "measures", "contact")
TIMES: Final = ("awareAt", "detectedAt", "firstSignalAt", "occurredFrom", "occurredUntil")
INCIDENT: Final[dict[str, Any]] = {
    "state": "confirmed",
    "severity": 1,
    "detector": "honey-touched",
    "cohort": "frozen",
    "measures": {},
    "said": dict.fromkeys(SAID, "Said."),
    "affected": {"DE": 3},
    "exposed": ["profile"],
    "numbers": {"records": 3},
    **dict.fromkeys(TIMES, AT),
}


def render_letters() -> list[str]:
    """Render each kind of notice; return the kinds without a template."""
    facts = {**dict.fromkeys(NAMES, "2026-11-01"), **texts.notice("a" * 20, INCIDENT).facts}
    bare = []
    for kind in Kind:
        try:
            messages.render(kind, facts)
        except LookupError:
            bare.append(kind.value)
    return bare


def render_breach_pages() -> None:
    """Render what regulators are told, by each clock, and the report of an incident."""
    for clock in deadlines.CLOCKS:
        texts.filing("a" * 20, INCIDENT, clock, texts.PHASES[-1], "It took long.", AT)
    incident_report.page("a" * 20, INCIDENT, AT + timedelta(days=1))


def render_policies() -> None:
    """Render the page of the policy that the package holds, and the one for a version that there is not."""
    file = Path(policies.__file__).parent / f"texts/{policies.FIRST}.txt"
    fields = policies.fields_of(policies.FIRST, file.read_text(encoding="utf-8"), "The first.", AT, AT, material=True)
    first = Policy(policies.FIRST, fields["sha256"], AT)
    policy_pages.render(fields, [first], first, AT)
    policy_pages._missing([first], first, AT, as_text=False)


def main() -> None:
    """Render everything, then print what was opened and what has no template."""
    opened: set[str] = set()
    sys.addaudithook(lambda event, given: opened.add(str(given[0])) if event == "open" else None)
    bare = render_letters()
    render_breach_pages()
    render_policies()
    with tempfile.TemporaryDirectory() as folder:
        registers.write(Path(folder))
    home = Path(astra.__file__).parent
    roots = (home.parent, Path(__file__).parents[2])
    templates = sorted(
        str(Path(name).relative_to(next(root for root in roots if Path(name).is_relative_to(root))))
        for name in opened
        if name.endswith(".j2")
    )
    print(json.dumps({"home": str(home), "templates": templates, "bare": bare}))  # noqa: T201


if __name__ == "__main__":
    main()
