"""Processors, for operators: the register of a new project."""

import sys
from datetime import datetime

from google.cloud import firestore

from astra.runtime.settings import Settings
from cli import operator
from governance.processors import PROCESSORS, PROCESSORS_COLLECTION, line


def seed(db: firestore.Client, now: datetime) -> None:
    """Enter every processor that the register lacks."""
    for processor in PROCESSORS:
        document = db.collection(PROCESSORS_COLLECTION).document(processor.name)
        if not document.get(["name"]).exists:
            document.set({**line(processor, now), "agreement": None})


def main() -> int:
    """Run the command of the command line; return the exit code."""
    parser = operator.Parser(prog="python -m astra.processors", description="Look after the processors.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("add-missing", help="enter into the register each processor that it lacks, without an agreement")
    with operator.platform(Settings, parser.parse_args(), acts=True) as platform:
        seed(platform.db, platform.clock())
    return 0


if __name__ == "__main__":
    sys.exit(main())
