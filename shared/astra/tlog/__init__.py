"""Transparency log: entries, their Merkle tree, its signed checkpoints, and receipts."""

from astra.tlog.entries import (
    COMMITMENTS,
    LOG,
    Action,
    Entry,
    append,
    commitment,
    is_opened_by,
    leaf,
    record,
    reference,
)

__all__ = [
    "COMMITMENTS",
    "LOG",
    "Action",
    "Entry",
    "append",
    "commitment",
    "is_opened_by",
    "leaf",
    "record",
    "reference",
]
