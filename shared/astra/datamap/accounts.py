"""The data map's entries for accounts: sign-up, sign-in, consents, legal requests, profile."""

from datetime import timedelta
from typing import Final

from astra.datamap.constructors import WHILE_ACTIVE, below_profile, document
from astra.datamap.model import CONSENT, CONTRACT, INTEREST, OBLIGATION, Entry, Store

SIGN_UP: Final[tuple[Entry, ...]] = (
    Entry(
        name="short-lived-keys",
        store=Store.REDIS,
        where="user:{{uid}}:{item}",
        category="number of requests in the last minute, and usage events on their way into the database",
        purpose="keep the service up, and write what happens together at once",
        lawful_basis=INTEREST,
        retention="one minute; what the database could not take by then, a week at most",
        export=False,
        export_note="gone before an export is made",
        recipients=("Redis Cloud",),
        passing=True,
    ),
    document(
        name="enrolments",
        where="enrolments/{email}",
        category="name and choices of somebody about to sign up",
        purpose="let only consenting people of age make an account",
        lawful_basis=CONTRACT,
        retention="15 minutes; refused from then on, removed by the sweep; the database's time-to-live is a backstop",
        export_note="becomes the profile, which is exported",
        lives=timedelta(minutes=15),
        passing=True,
    ),
    document(
        name="sign-in-codes",
        where="codes/{email}",
        category="that somebody asked for a code to sign in with, and its keyed hash",
        purpose="let in who is locked out by a new network or a new policy",
        lawful_basis=CONTRACT,
        retention="10 minutes; refused from then on, removed by the sweep; the database's time-to-live is a backstop",
        export_note="gone before an export is made",
        lives=timedelta(minutes=10),
        passing=True,
    ),
    below_profile(
        name="consents",
        where="users/{uid}/consents/{item}",
        category="what was agreed to, and when",
        purpose="prove consent",
        lawful_basis=OBLIGATION,
        owner_may=("get", "list"),
    ),
)
"""From the first request to the consents that an account begins with."""

REQUESTS: Final[tuple[Entry, ...]] = (
    below_profile(
        name="requests",
        where="users/{uid}/requests/{item}",
        category="what was asked for under the law, and when it was done",
        purpose="answer requests in time, and show that they were",
        lawful_basis=OBLIGATION,
        retention="24 months; then removed by the hourly sweep, and until then in lists only",
        lives=timedelta(days=731),  # no 24 months are longer
        owner_may=("get", "list"),
    ),
    below_profile(
        name="network-locks",
        where="users/{uid}/locks/{item}",
        category="keyed hash of the masked network that somebody locked their sign-in to",
        purpose="lock sign-in to one network, at the user's request",
        lawful_basis=CONSENT,
        retention="until the lock is turned off or replaced; what a legal hold keeps of it then, the sweep removes",
        export=False,
        export_note="a hash that means nothing elsewhere",
        may_expire=True,
    ),
)
"""What the person asked us for, below their profile."""

PROFILE: Final[tuple[Entry, ...]] = (
    document(
        name="profile",
        where="users/{uid}",
        category="name, e-mail address, settings, when they were last here",
        purpose="run the account",
        lawful_basis=CONTRACT,
        retention="while the account is active; unused for two years it is warned of 30 and 7 days before, then erased",
        export=True,
        export_note="whole",
        owner_may=("get",),
    ),
)
"""After all that lies below it."""

ACCOUNT: Final[tuple[Entry, ...]] = (
    Entry(
        name="account",
        store=Store.AUTH,
        where="{uid}",
        category="e-mail address, password hash, sign-in times",
        purpose="sign in",
        lawful_basis=CONTRACT,
        retention=WHILE_ACTIVE,
        export=True,
        export_note="without the password hash",
    ),
)
"""At Auth."""
