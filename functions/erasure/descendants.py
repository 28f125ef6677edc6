"""Every document below one document, at any depth, whatever its collections are called.

One query for thousands instead of one call for each document: a query without a collection over all descendants.
The Python client offers no such query of its own; Node's `recursiveDelete` is built on the same one.
Source: https://firebase.google.com/docs/firestore/reference/rpc/google.firestore.v1#structuredquery
"""

from collections.abc import Iterable, Iterator
from typing import Final

from google.cloud import firestore
from google.cloud.firestore_v1.types import (
    Cursor,
    Precondition,
    RunQueryRequest,
    RunQueryResponse,
    StructuredQuery,
    Value,
    Write,
)

_AHEAD: Final = 20_000
"""How many one query is for: each walks over all that was just deleted before it."""


def below(db: firestore.Client, root: str, after: str | None = None) -> Iterator[str]:
    """The paths of all, behind the path `after` and in their order, without reading their fields.

    Fetched as they are asked for. A missing `root` is fine.
    """
    number = _AHEAD
    while number == _AHEAD:
        number = 0
        for number, path in enumerate(page(db, root, _AHEAD, after), 1):  # noqa: B007
            yield path
        after = path if number else after


def delete(batch: firestore.WriteBatch, db: firestore.Client, paths: Iterable[str]) -> None:
    """Delete documents as part of `batch`, which fails if one of them is not there.

    The plain messages: by the client's own layers one takes longer to say than to do.
    """
    prefix, existing = f"{db._database_string}/documents/", Precondition.pb(Precondition(exists=True))
    message = type(Write.pb(Write()))
    batch._add_write_pbs([message(delete=prefix + path, current_document=existing) for path in paths])


def page(db: firestore.Client, root: str, most: int, after: str | None = None) -> Iterator[str]:
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
    request = RunQueryRequest(parent=prefix + root, structured_query=query)
    answers = db._firestore_api.run_query(request=request, metadata=db._rpc_metadata)
    # The plain message: wrapping each of thousands costs more than reading it.
    names = (RunQueryResponse.pb(answer).document.name for answer in answers)
    return (name.removeprefix(prefix) for name in names if name)
