"""Several documents in one request: themselves, or how many they are."""

from typing import Any

from google.cloud import firestore


def fetch(
    db: firestore.Client, *references: firestore.DocumentReference, transaction: firestore.Transaction | None = None
) -> "list[firestore.DocumentSnapshot[Any]]":
    """The documents in the order asked for; the database answers in any order."""
    if not references:
        return []
    found = {snapshot.reference.path: snapshot for snapshot in db.get_all(list(references), transaction=transaction)}
    return [found[reference.path] for reference in references]


def count(query: firestore.Query, transaction: firestore.Transaction | None = None) -> int:
    """How many documents a query finds. A read is paid for a thousand of them, or a part of that."""
    counting: Any = query.count()
    return int(counting.get(transaction=transaction)[0][0].value)
