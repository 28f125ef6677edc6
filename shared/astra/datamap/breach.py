"""Data map: entries for exposures and suspensions."""

from typing import Final

from astra.datamap.constructors import below_profile, document, retained_record
from astra.datamap.model import BREACH_DUTIES, Entry

EXPOSED: Final[tuple[Entry, ...]] = (
    below_profile(
        name="exposures",
        where="users/{uid}/exposures/{item}",
        category="which of somebody's data a breach exposed",
        purpose="tell them exactly that",
        lawful_basis=BREACH_DUTIES,
    ),
)
"""Below a profile."""

BREACH: Final[tuple[Entry, ...]] = (
    document(
        name="suspensions",
        where="suspensions/{uid}",
        category="that an account was suspended to contain a breach, and what it was before",
        purpose="shield somebody's data, and give the account back as it was",
        lawful_basis=BREACH_DUTIES,
        retention="until the suspension is undone or the account erased",
        export_note="undone, or known to who can't sign in",
    ),
    retained_record(
        name="exposed-and-gone",
        where="exposed/{subject}.{item}",
        category="that a breach exposed data of somebody who has since been erased, or whom staff know to be affected, "
        "under a keyed pseudonym",
        purpose="count everybody whom a breach concerns",
        lawful_basis=BREACH_DUTIES,
        export_note="of who is erased, nobody is left who could ask; others have it in what was exposed of theirs",
        disposition_note="keyed pseudonym and incident; GDPR art. 33(5) and 17(3)(b)",
    ),
)
"""Collections of their own."""

NOBODYS: Final = {
    "campaigns/{item}": "what is told to whom as a group, how many they are and how far it is; a separator between two "
    "account ids, which is nobody's",
    "incidents/{item}": "breaches: detectors, times, numbers by jurisdiction, and staff under keyed pseudonyms",
    "controls/{item}": "what is frozen while a breach is contained, and whether the roll call is on",
    "watch:{item}": "how much each principal of the audit log did, under a keyed pseudonym",
}
"""What the breach codebase keeps that holds nothing about anybody."""
