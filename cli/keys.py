"""Key rotation, for staff: begin one and see how far it is."""

import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from google.cloud import firestore

from astra.runtime.platform import Platform
from astra.vault.settings import SealingSettings
from cli import operator
from uploads.key_rotation import JOBS, begin, run


def _status(platform: Platform[SealingSettings]) -> Iterator[str]:
    yield f"{'rotation':<12}{'state':<10}{'done':>8}{'of':>8}{'failed':>8}"
    for snapshot in platform.vault_db.collection(JOBS).get():
        job = snapshot.to_dict() or {}
        yield f"{snapshot.id[:10]:<12}{job['state']:<10}{job['done']:>8}{job['total']:>8}{job['failed']:>8}"


def main() -> int:
    """Run the command of the command line; answers the exit code."""
    parser = operator.Parser(prog="python -m astra.rotation", description="Rotate keys; content stays as it is.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("kms", help="wrap every user's key by the key service's key in use now")
    verbs.add_parser("user", help="give one user a new key").add_argument("uid")
    verbs.add_parser("status", help="list rotations")
    chosen, code = parser.parse_args(), 0
    with operator.platform(SealingSettings, chosen, acts=chosen.verb != "status") as platform:
        if chosen.verb != "status":
            try:
                code = _to_the_end(platform, begin(platform, getattr(chosen, "uid", None)))
            except LookupError as error:
                print(error, file=sys.stderr)  # noqa: T201
                return 1
        print("\n".join(_status(platform)))  # noqa: T201
    return code


def _to_the_end(platform: Platform[SealingSettings], job: firestore.DocumentReference) -> int:
    """Work on a rotation until nothing is left to do, and show how far it is; return the exit code."""
    before: dict[str, Any] = {}
    while (fields := job.get().to_dict() or {})["nextRunAt"] is not None:
        if fields == before:
            time.sleep(1)  # waiting after a failure, or in another worker's hands
        else:
            print(f"{fields['done']} of {fields['total']}", flush=True)  # noqa: T201
        before = fields
        run(platform, job, timedelta(seconds=5))
    if fields["state"] != "ended":
        print(f"{fields['state']}: the old key is still needed", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
