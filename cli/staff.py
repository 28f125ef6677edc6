"""Staff members, for operators: who has which role, and the first CTO."""

import sys

from google.cloud import firestore

from astra import policies, tlog
from astra.accounts import tombstones
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings
from astra.staff import Member, Role, find_members, granted, mirror, reference
from cli import operator


def appoint_first(platform: Platform[Settings], uid: str) -> None:
    """Make an account the CTO of a project that has none; raises LookupError saying why not."""
    db, now, subject = platform.db, platform.clock(), platform.pseudonyms.of_uid(uid)

    def body(transaction: firestore.Transaction) -> None:
        if find_members(db, now, Role.CTO, transaction=transaction):
            raise LookupError("there is a CTO already: roles are granted by `grant_role`")
        required = policies.current(db, now, policies.SECURITY, transaction)
        stored, erased = fetch(db, reference(db, uid), tombstones.reference(db, subject), transaction=transaction)
        if erased.exists or not Member.of(stored, now).accepted(required):
            raise LookupError(f"they must sign in and accept the security policy {required.version} first")
        record = {"role": Role.CTO.value, "state": "first"}
        tlog.append(transaction, db, tlog.Entry(tlog.Action.ROLE_GRANTED, record, now, subject))
        transaction.update(stored.reference, granted(Role.CTO, [], now))

    transact(db, body)
    mirror(platform, uid)


def main() -> int:
    """Run the command of the command line; answers the exit code."""
    parser = operator.Parser(prog="python -m astra.staff", description="Look after staff.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="who has which role, and has accepted which security policy")
    verbs.add_parser("first-cto", help="make the first CTO, while there is none").add_argument("account")
    chosen = parser.parse_args()
    with operator.platform(Settings, chosen, acts=chosen.verb != "list") as platform:
        if chosen.verb == "list":
            found = find_members(platform.db, platform.clock())
            for member in sorted(found, key=lambda member: (member.role or "", member.uid)):
                print(f"{member.role}\t{member.uid}\t{member.policy_version}")  # noqa: T201
            return 0
        try:
            appoint_first(platform, chosen.account)
        except LookupError as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
