"""Staff members: who has which role, and the first CTO."""

import typer
from google.cloud import firestore

from astra import policies, tlog
from astra.accounts import tombstones
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings
from astra.staff import Member, Role, find_members, granted, mirror, reference
from cli import common, operator, output


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


app = typer.Typer()


@app.command(name="list")
def list_members() -> None:
    """List who has which role, and has accepted which security policy."""
    table = output.table("role", "account", "policy")
    with operator.platform(Settings, acts=False) as platform:
        found = find_members(platform.db, platform.clock())
        for member in sorted(found, key=lambda member: (member.role or "", member.uid)):
            table.add_row(str(member.role), member.uid, str(member.policy_version))
    output.show(table)


@app.command()
def first_cto(account: str) -> None:
    """Make an account the first CTO, while there is none."""
    with operator.platform(Settings, acts=True) as platform:
        common.confirm(platform, f"make {account} the first CTO")
        appoint_first(platform, account)
