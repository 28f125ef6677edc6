"""Constructors of data-map entries: each gives what all entries of one kind have in common.

A call may give any field of Entry, also one that its constructor sets.
"""

from functools import partial
from typing import Final

from astra.datamap.model import CONTRACT, OBLIGATION, Disposition, Entry, Store

WHILE_ACTIVE: Final = "while the account is active"

below_profile: Final = partial(
    Entry, store=Store.FIRESTORE, retention=WHILE_ACTIVE, export=True, export_note="whole", residual="backup"
)
"""Make the entry of a collection below a profile. Most are exported whole."""
document: Final = partial(Entry, store=Store.FIRESTORE, export=False, residual="backup")
"""Make the entry of a collection of its own."""
retained_record: Final = partial(
    Entry,
    store=Store.FIRESTORE,
    lawful_basis=OBLIGATION,
    retention="for good",
    export=False,
    disposition=Disposition.RETAIN,
    residual="backup",
)
"""Make the entry of documents that an erasure leaves, found by a pseudonym."""
image_object: Final = partial(
    Entry, store=Store.STORAGE, lawful_basis=CONTRACT, retention=WHILE_ACTIVE, residual="soft-delete", item="image"
)
"""Make the entry of objects that images are stored in."""
wrapped_key: Final = partial(
    Entry,
    store=Store.VAULT,
    purpose="encrypt content",
    lawful_basis=CONTRACT,
    retention=WHILE_ACTIVE,
    export=False,
    export_note="keys never leave",
)
"""Make the entry of documents in the vault."""
