"""Every document below one document, at any depth, whatever its collections are called.

One query for a page of 400 instead of one call for each document: a query without a collection over all descendants.
The Python client offers no such query of its own; Node's `recursiveDelete` is built on the same one.
Source: https://firebase.google.com/docs/firestore/reference/rpc/google.firestore.v1#structuredquery
"""

from google.cloud import firestore
from google.cloud.firestore_v1.types import RunQueryRequest, StructuredQuery


def page(db: firestore.Client, root: firestore.DocumentReference, most: int) -> list[firestore.DocumentReference]:
    """Up to `most` references, in the order of their paths, without reading their fields. A missing `root` is fine."""
    query = StructuredQuery(
        from_=[StructuredQuery.CollectionSelector(all_descendants=True)],
        select=StructuredQuery.Projection(fields=[StructuredQuery.FieldReference(field_path="__name__")]),
        order_by=[
            StructuredQuery.Order(
                field=StructuredQuery.FieldReference(field_path="__name__"),
                direction=StructuredQuery.Direction.ASCENDING,
            )
        ],
        limit=most,
    )
    request = RunQueryRequest(parent=root._document_path, structured_query=query)
    answers = db._firestore_api.run_query(request=request, metadata=db._rpc_metadata)
    prefix = f"{db._database_string}/documents/"
    return [db.document(answer.document.name.removeprefix(prefix)) for answer in answers if answer.document.name]
