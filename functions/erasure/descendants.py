"""Every document below one document, at any depth, whatever its collections are called.

One query for thousands instead of one call for each document: a query without a collection over all descendants.
The Python client offers no such query of its own; Node's `recursiveDelete` is built on the same one.
Source: https://firebase.google.com/docs/firestore/reference/rpc/google.firestore.v1#structuredquery
"""

from google.cloud import firestore
from google.cloud.firestore_v1.types import Cursor, RunQueryRequest, RunQueryResponse, StructuredQuery, Value


def page(
    db: firestore.Client, root: firestore.DocumentReference, most: int, after: str | None = None
) -> list[firestore.DocumentReference]:
    """Up to `most` references behind the path `after`, in the order of their paths, without reading their fields.

    A missing `root` is fine.
    """
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
    request = RunQueryRequest(parent=root._document_path, structured_query=query)
    answers = db._firestore_api.run_query(request=request, metadata=db._rpc_metadata)
    # The plain message: wrapping each of thousands costs more than reading it.
    names = (RunQueryResponse.pb(answer).document.name for answer in answers)
    return [db.document(name.removeprefix(prefix)) for name in names if name]
