"""Descendants of a Firestore document, at any depth, whatever their collections.

One query for thousands instead of one call for each document: a query without a collection over all descendants.
The Python client offers no such query of its own; Node's `recursiveDelete` is built on the same one.
Source: https://firebase.google.com/docs/firestore/reference/rpc/google.firestore.v1#structuredquery
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from google.cloud import firestore
from google.cloud.firestore_v1.types import (
    Cursor,
    Precondition,
    StructuredQuery,
    Value,
    Write,
)

from astra.runtime.documents import read_plain

_FIRST_QUERY_DOCUMENTS: Final = 1_000
"""How many the first query is for: no page waits long for it."""
_MAX_QUERY_DOCUMENTS: Final = 20_000
"""How many a later query is for, at most: each walks over all that was just deleted before it."""


def below(db: firestore.Client, root: str, after: str | None = None) -> Iterator[str]:
    """The paths of all, behind the path `after` and in their order, without reading their fields.

    One query is ahead of what is asked for. A missing `root` is fine.
    """
    # Not in a `with`: it would wait for its thread wherever an iterator that was left is collected.
    reader, most = ThreadPoolExecutor(1), _FIRST_QUERY_DOCUMENTS
    ahead = reader.submit(page, db, root, most, after)
    while len(found := ahead.result()) == most:
        most = min(2 * most, _MAX_QUERY_DOCUMENTS)
        ahead = reader.submit(page, db, root, most, found[-1])
        yield from found
    yield from found


def delete(batch: firestore.WriteBatch, db: firestore.Client, paths: Iterable[str]) -> None:
    """Delete documents as part of `batch`, which fails if one of them is not there.

    The plain messages: by the client's own layers one takes longer to say than to do.
    """
    prefix, existing = f"{db._database_string}/documents/", Precondition.pb(Precondition(exists=True))
    message = type(Write.pb(Write()))
    batch._add_write_pbs([message(delete=prefix + path, current_document=existing) for path in paths])


def page(db: firestore.Client, root: str, most: int, after: str | None = None) -> list[str]:
    """The paths of up to `most` of them."""
    prefix = f"{db._database_string}/documents/"
    query = StructuredQuery(
        from_=[StructuredQuery.CollectionSelector(all_descendants=True)],
        select=StructuredQuery.Projection(fields=[StructuredQuery.FieldReference(field_path="__name__")]),
        order_by=[
            StructuredQuery.Order(
                field=StructuredQuery.FieldReference(field_path="__name__"),
                direction=StructuredQuery.Direction.ASCENDING,
            )
        ],
        start_at=Cursor(values=[Value(reference_value=prefix + after)], before=False) if after else None,
        limit=most,
    )
    return read_plain(db, query, lambda document: str(document.name.removeprefix(prefix)), root)
