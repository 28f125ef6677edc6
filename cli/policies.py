"""Policies: the first version of each, and what has become of all."""

from datetime import UTC, datetime
from importlib import resources

import typer
from google.cloud import firestore

from astra.policies import FIRST, FIRST_SECURITY, PUBLIC, SECURITY, State, fields_of, versions
from astra.runtime.clock import iso
from astra.runtime.settings import Settings
from cli import common, operator, output


def publish_first(db: firestore.Client) -> None:
    """Put the policy of 2 August 2025, and the security policy of the month before it, into force as published."""
    _publish(db, PUBLIC, FIRST, datetime(2025, 8, 2, tzinfo=UTC))
    _publish(db, SECURITY, FIRST_SECURITY, datetime(2025, 7, 15, tzinfo=UTC))


def _publish(db: firestore.Client, collection: str, version: str, effective_at: datetime) -> None:
    text = resources.files("astra").joinpath(f"policies/texts/{version}.txt").read_text(encoding="utf-8")
    fields = fields_of(version, text, "The first version.", effective_at, effective_at, material=True)
    db.collection(collection).document(version).set(
        fields | {"effectiveAt": effective_at, "state": State.PUBLISHED.value}
    )


app = typer.Typer()


@app.command(name="list")
def list_versions() -> None:
    """List all versions, and when each takes effect."""
    table = output.table("version", "state", "takes effect", "material")
    with operator.platform(Settings, acts=False) as platform:
        for collection in (PUBLIC, SECURITY):
            for policy in versions(platform.db, collection):
                at = iso(policy.effective_at) if policy.effective_at else ""
                table.add_row(policy.version, policy.state.value, at, "yes" if policy.material else "no")
    output.show(table)


@app.command(name="publish-first")
def publish_both() -> None:
    """Put the first version of each policy into force."""
    with operator.platform(Settings, acts=True) as platform:
        common.confirm(platform, "put the first version of each policy into force")
        publish_first(platform.db)
