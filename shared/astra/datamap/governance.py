"""Data map: entries for notices, staff and records of governance.

Staff's own documents go when their account does: what they did under their role is in the log, under a pseudonym. The
register of disclosures stays, under a pseudonym too: whose data was given away must be answerable when they are gone.
"""

from datetime import timedelta
from typing import Final

from astra.datamap.breach import BREACH, EXPOSED
from astra.datamap.constructors import below_profile, document, retained_record
from astra.datamap.model import OBLIGATION, Disposition, Entry, Store

TOLD: Final[tuple[Entry, ...]] = (
    below_profile(
        name="notices",
        where="users/{uid}/notices/{item}",
        category="what we told somebody in the application",
        purpose="tell people what concerns them",
        lawful_basis=OBLIGATION,
        owner_may=("get", "list"),
    ),
    below_profile(
        name="deliveries",
        where="users/{uid}/deliveries/{item}",
        category="that a notice was sent to somebody by e-mail, what became of it, and the facts that it is about",
        purpose="tell people what concerns them, once, and show that they were told",
        lawful_basis=OBLIGATION,
    ),
    below_profile(
        name="untold-disclosures",
        where="users/{uid}/gags/{item}",
        category="that their data was disclosed to an authority that bans us from saying so yet",
        purpose="tell them once the ban ends",
        lawful_basis=OBLIGATION,
        retention="until the ban ends",
        export=False,
        export_note="banned until then, and a notice afterwards, which is exported",
        silent=True,
    ),
    *EXPOSED,
)
"""Below a profile."""

GOVERNANCE: Final[tuple[Entry, ...]] = (
    document(
        name="child-removals",
        where="removals/{uid}",
        category="that an account is said to be a child's, and what it was before it was frozen",
        purpose="remove what a child has given us, and undo a false report",
        lawful_basis=OBLIGATION,
        retention="until the report is undone or the account erased",
        export_note="undone or erased before an export is made",
    ),
    document(
        name="staff-proposals",
        where="staff/{uid}/proposals/{item}",
        category="staff: that they proposed something that takes two people, as a keyed hash",
        purpose="let a second person confirm it",
        lawful_basis=OBLIGATION,
        retention="3 days; refused from then on, removed by the sweep",
        export_note="hashes that mean nothing elsewhere",
        lives=timedelta(days=3),
    ),
    document(
        name="staff",
        where="staff/{uid}",
        category="staff: role, who granted it, and the security policy that they accepted",
        purpose="let staff do what their role allows, and nobody else",
        lawful_basis=OBLIGATION,
        retention="while the account is active; what was done stays in the log, under a keyed pseudonym",
        export=True,
        export_note="whole",
    ),
)
"""Collections of their own."""

RECORDS: Final[tuple[Entry, ...]] = (
    document(
        name="erasure",
        where="erasures/{subject}",
        category="progress and certificate of an erasure",
        purpose="finish an erasure and prove it",
        lawful_basis=OBLIGATION,
        retention="the account id until verified; the certificate for good",
        export_note="the receipt shows it",
        disposition=Disposition.ANONYMISE,
        disposition_note="certificate under a keyed pseudonym; GDPR art. 5(2) and 17(3)(b)",
    ),
    retained_record(
        name="legal-holds",
        where="holds/{subject}",
        category="which of somebody's data must not be deleted, why, until when, and who approved it",
        purpose="keep what the law asks to be kept, and nothing else",
        export_note="the certificate of an erasure says what is held",
        disposition_note="the hold itself, under a keyed pseudonym; GDPR art. 5(2), 17(3)(b) and 17(3)(e)",
    ),
    retained_record(
        name="disclosures",
        where="disclosures/{subject}",
        category="what of somebody's data was disclosed to whom, on what ground, and who approved it",
        purpose="account for every disclosure",
        export_note="each is a notice to the person, which is exported",
        silent=True,
        disposition_note="the register's line, under a keyed pseudonym; GDPR art. 5(2), 17(3)(b) and 17(3)(e)",
    ),
    retained_record(
        name="log-entries",
        where="commitments/{subject}.{item}",
        category="what was done to somebody's data, and when, under a keyed pseudonym",
        purpose="prove what was done, also against ourselves",
        export_note="receipts show it",
        disposition_note="entries of the transparency log under a keyed pseudonym; GDPR art. 5(2) and 17(3)(b)",
    ),
    retained_record(
        name="tombstone",
        where="tombstones/{subject}",
        category="that somebody was erased, under a keyed pseudonym",
        purpose="refuse late writes and restored copies",
        export_note="nothing in it",
        disposition_note="keyed pseudonym and time; GDPR art. 5(2) and 17(3)(b)",
        residual="none",
    ),
    retained_record(
        name="vault-tombstone",
        store=Store.VAULT,
        where="tombstones/{subject}",
        category="that somebody was erased, under a keyed pseudonym",
        purpose="never make a key for them again",
        export_note="nothing in it",
        disposition_note="keyed pseudonym and time; GDPR art. 5(2) and 17(3)(b)",
        residual="none",
    ),
    *BREACH,
)
"""What stays of a person when they are gone: that they are, and what was done, under a keyed pseudonym."""
