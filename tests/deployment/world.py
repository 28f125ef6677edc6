"""People, staff and a project in which the functions of the archives are asked as Google and clients ask them."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx
from firebase_admin import auth
from google.cloud import firestore

from astra.runtime.callables import Call, parse
from astra.staff import Role
from local.demo.client import POLICY_VERSION
from signup import blocking, enrolment
from tests.deployment.production import REGION
from tests.support.colleagues import Person, Team

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from astra.runtime.platform import Platform
    from local.stack.stack import Stack
    from tests.deployment.fleet import Fleet
    from tests.deployment.production import Production

T = TypeVar("T")
_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05
#: Of the networks for benchmarks (RFC 2544).
ADDRESS: Final = "198.18.7.9"


class RealClock:
    """The time as it is, also for helpers that would set it."""

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    @now.setter
    def now(self, _moment: datetime) -> None:
        """Let it be."""

    def __call__(self) -> datetime:
        return self.now


class World:
    """A project with two people of the staff who decide together. `platform` looks into its stores."""

    def __init__(self, stack: Stack, platform: Platform[Any], production: Production, fleet: Fleet) -> None:
        self.stack, self.platform, self.production, self.fleet = stack, platform, production, fleet
        self.db: firestore.Client = platform.db
        self.team = Team(platform)
        self.priya, self.cleo = self.team.hire(Role.PRIVACY), self.team.hire(Role.CTO)
        platform.bucket.blob("first").upload_from_string("")  # by which the emulator makes the bucket
        self._http = httpx.Client(trust_env=False, timeout=_SECONDS)
        for queue in ("assess", "erase", "notify", "sendcode"):
            tasks = f"http://127.0.0.1:{stack.ports['tasks']}/projects/{self.project}/locations/{REGION}"
            taker = f"http://127.0.0.1:{production.google.port}/queues/{queue}"
            self._http.post(f"{tasks}/queues/{queue}", json={"defaultUri": taker}).raise_for_status()

    @property
    def project(self) -> str:
        return str(self.platform.app.project_id)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def join(self) -> Person:
        """Return somebody who has just signed up as people do."""
        uid, email = secrets.token_hex(10), f"{secrets.token_hex(8)}@example.com"
        self.enrol(email)
        auth.create_user(uid=uid, email=email, app=self.platform.app)
        blocking.before_create(self.platform, blocking.Asked(uid, email, ADDRESS))
        return Person(self.platform, uid)

    def enrol(self, email: str) -> None:
        """Enrol an address, in this process."""
        form = parse(enrolment.StartSignup, self.form_of(email))
        enrolment.start_signup(self.platform, Call(form, None, "198.18.7.0/24"))

    def form_of(self, email: str) -> dict[str, Any]:
        """Return the sign-up form of an adult who agrees."""
        form = {"email": email, "name": "Ada Lovelace", "birthYear": 1990, "birthMonth": 12}
        return form | {"policyVersion": POLICY_VERSION, "consents": {"terms": True}}

    def email_of(self, person: Person) -> str:
        """Return the address of an account."""
        return str(auth.get_user(person.uid, app=self.platform.app).email)

    def fields(self, path: str) -> dict[str, Any]:
        """Return what a document holds; nothing if it is not there."""
        return self.db.document(path).get().to_dict() or {}

    def call(self, function: str, data: Any, who: Person | None = None) -> dict[str, Any]:
        """Call a callable as an application does, and return its result; fail on any answer but success."""
        headers = self.app_headers(who)
        answer = self.post(function, {"data": data}, headers)
        result: dict[str, Any] = answer["result"]
        return result

    def app_headers(self, who: Person | None) -> dict[str, str]:
        """Return what an application sends with each request."""
        signer = self.production.signer
        token = {"Authorization": f"Bearer {signer.id_token(who.uid, self.email_of(who))}"} if who else {}
        return {"X-Firebase-AppCheck": signer.app_check_token(), "X-Forwarded-For": ADDRESS, **token}

    def decide(self, function: str, data: Any) -> dict[str, Any]:
        """Have the CTO ask and, where it takes two people, somebody else ask for the same; return the last result."""
        answer = self.call(function, data, self.cleo)
        return self.call(function, data, self.priya) if answer.get("state") == "proposed" else answer

    def beforehand(self, handler: Any, form: Any) -> dict[str, Any]:
        """Have two people ask for the same in this process. Return the last result."""
        answer: dict[str, Any] = handler(self.platform, self.cleo.call(form))
        return handler(self.platform, self.priya.call(form)) if answer.get("state") == "proposed" else answer

    def post(self, function: str, body: Any, headers: Mapping[str, str]) -> Any:
        """POST JSON to a function; return what it answers, and fail on any answer but success."""
        answer = self.ask(
            function, "POST", content=json.dumps(body), headers={"Content-Type": "application/json", **headers}
        )
        return answer.json() if answer.headers.get("Content-Type", "").startswith("application/json") else answer.text

    def ask(self, function: str, method: str, path: str = "/", **how: Any) -> httpx.Response:
        """Send a request to a function; fail on any answer but success."""
        served = self.fleet.get(function)
        answer = self._http.request(method, f"http://127.0.0.1:{served.port}{path}", **how)
        log = served.log.read_text(errors="replace")[-3000:]
        assert answer.is_success, f"{function} answered {answer.status_code}: {answer.text}\n{log}"
        return answer

    def fire(self, function: str) -> None:
        """Send what Cloud Scheduler sends."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        job = f"firebase-schedule-{function}-{REGION}"
        headers = {"X-CloudScheduler": "true", "X-CloudScheduler-JobName": job, "X-CloudScheduler-ScheduleTime": at}
        self.ask(function, "POST", headers={"User-Agent": "Google-Cloud-Scheduler", **headers})

    def dispatch(self, function: str, data: Any) -> None:
        """Send what Cloud Tasks sends."""
        headers = {"X-CloudTasks-QueueName": function, "X-CloudTasks-TaskName": secrets.token_hex(8)}
        headers |= {"X-CloudTasks-TaskRetryCount": "0", "X-CloudTasks-TaskExecutionCount": "0"}
        self.post(function, {"data": data}, {"User-Agent": "Google-Cloud-Tasks", **headers})

    def deliver(self, function: str, kind: str, source: str, data: Any, **more: str) -> None:
        """Send what Eventarc sends."""
        event = {"specversion": "1.0", "id": secrets.token_hex(8), "type": kind, "source": source, **more}
        event["time"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.post(function, data, {f"ce-{name}": value for name, value in event.items()})

    def task(self, queue: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first task that Cloud Tasks has handed to `queue` and that is `wanted`."""
        tasks = self.production.google.tasks[queue]
        return self.eventually(lambda: next(filter(wanted, tasks), None), f"a task of {queue}; there are {tasks}")

    def eventually(self, look: Callable[[], T | None], what: str) -> T:
        """Return what `look` sees once it sees anything; fail with `what` when that takes too long."""
        deadline = time.monotonic() + _SECONDS
        while not (seen := look()):
            assert time.monotonic() < deadline, f"not within {_SECONDS:.0f} s: {what}"
            time.sleep(_POLL_SECONDS)
        return seen
