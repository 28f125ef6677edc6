"""Requests to the functions of `signup`, and their effects in the stores."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

from astra import policies
from signup import unlock as signup_unlock
from tests.deployment.world import ADDRESS

if TYPE_CHECKING:
    from tests.deployment.world import World


def start_signup(world: World) -> None:
    email = f"{secrets.token_hex(8)}@example.com"
    assert "expiresAt" in world.call("start_signup", world.form_of(email))
    enrolled = world.fields(f"enrolments/{world.platform.pseudonyms.of_email(email)}")
    assert enrolled["name"] == "Ada Lovelace"


def before_create(world: World) -> None:
    uid, email = secrets.token_hex(10), f"{secrets.token_hex(8)}@example.com"
    world.enrol(email)
    assert block(world, "before_create", "beforeCreate", uid, email) == {}
    assert world.fields(f"users/{uid}")["email"] == email
    assert world.fields(f"users/{uid}/consents/terms")["state"] == "given"


def before_sign_in(world: World) -> None:
    ada, changed = world.join(), f"{secrets.token_hex(8)}@example.com"
    assert block(world, "before_sign_in", "beforeSignIn", ada.uid, changed) == {}
    assert world.fields(f"users/{ada.uid}")["email"] == changed


def block(world: World, function: str, event: str, uid: str, email: str) -> Any:
    """Send what Identity Platform sends before it makes an account or lets somebody in."""
    url = f"https://{function.replace('_', '-')}-abcdefghij-uc.a.run.app"
    token = world.production.signer.blocking_token(event, url, uid, email, ADDRESS)
    return world.post(function, {"data": {"jwt": token}}, {"User-Agent": "Google-Firebase"})


def update_profile(world: World) -> None:
    ada = world.join()
    world.call("update_profile", {"name": "Countess Lovelace", "electronicNotices": True}, ada)
    assert world.fields(f"users/{ada.uid}")["name"] == "Countess Lovelace"
    assert world.fields(f"users/{ada.uid}/consents/electronicNotices")["state"] == "given"


def accept_policy(world: World) -> None:
    ada = world.join()
    ada.profile.update({"policyVersion": "2000-01-01"})
    world.call("accept_policy", {"policyVersion": policies.FIRST}, ada)
    assert world.fields(f"users/{ada.uid}")["policyVersion"] == policies.FIRST


def set_ip_lock(world: World) -> None:
    ada = world.join()
    world.call("set_ip_lock", {"enabled": True}, ada)
    assert world.fields(f"users/{ada.uid}")["ipLock"] is True
    at = world.platform.pseudonyms.of_network(ada.uid, "198.18.7.0/24")
    assert world.fields(f"users/{ada.uid}/locks/network")["network"] == at


def send_code(world: World) -> None:
    ada = world.join()
    world.call("send_code", {"email": world.email_of(ada)})
    world.task("sendcode", lambda task: task["uid"] == ada.uid)


def sendcode(world: World) -> None:
    ada = world.join()
    address = world.platform.pseudonyms.of_email(world.email_of(ada))
    world.dispatch("sendcode", {"job": address, "uid": ada.uid})
    assert code_of(world, world.email_of(ada))
    assert len(world.fields(f"codes/{address}")["codes"]) == 1


def unlock(world: World) -> None:
    ada = world.join()
    email = world.email_of(ada)
    address = world.platform.pseudonyms.of_email(email)
    signup_unlock.deliver(world.platform, address, ada.uid)
    world.call("unlock", {"email": email, "code": code_of(world, email)})
    assert world.fields(f"codes/{address}") == {}


def code_of(world: World, email: str) -> str:
    """Return the code that was sent to an address."""
    letter = world.stack.mail.last_to(email, "Your code")
    body = letter.message.get_body() if letter else None
    assert body
    [code] = re.findall(r"\b\d{8}\b", body.get_content())
    return str(code)
