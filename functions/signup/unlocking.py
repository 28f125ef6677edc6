"""The way back in for who is locked out, by a network or by a policy not yet accepted: a code from their own mailbox.

    codes/{pseudonym of the address}   {uid, code, tries, createdAt, expireAt}; code: a keyed hash, once it was sent

Whoever asks learns nothing: the answer, and the work until it, are the same whether or not the address has an account.
The code is made, hashed and sent by a task of its own, and its plaintext is nowhere but in the letter. Where the number
of tries can't be counted, nobody gets in.
"""

import hmac
import secrets
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Final

from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import StringConstraints

from astra import callables, log, mail, tombstones
from astra.callables import Answer, Call, Shape
from astra.claims import lives
from astra.limits import Limit
from astra.platform import Platform
from astra.pseudonyms import Pseudonym
from astra.queue import Queue
from astra.settings import SignupSettings
from astra.transactions import transact
from enrolment import Email, Version
from profiles import acceptable
from revisions import Inactive, Revision

CODES: Final = "codes"
_MOST_TRIES: Final = 5
_FOR_AN_ADDRESS: Final = Limit(5, timedelta(hours=1), fails_closed=True)
_LETTER: Final = """Somebody, we hope you, asked for a code to sign in to your account.

    {code}

It is good for ten minutes and for one use, together with your password. If it was not you, do nothing: without this
code nobody gets in.
"""


class SendCode(Shape):
    """The account's address."""

    email: Email


class Unlock(Shape):
    """The code that was sent to the address. With `policyVersion`, that version is agreed to as well."""

    email: Email
    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{8}$")]
    policyVersion: Version | None = None


def send_code(platform: Platform[SignupSettings], queue: Queue, call: Call[SendCode]) -> Answer:
    """Have a code sent to an address, if it has an account. The answer does not tell."""
    address, now = platform.pseudonyms.of_email(call.data.email), platform.clock()
    callables.admit(platform, address, "send_code", _FOR_AN_ADDRESS)
    try:
        uid = auth.get_user_by_email(call.data.email.strip(), app=platform.app).uid
    except (auth.UserNotFoundError, ValueError):  # ValueError: Auth could not have an account of such an address
        uid = None

    def body(transaction: firestore.Transaction, uid: str | None) -> None:
        if uid is not None:
            tombstones.refuse_erased(transaction, platform.db, platform.pseudonyms.of_uid(uid))
        asked = {"uid": uid, "code": None, "tries": 0, "createdAt": now, "expireAt": now + lives("sign-in-codes")}
        transaction.set(_reference(platform, address), asked)

    try:
        transact(platform.db, partial(body, uid=uid))
    except tombstones.Erased:
        transact(platform.db, partial(body, uid=None))
    queue.hint(address)
    return {}


def deliver(platform: Platform[SignupSettings], address: str) -> None:
    """Make the code that was asked for and send it. A second delivery sends a new one, which is the one that counts."""
    reference, code = _reference(platform, address), f"{secrets.randbelow(10**8):08}"

    def body(transaction: firestore.Transaction) -> str | None:
        asked = reference.get(transaction=transaction).to_dict()
        if not asked or asked["uid"] is None or asked["expireAt"] <= platform.clock():
            return None
        uid: str = asked["uid"]
        try:
            Revision(platform, transaction, uid, platform.clock())
        except Inactive:
            return None
        transaction.update(reference, {"code": platform.pseudonyms.of_code(uid, code)})
        return uid

    uid = transact(platform.db, body)
    if uid is None:
        return
    settings, to = platform.settings, auth.get_user(uid, app=platform.app).email
    if to is not None:
        key, text = secrets.token_hex(16), _LETTER.format(code=code)
        mail.send(settings.smtp_url.get_secret_value(), settings.mail_from, to, "Your code to sign in", text, key)
        log.write(log.Event.CODE_SENT)


def unlock(platform: Platform[SignupSettings], call: Call[Unlock]) -> Answer:
    """Take a code: the lock, if there is one, moves to the network that this comes from, and the policy is accepted."""
    form, now = call.data, platform.clock()
    reference = _reference(platform, platform.pseudonyms.of_email(form.email))
    accepted = acceptable(platform, form.policyVersion, now) if form.policyVersion else None

    def body(transaction: firestore.Transaction) -> bool:
        asked: dict[str, Any] = reference.get(transaction=transaction).to_dict() or {}
        if not asked.get("code") or asked["expireAt"] <= now or asked["tries"] >= _MOST_TRIES:
            return False
        if not hmac.compare_digest(platform.pseudonyms.of_code(asked["uid"], form.code), asked["code"]):
            transaction.update(reference, {"tries": asked["tries"] + 1})
            return False
        try:
            revision = Revision(platform, transaction, asked["uid"], now)
        except Inactive:
            return False
        transaction.delete(reference)
        if revision.profile["ipLock"] and call.network:
            revision.lock(call.network)
        if accepted:
            revision.accept(accepted)
        return True

    if not transact(platform.db, body):
        raise HttpsError(
            FunctionsErrorCode.PERMISSION_DENIED, "The code is wrong, or no longer good. Ask for another one."
        )
    log.write(log.Event.UNLOCKED)
    return {}


def _reference(platform: Platform[SignupSettings], address: str) -> firestore.DocumentReference:
    return platform.db.collection(CODES).document(Pseudonym(address))
