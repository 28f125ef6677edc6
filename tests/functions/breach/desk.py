"""Two people of security, an incident, and what was done in it, in a project of its own."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import HttpsError

from astra.notices import campaigns
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from astra.staff import Role
from breach import deadlines, incidents, texts
from breach.assessment import affected
from breach.response import approve_notice, decisions, regulators
from breach.response import confirm as response_confirm
from breach.response import contain as response_contain
from local.stack import Stack
from tests.colleagues import Person, Team
from tests.functions.breach.crowd import BUDGET, Crowd, Hints

THIEF = "thief@example.com"
SAID = {
    "nature": "Confidentiality: accounts were read with a stolen credential",
    "whatHappened": "Somebody used a stolen credential of ours to read accounts.",
    "weAreDoing": "We have turned the credential off, and changed how we keep others.",
    "youCanDo": "Be wary of letters that know of your pictures.",
    "consequences": "Whoever it was may write to people in our name.",
    "measures": "The credential is off; exports were frozen.",
    "contact": "privacy@astra-engineering.co, or +1 555 0100 on weekdays",
}


@contextmanager
def refused(words: str) -> Iterator[None]:
    """What is asked for within is refused, in a message with these words."""
    with pytest.raises(HttpsError) as refusal:
        yield
    assert re.search(words, refusal.value.message), refusal.value.message


class Desk:
    """`ada` and `bob` answer for security; `carol` does not."""

    def __init__(self, platform: Platform[Any], team: Team, stack: Stack) -> None:
        self.platform, self.stack, self.db = platform, stack, platform.db
        self.ada, self.bob, self.carol = (team.hire(role) for role in (Role.SECURITY, Role.CTO, Role.SUPPORT))
        self.hints = Hints()

    @property
    def clock(self) -> Any:
        return self.platform.clock

    def report(self, severity: int = 1) -> str:
        """A case, opened by hand. Answers its name."""
        form = {"what": "A laptop is gone", "severity": severity, "noticedAt": self.clock().isoformat()}
        answer = decisions.report_incident(self.platform, self.ada.call(parse(decisions.ReportIncident, form)))
        return str(answer["incidentId"])

    def confirm(self, name: str, who: Person | None = None, **changes: Any) -> dict[str, Any]:
        """Say that it is a breach."""
        now = self.clock()
        form = {
            "incidentId": name,
            "awareAt": now.isoformat(),
            "occurredFrom": (now - timedelta(hours=6)).isoformat(),
            "occurredUntil": now.isoformat(),
            **changes,
        }
        parsed = parse(response_confirm.ConfirmIncident, form)
        return response_confirm.confirm_incident(self.platform, (who or self.ada).call(parsed))

    def confirm_again(self, name: str, who: Person | None = None, **wider: Any) -> None:
        """Have it counted again, with more."""
        same = ("awareAt", "occurredFrom", "occurredUntil")
        times = {field: moment.isoformat() for field, moment in self.incident(name).items() if field in same}
        self.confirm(name, who, **(times | wider))

    def describe(self, name: str, **said: str) -> None:
        form = parse(decisions.DescribeIncident, {"incidentId": name, **(said or SAID)})
        decisions.describe_incident(self.platform, self.ada.call(form))

    def contain(self, name: str, measure: str, who: Person | None = None, **more: Any) -> dict[str, Any]:
        form = parse(response_contain.ContainIncident, {"incidentId": name, "measure": measure, **more})
        return response_contain.contain_incident(self.platform, (who or self.ada).call(form))

    def close(self, name: str, *, false_alarm: bool) -> None:
        form = {"incidentId": name, "falseAlarm": false_alarm, "reference": "SEC-2026-1"}
        decisions.close_incident(self.platform, self.ada.call(parse(decisions.CloseIncident, form)))

    def approve(self, name: str, who: Person, sha256: str = "") -> dict[str, Any]:
        shown = sha256 or texts.notice(name, self.incident(name)).sha256
        form = parse(approve_notice.ApproveNotice, {"incidentId": name, "sha256": shown})
        return approve_notice.approve_notice(self.platform, who.call(form))

    def tell(self, name: str, clock: str, phase: str = "final", reason: str = "", **changes: Any) -> dict[str, Any]:
        """What is due is said; without a `reason` where one is needed, the request goes without a hash, too."""
        form: dict[str, Any] = {"incidentId": name, "clock": clock, "phase": phase, "reference": "FILE-1"}
        form |= {"sha256": "0" * 64, "sentAt": self.clock().isoformat()}
        form |= ({"delayReason": reason} if reason else {}) | changes
        at = datetime.fromisoformat(form["sentAt"])
        with suppress(texts.Late):
            text = texts.filing(name, self.incident(name), deadlines.BY_NAME[clock], phase, reason, at)
            form = {**form, "sha256": text.sha256, **changes}
        return regulators.tell_regulator(self.platform, self.ada.call(parse(regulators.TellRegulator, form)))

    def incident(self, name: str) -> dict[str, Any]:
        return incidents.reference(self.db, name).get().to_dict() or {}

    def job(self, name: str) -> dict[str, Any]:
        return incidents.cohort_job(self.db, name).get().to_dict() or {}

    def happened(self, *entries: dict[str, Any]) -> None:
        """The audit log of this project has these entries."""
        project = self.platform.app.project_id
        self.stack.google.entries += json.loads(json.dumps(entries).replace("demo-astra", project))

    def gather(self, name: str) -> None:
        """What tasks do."""
        affected.work(self.platform, self.hints, name, BUDGET)  # type: ignore[arg-type]

    def rows(self, name: str) -> dict[str, dict[str, Any]]:
        """What was noted of each person."""
        found = self.db.collection_group("exposures").get()
        return {row.reference.path.split("/")[1]: row.to_dict() or {} for row in found if row.id == name}

    def send(self, name: str, crowd: Crowd) -> None:
        """Both approve, and everybody is told."""
        self.approve(name, self.ada)
        self.approve(name, self.bob)
        self.gather(name)
        self.fan_out(name, crowd)

    def fan_out(self, name: str, crowd: Crowd) -> None:
        """What tasks do, until everybody was told; letters wait for their turn."""
        while campaigns.completed_at(self.db, texts.campaign_of(name)) is None:
            crowd.work()
            self.clock.step(minutes=1)

    def told(self, name: str) -> list[str]:
        """Who has been told of a breach, in order; each once for each notice."""
        found = self.db.collection_group("notices").get()
        return sorted(one.reference.path.split("/")[1] for one in found if one.id == texts.campaign_of(name))
