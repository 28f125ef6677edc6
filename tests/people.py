"""People with data in every store, in projects of their own: the emulators serve any number of projects."""

import copy
import itertools
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import firebase_admin
import httpx
from firebase_admin import auth
from google.cloud import firestore
from pydantic import RedisDsn, Secret

from astra import erasure, jobs
from astra.erasure import roll_call
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.vault import vault_of
from cli import policies
from erasure import cascade
from local.scan import Finding, contents, scan
from local.stack import Stack

_BUDGET: Final = timedelta(minutes=1)
#: The first, 0, is the deployed functions'.
_REDIS_DATABASES: Final = itertools.count(1)


def settle(platform: Platform[Any], project: str, buckets: str = "appspot.com") -> None:
    """Put `platform` over a project, before its first use: other tests' accounts and documents are not there."""
    options = {"projectId": project, "storageBucket": f"{project}.{buckets}"}
    platform.__dict__["app"] = firebase_admin.initialize_app(options=options, name=secrets.token_hex(8))
    policies.publish_first(platform.db)
    on = roll_call.switched(enabled=True, report=None, approvers=[], now=platform.clock())
    roll_call.switch(platform.db).set(on)


def own_redis(platform: Platform[Any]) -> str:
    """Put `platform` over a Redis database that no other test has, before its first use. Return its URL."""
    server, _, _ = str(platform.settings.redis_url.get_secret_value()).rpartition("/")
    url = f"{server}/{next(_REDIS_DATABASES)}"
    platform.__dict__["settings"] = platform.settings.model_copy(update={"redis_url": Secret(RedisDsn(url))})
    return url


@contextmanager
def own_project(platform: Platform[Any], project: str | None = None, buckets: str = "appspot.com") -> Iterator[None]:
    """`settle` for as long as this lasts, over a project and a Redis database that no other test has."""
    settle(platform, project or f"demo-{secrets.token_hex(6)}", buckets)
    own_redis(platform)
    yield
    firebase_admin.delete_app(platform.app)


def generate(platform: Platform[Any], uid: str, prompt: str = "a ring") -> tuple[str, str]:
    """Have Replicate compute something of a file of somebody's. Answers the prediction's id and the file's."""
    headers = {"Authorization": f"Bearer {platform.settings.replicate_token.get_secret_value()}"}
    with httpx.Client(base_url=str(platform.settings.replicate_url), headers=headers) as replicate:
        file = replicate.post("/v1/files", files={"content": uid.encode()}).raise_for_status().json()["id"]
        asked = {"version": "drawing", "input": {"prompt": prompt}}
        prediction = replicate.post("/v1/predictions", json=asked).raise_for_status().json()["id"]
    record = platform.db.document(f"users/{uid}/predictions/{prediction}")
    record.set({"createdAt": platform.clock(), "files": [file]})
    return prediction, file


class Somebody:
    """A person with data in every store, some of it where no code of ours would put it."""

    objects = ("images/{uid}/ring-0001", "thumbs/{uid}/ring-0001", "images/{uid}/ring-0002")

    def __init__(self, platform: Platform[Any], uid: str | None = None) -> None:
        self.platform = platform
        self.uid = uid or secrets.token_hex(10)
        self.email = f"{self.uid}@example.com"
        self.subject: Pseudonym = platform.pseudonyms.of_uid(self.uid)
        db, bucket, now = platform.db, platform.bucket, platform.clock()
        auth.create_user(uid=self.uid, email=self.email, app=platform.app)
        batch = db.batch()
        for path in ("", "/consents/terms", "/images/ring-0001", "/images/ring-0001/planted/x", "/planted/x/y/z"):
            fields = {"state": "active", "email": self.email, "createdAt": now}
            batch.set(db.document(f"users/{self.uid}{path}"), fields)
        enrolment = db.document(f"enrolments/{platform.pseudonyms.of_email(self.email)}")
        batch.set(enrolment, {"email": self.email, "createdAt": now - timedelta(hours=1)})
        batch.commit()
        for name in self.objects:
            bucket.blob(name.replace("{uid}", self.uid)).upload_from_string(self.uid)
        vault_of(platform).new_object(self.uid, "ring-0001")
        platform.limits.count(self.uid, "open_image", 9, timedelta(hours=9))

    @property
    def job(self) -> firestore.DocumentReference:
        return erasure.reference(self.platform.db, self.subject)

    def fields(self) -> dict[str, Any]:
        """The job of their erasure."""
        fields = self.job.get().to_dict()
        assert fields is not None
        return fields

    def ask(self) -> None:
        """Begin their erasure."""
        assert erasure.begin(self.platform, self.uid, self.platform.clock())

    def work(self) -> None:
        """What a task does, in this process."""
        worker = jobs.Worker(self.platform.db, self.platform.clock, self.platform.settings.retry_delay)
        worker.run(self.job, cascade.Cascade(self.platform, self.subject).page, _BUDGET)

    def finish(self) -> dict[str, Any]:
        """Work whenever there is something to do, with the waiting skipped. Answers the job once it has ended."""
        while (due := self.fields()["nextRunAt"]) is not None:
            self.platform.clock.now = due  # type: ignore[attr-defined]
            self.work()
        return self.fields()

    def traces(self, stack: Stack) -> list[Finding]:
        """Wherever their account id or address occurs, in any store of their project."""
        return scan(self._project(stack), {"account id": self.uid.encode(), "address": self.email.encode()})

    def belongings(self, stack: Stack) -> Mapping[tuple[str, str], bytes]:
        """Everything that is stored of them, by store and place."""
        return {
            (store, place): content
            for store, place, content in contents(self._project(stack))
            if store not in ("log", "disk") and (self.uid in place or self.uid.encode() in content)
        }

    def _project(self, stack: Stack) -> Stack:
        elsewhere = copy.copy(stack)
        elsewhere.project = self.platform.app.project_id
        elsewhere.redis_url = str(self.platform.settings.redis_url.get_secret_value())
        return elsewhere
