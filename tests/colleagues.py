"""Staff and customers in a project of their own, for what staff do to whom."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from firebase_admin import auth
from google.cloud import firestore

from astra import policies, staff, tlog
from astra.runtime.callables import Call, Caller
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.staff import Role


@dataclass(frozen=True)
class Person:
    """Somebody with an account and a profile."""

    platform: Platform[Any]
    uid: str

    @property
    def subject(self) -> Pseudonym:
        return self.platform.pseudonyms.of_uid(self.uid)

    @property
    def profile(self) -> firestore.DocumentReference:
        return self.platform.db.document(f"users/{self.uid}")

    def call(self, data: Any) -> Call[Any]:
        """A request under a token that was minted now."""
        return Call(data, Caller(self.uid, self.platform.clock(), "token"))

    def notices(self) -> list[dict[str, Any]]:
        return [stored.to_dict() or {} for stored in self.profile.collection("notices").get()]

    def role(self) -> Any:
        return staff.Member.of(staff.reference(self.platform.db, self.uid).get(), self.platform.clock()).role

    def claim(self) -> Any:
        return (auth.get_user(self.uid, app=self.platform.app).custom_claims or {}).get("role")

    def accept(self) -> None:
        """Accept the security policy that is in force."""
        now = self.platform.clock()
        required = policies.current(self.platform.db, now, policies.SECURITY)
        staff.reference(self.platform.db, self.uid).set(staff.accepted(required, now), merge=True)


class Team:
    """Hires people straight into their roles."""

    def __init__(self, platform: Platform[Any]) -> None:
        self.platform = platform

    def customer(self) -> Person:
        uid = secrets.token_hex(10)
        auth.create_user(uid=uid, email=f"{uid}@example.com", app=self.platform.app)
        person = Person(self.platform, uid)
        person.profile.set(
            {
                "name": uid,
                "email": f"{uid}@example.com",
                "state": "active",
                "createdAt": self.platform.clock(),
                "ipLock": False,
            }
        )
        # Auth dates a new account's tokens by its own clock, in whole seconds.
        self.platform.clock.now += timedelta(seconds=2)  # type: ignore[attr-defined]
        return person

    def hire(self, role: Role) -> Person:
        person = self.customer()
        person.accept()
        staff.reference(self.platform.db, person.uid).update(staff.granted(role, [], self.platform.clock()))
        return person


def logged(platform: Platform[Any], action: tlog.Action | None = None) -> list[dict[str, Any]]:
    """The entries of the log, oldest first, each with its opened record."""
    entries = [stored.to_dict() or {} for stored in platform.db.collection(tlog.COMMITMENTS).get()]
    found = [entry for entry in entries if action is None or entry["action"] == action]
    return [{**entry, "record": tlog.record(entry)} for entry in sorted(found, key=lambda entry: entry["at"])]


def replace_security_policy(platform: Platform[Any], version: str = "security-next") -> None:
    """Put another version into force, now."""
    fields = {"version": version, "sha256": "f" * 64, "effectiveAt": platform.clock(), "text": "Be careful."}
    platform.db.collection(policies.SECURITY).document(version).set(fields)
