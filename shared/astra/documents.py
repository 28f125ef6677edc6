"""Several documents in one request."""

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
