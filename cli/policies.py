"""Policies, for operators: the first version of each."""

import sys
from datetime import UTC, datetime
from importlib import resources

from google.cloud import firestore

from astra.policies import FIRST, FIRST_SECURITY, PUBLIC, SECURITY, State, fields_of
from astra.runtime.settings import Settings
from cli import operator


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


def main() -> int:
    """Run the command of the command line; return the exit code."""
    parser = operator.Parser(prog="python -m astra.policy", description="Look after the policies.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("publish-first", help="put the first version of each policy into force")
    with operator.platform(Settings, parser.parse_args(), acts=True) as platform:
        publish_first(platform.db)
    return 0


if __name__ == "__main__":
    sys.exit(main())
