"""Reading several Firestore documents in one request.

Invariants:
1. Firestore answers queries and lookups with a stream. gRPC can hang at the end of a process that left one open.
2. Each function here reads its stream to the end, or cancels it, before it returns. A test holds that nothing else
   opens one: elsewhere `get` reads a query into a list.
"""

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any, TypeVar

from google.cloud import firestore
from google.cloud.firestore_v1.types import RunQueryResponse

T = TypeVar("T")


def fetch(
    db: firestore.Client,
    *references: firestore.DocumentReference,
    transaction: firestore.Transaction | None = None,
    fields: Iterable[str] | None = None,
) -> "list[firestore.DocumentSnapshot[Any]]":
    """The documents in the order asked for, or these fields of each; the database answers in any order."""
    if not references:
        return []
    answers = db.get_all(list(references), fields, transaction=transaction)
    found = {snapshot.reference.path: snapshot for snapshot in answers}
    return [found[reference.path] for reference in references]


def count(query: firestore.Query, transaction: firestore.Transaction | None = None) -> int:
    """How many documents a query finds. A read is paid for a thousand of them, or a part of that."""
    counting: Any = query.count()
    return int(counting.get(transaction=transaction)[0][0].value)


def read(
    query: firestore.Query,
    of: "Callable[[firestore.DocumentSnapshot[Any]], T]",
    transaction: firestore.Transaction | None = None,
) -> list[T]:
    """Return `of` each document that a query finds: the documents may be too many to hold at once."""
    with closing(query.stream(transaction=transaction)) as rows:
        return [of(row) for row in rows]


def read_plain(db: firestore.Client, query: Any, of: Callable[[Any], T], below: str = "") -> list[T]:
    """Return `of` the plain message of each document that a StructuredQuery finds at the path `below`.

    The client's own snapshots of thousands cost more than to read these.
    """
    parent = f"{db._database_string}/documents{below and '/' + below}"
    request = {"parent": parent, "structured_query": query}
    answers = db._firestore_api.run_query(request=request, metadata=db._rpc_metadata)
    try:
        found = (RunQueryResponse.pb(answer).document for answer in answers)
        return [of(document) for document in found if document.name]  # the last answer may hold none
    finally:
        answers.cancel()
