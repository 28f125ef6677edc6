"""A person to erase in this process, page by page."""

import re
from datetime import timedelta
from typing import Any

from firebase_admin import auth

from astra import erasure
from astra.erasure import legal_holds
from erasure import cascade
from tests import people


class Somebody(people.Somebody):
    """With an upload that waits, too."""

    objects = ("images/{uid}/ring-0001", "incoming/{uid}/ring-0002")

    def places(self) -> set[str]:
        """Where there is anything of them, by a way of its own: neither the cascade's nor the verifier's."""
        db, vault, places = self.platform.db, self.platform.vault_db, set()
        theirs = re.compile(rf"\b{self.uid}\b")
        for database in (db, vault):
            stack = [*database.collections()]
            while stack:
                for document in stack.pop().list_documents():
                    stack += document.collections()
                    if document.get().exists and theirs.search(repr((document.path, document.get().to_dict()))):
                        places.add(f"{database._database}:{document.path}")
        places |= {blob.name for blob in self.platform.bucket.list_blobs() if f"/{self.uid}/" in blob.name}
        places |= {key for key in self.platform.redis.keys("*") if f"{{{self.uid}}}" in key}
        places |= {"auth" for user in auth.list_users(app=self.platform.app).iterate_all() if user.uid == self.uid}
        enrolment = db.document(f"enrolments/{self.platform.pseudonyms.of_email(self.email)}")
        return places | ({"enrolment"} if enrolment.get().exists else set())

    def cascade(self) -> cascade.Cascade:
        """The pages of their erasure."""
        return cascade.Cascade(self.platform, self.subject)

    def hold(self, *entries: str, days: float = 30, **other: Any) -> str:
        """Place a legal hold for so many days. Answers its id."""
        now = self.platform.clock()
        terms = {
            "basis": "Code of civil procedure § 142, case 7 O 12/26",
            "approvers": ["priya", "sam"],
            "expires_at": now + timedelta(days=days),
        }
        return legal_holds.place(self.platform.db, self.subject, entries=entries, now=now, **{**terms, **other})

    def erase(self) -> dict[str, Any]:
        """From the request to the certificate, with the waiting skipped. Answers the job."""
        erasure.begin(self.platform, self.uid, self.platform.clock())
        for _ in range(40):
            if self.fields()["nextRunAt"] is None:
                break
            self.work()
            self.platform.clock.step(hours=2)  # type: ignore[attr-defined]
        return self.fields()
