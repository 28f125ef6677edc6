import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.cloud import firestore

from astra import policies
from astra.runtime.callables import Call, Caller, parse
from astra.runtime.platform import Platform
from signup import enrolment
from signup.blocking import Asked, before_create
from tests.people import own_project

HOME, AWAY = "192.0.2.7", "198.51.100.7"
"""Addresses of documentation (RFC 5737)."""


@dataclass(frozen=True)
class Member:
    """Somebody who has signed up from HOME."""

    platform: Platform[Any]
    uid: str
    email: str

    @property
    def profile(self) -> firestore.DocumentReference:
        return self.platform.db.document(f"users/{self.uid}")

    def fields(self) -> dict[str, Any]:
        fields = self.profile.get().to_dict()
        assert fields is not None
        return fields

    def receipt(self, purpose: str) -> dict[str, Any]:
        fields = self.profile.collection("consents").document(purpose).get().to_dict()
        assert fields is not None
        return fields

    def requests(self) -> list[dict[str, Any]]:
        return [snapshot.to_dict() or {} for snapshot in self.profile.collection("requests").get()]

    def asked(self, address: str | None = HOME, **changes: Any) -> Asked:
        """What Auth asks when they sign in."""
        return Asked(**{"uid": self.uid, "email": self.email, "address": address} | changes)

    def call(self, data: Any, network: str | None = "192.0.2.0/24") -> Call[Any]:
        return Call(data, Caller(self.uid, self.platform.clock(), "token"), network)


@pytest.fixture
def platform(platform: Platform[Any]) -> Iterator[Platform[Any]]:
    """A platform over a project of its own: its policies are the test's, and no blocking function makes accounts."""
    with own_project(platform):
        yield platform


def enrol(platform: Platform[Any], **changes: Any) -> str:
    form = {
        "email": f"{secrets.token_hex(8)}@example.com",
        "name": "Ada Lovelace",
        "birthYear": 1990,
        "birthMonth": 12,
        "policyVersion": policies.FIRST,
        "consents": {"terms": True},
    } | changes
    enrolment.start_signup(platform, Call(parse(enrolment.StartSignup, form)))
    return str(form["email"])


@pytest.fixture
def join(platform: Platform[Any]) -> Callable[..., Member]:
    """Enrols and signs up: `join(consents={…})`."""

    def joined(**changes: Any) -> Member:
        member = Member(platform, secrets.token_hex(14), enrol(platform, **changes))
        before_create(platform, member.asked())
        return member

    return joined
