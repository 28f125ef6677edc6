"""Sources of the tests' stacks: the deployment archives, or with `STACK_SOURCES=checkout` the checkout."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from local.deployment import archives
from local.stack import run_folder

if TYPE_CHECKING:
    from local.stack.run_folder import Source


def sources() -> dict[str, Source]:
    """Return the source of each codebase. Raise ValueError if STACK_SOURCES names neither."""
    match os.environ.get("STACK_SOURCES", "archives"):
        case "archives":
            return archives.prepare()
        case "checkout":
            return run_folder.checkout()
        case other:
            raise ValueError(f"STACK_SOURCES must be archives or checkout, not {other}")
