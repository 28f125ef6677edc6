"""Receipts: proof that an entry is in the log, checked offline with `verify.py`.

A receipt is a text as https://c2sp.org/tlog-proof has it: the hashes from the entry up to the root, and the checkpoint
that the log has signed. It goes on proving what it proves whatever becomes of the log, the account or us.
"""

import base64
from typing import TYPE_CHECKING, Any, Final

import rfc8785
from google.cloud import firestore

from astra.tlog import entries, merkle
from astra.tlog.signed_note import checkpoint_of
from astra.tlog.tiles import Tampered, Tiles

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

_HEADER: Final = "c2sp.org/tlog-proof@v1"


def of_entry(db: firestore.Client, bucket: "Bucket", entry_id: str) -> str | None:
    """The receipt of an entry; None until a checkpoint holds it, or if its record was removed. Raises Tampered."""
    fields = entries.reference(db, entry_id).get().to_dict() or {}
    tiles = Tiles(bucket)
    if fields.get("index") is None or not fields.get("nonce") or (note := tiles.checkpoint()) is None:
        return None
    return of_fields(fields, tiles, note) if fields["index"] < checkpoint_of(note).size else None


def of_fields(fields: dict[str, Any], tiles: Tiles, note: str) -> str:
    """The receipt of an entry's document under the checkpoint `note`. Raises Tampered if it is not in that tree."""
    checkpoint, index = checkpoint_of(note), fields["index"]
    path = tiles.tree(checkpoint.size).inclusion(index)
    leaf = merkle.leaf_hash(entries.leaf(fields))
    if not merkle.proves_inclusion(leaf, index, checkpoint.size, path, checkpoint.root):
        raise Tampered("the entry is not what is in the tree")
    return text(fields, path, note)


def text(fields: dict[str, Any], path: list[bytes], note: str) -> str:
    """The receipt as text. `extra` holds what else it takes to make the leaf of the record: action, time, actor and
    nonce."""
    extra = {name: fields[name] for name in ("action", "at", "actor", "nonce") if fields[name] is not None}
    lines = [
        _HEADER,
        f"extra {base64.b64encode(rfc8785.dumps(extra)).decode()}",
        f"index {fields['index']}",
        *(base64.b64encode(node).decode() for node in path),
    ]
    return "\n".join(lines) + f"\n\n{note}"
