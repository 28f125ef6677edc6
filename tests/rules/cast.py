"""Everybody who may ask, and whose data they ask for."""

import base64
import json
from dataclasses import dataclass
from typing import Any, Final

import firebase_admin
import httpx
from firebase_admin import auth
from google.cloud import firestore

from local.demo.client import Client, Person
from local.stack.stack import Stack

ROLES: Final = ("support", "privacy", "security", "cto")
#: Whose address is verified, and whose is not: they have the same rights, for the service asks nobody to verify.
OWNERS: Final = ("owner", "unverified")
WHO: Final = ("anonymous", *OWNERS, "other", "erasing", "without a profile", *ROLES)


@dataclass(frozen=True)
class Caller:
    """Somebody who asks: for whose data, and with which token."""

    whose: str
    token: str | None


class Cast:
    """Real accounts of the shared stack, signed up and signed in as customers are."""

    def __init__(self, stack: Stack, app: firebase_admin.App, db: firestore.Client) -> None:
        with Client(stack) as client:
            ada, bob, una, eve, xia = (client.join() for _ in range(5))
            staff = {role: client.join() for role in ROLES}
            auth.update_user(ada.uid, email_verified=True, app=app)
            for role, person in staff.items():
                auth.set_custom_user_claims(person.uid, {"role": role}, app=app)

            def again(person: Person) -> str:
                return client.sign_in(person.email, person.password).token

            stranger = _without_profile(stack)
            self.callers = {
                "anonymous": Caller(ada.uid, None),
                "owner": Caller(ada.uid, again(ada)),
                "unverified": Caller(una.uid, una.token),
                "other": Caller(ada.uid, bob.token),
                "erasing": Caller(eve.uid, eve.token),
                "without a profile": stranger,
                **{role: Caller(ada.uid, again(person)) for role, person in staff.items()},
            }
            db.document(f"users/{ada.uid}/images/already-an-image").set({"status": "ready"})
            # Only now: nobody who is being erased can sign in.
            db.document(f"users/{eve.uid}").update({"state": "erasing"})
        #: Somebody whose profile itself has expired.
        self.expired = Caller(xia.uid, xia.token)
        #: Each person whose data is asked for, and the state of their profile, if they have one.
        self.profiles = {
            ada.uid: "active",
            una.uid: "active",
            eve.uid: "erasing",
            xia.uid: "active",
            stranger.whose: None,
        }


def claims(token: str | None) -> dict[str, Any]:
    """What an ID token says."""
    body = (token or "").split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def _without_profile(stack: Stack) -> Caller:
    """An account of the kind that Auth makes without asking us."""
    url = f"{stack.auth_url}/identitytoolkit.googleapis.com/v1/accounts:signUp"
    answer = httpx.post(url, params={"key": "any"}, json={"returnSecureToken": True}, timeout=30).json()
    return Caller(answer["localId"], answer["idToken"])
