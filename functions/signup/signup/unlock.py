"""Unlocking a sign-in: one-time codes by e-mail.

    codes/{pseudonym of the address}   {codes: {keyed hash: when it expires}, tries, createdAt, expireAt}

Whoever asks learns nothing: the answer, and the work until it, are the same whether or not the address has an account.
The code is made, hashed and sent by a task of its own, and its plaintext is nowhere but in the letter. Nor can they
shut anybody out: a new code leaves earlier ones good, and who guesses is counted by their own network. Where guesses
can't be counted, nobody gets in.
"""

import secrets
from datetime import timedelta
from typing import Annotated, Any, Final

from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import StringConstraints

from astra.accounts import tombstones
from astra.datamap.lookup import lives
from astra.erasure.change_gate import Barred
from astra.notices import smtp
from astra.runtime import callables, log
from astra.runtime.callables import Answer, Call, Shape
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.rate_limits import Limit
from astra.runtime.settings import MailSettings, Settings
from astra.runtime.task_queue import Queue

from signup.enrolment import Email, Version
from signup.profile import acceptable
from signup.revision import Revision
from signup.settings import SignupSettings

CODES: Final = "codes"
_MAX_CODES: Final = 5
_MAX_TRIES: Final = 100
"""At the codes of one address since the last was sent: of 10^8 that there are."""
_NETWORK_LIMIT: Final = Limit(5, timedelta(hours=1), fails_closed=True)
_ADDRESS_LIMIT: Final = Limit(20, timedelta(hours=1), fails_closed=True)
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
    address = platform.pseudonyms.of_email(call.data.email)
    callables.admit(platform, f"{address} from {call.network}", "send_code", _NETWORK_LIMIT)
    callables.admit(platform, address, "send_code", _ADDRESS_LIMIT)
    if not queue.hint(address, uid=_account(platform, call.data.email)):
        raise HttpsError(FunctionsErrorCode.UNAVAILABLE, "No code can be sent just now: try again later.")
    return {}


def deliver(platform: Platform[MailSettings], address: str, uid: str) -> None:
    """Make a code for the account `uid`, if there is one, and send it. A second delivery sends a second one."""
    reference, code, now = _reference(platform, address), f"{secrets.randbelow(10**8):08}", platform.clock()
    if not uid:
        return
    expires = now + lives("sign-in-codes")

    def body(transaction: firestore.Transaction) -> None:
        earlier = reference.get(transaction=transaction).to_dict() or {"codes": {}}
        Revision(platform, transaction, uid, now, changes=())
        live = [(mac, until) for mac, until in earlier["codes"].items() if until > now][1 - _MAX_CODES :]
        codes = dict(live) | {platform.pseudonyms.of_code(uid, code): expires}
        transaction.set(reference, {"codes": codes, "tries": 0, "createdAt": now, "expireAt": expires})

    try:
        transact(platform.db, body)
    except Barred:
        return
    settings, to = platform.settings, auth.get_user(uid, app=platform.app).email
    if to is not None:
        key, text = secrets.token_hex(16), _LETTER.format(code=code)
        smtp.send(settings.smtp_url.get_secret_value(), settings.mail_from, to, "Your code to sign in", text, key)
        log.write(log.Event.CODE_SENT)


def unlock(platform: Platform[SignupSettings], call: Call[Unlock]) -> Answer:
    """Take a code: the next sign-in may come from anywhere, and a lock moves to there; the policy is accepted."""
    form, now = call.data, platform.clock()
    reference = _reference(platform, platform.pseudonyms.of_email(form.email))
    uid = _account(platform, form.email)
    mac = platform.pseudonyms.of_code(uid, form.code)
    accepted = acceptable(platform, form.policyVersion, now) if form.policyVersion else None

    def body(transaction: firestore.Transaction) -> bool:
        kept: dict[str, Any] | None = reference.get(transaction=transaction).to_dict()
        if not kept or kept["tries"] >= _MAX_TRIES:
            return False
        if mac not in kept["codes"] or kept["codes"][mac] <= now:
            transaction.update(reference, {"tries": kept["tries"] + 1})
            return False
        try:
            revision = Revision(platform, transaction, uid, now, changes=())
        except Barred:
            return False
        transaction.delete(reference)
        if revision.profile["ipLock"]:
            revision.open_once()
        if accepted:
            revision.accept(accepted)
        return True

    if not transact(platform.db, body):
        raise HttpsError(
            FunctionsErrorCode.PERMISSION_DENIED, "The code is wrong, or no longer good. Ask for another one."
        )
    log.write(log.Event.UNLOCKED)
    return {}


def _account(platform: Platform[SignupSettings], email: str) -> str:
    """The account of an address, if it has one that is not being erased; else the empty text, after as much work."""
    try:
        uid: str = auth.get_user_by_email(email.strip(), app=platform.app).uid
    except (auth.UserNotFoundError, ValueError):  # ValueError: Auth could not have an account of such an address
        uid = ""
    erased = tombstones.reference(platform.db, platform.pseudonyms.of_uid(uid)).get(["__name__"]).exists
    return "" if erased else uid


def _reference(platform: Platform[Settings], address: str) -> firestore.DocumentReference:
    return platform.db.collection(CODES).document(Pseudonym(address))
