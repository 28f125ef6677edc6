"""A data subject's documents in one database, deleted a page at a time."""

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from google.cloud import firestore

from astra.datamap.lookup import claimant, name_of
from astra.datamap.model import Disposition, Store, Subject
from astra.datamap.table import DATA_MAP

from erasure import descendants

_PAGE_DOCUMENTS: Final = 490
"""A commit takes 500 writes: the roots and the checkpoint are among them."""

_UNKNOWN: Final[dict[str, Any]] = {}
"""The cursor of no page."""

Named = tuple[str, str]
"""The path of a document, after the name of its entry."""


@dataclass(frozen=True)
class Page:
    """Documents to delete now, with the last of them the roots of all, and where the next page begins.

    `cursor` is None on the last page.
    """

    documents: list[Named]
    roots: list[firestore.DocumentReference]
    cursor: dict[str, Any] | None


class Trees:
    """The trees of `person` in `store`, which is the database `db`. Pages asked for in their order cost least.

    What is below a root by the data map is looked for; what is there against it only `everywhere`, for that is a query
    for each root. So it is once the verification, which looks everywhere, has found anything.
    """

    def __init__(self, db: firestore.Client, store: Store, person: Subject, *, everywhere: bool) -> None:
        self._db = db
        self._store = store
        self._person = person
        entries = [entry for entry in DATA_MAP if entry.store is store and entry.disposition is Disposition.DELETE]
        # What is below another entry is found among its descendants.
        children = {e.name: [entry for entry in entries if entry.where.startswith(e.where + "/")] for e in entries}
        below = {child.name for those in children.values() for child in those}
        tops = {entry: path for entry in entries if entry.name not in below and (path := person.place(entry))}
        self._roots = [db.document(path) for path in tops.values()]
        self._parents = [path for entry, path in tops.items() if everywhere or children[entry.name]]
        #: Where the next page begins, and what is there: for any other page it is of no use.
        self._cursor: dict[str, Any] | None = _UNKNOWN
        self._ahead: Iterator[str] = iter(())

    def page(self, cursor: dict[str, Any] | None) -> Page:
        """The next documents; the roots when nothing is below them any more."""
        if cursor != self._cursor:
            self._ahead = self._behind(cursor["after"] if cursor else None)
        self._cursor = _UNKNOWN  # a read that fails ends the iterator: that is not the end of the documents
        documents = [(name_of(self._store, path), path) for path in islice(self._ahead, _PAGE_DOCUMENTS)]
        if len(documents) < _PAGE_DOCUMENTS:
            return Page(documents, self._roots, None)
        self._cursor = {"after": documents[-1][1]}
        return Page(documents, [], self._cursor)

    def _behind(self, after: str | None) -> Iterator[str]:
        """What is below the roots, from the one that `after` is below."""
        at = next((n for n, root in enumerate(self._parents) if after and after.startswith(root + "/")), 0)
        for root in self._parents[at:]:
            yield from descendants.below(self._db, root, after)
            after = None

    def delete(
        self,
        batch: firestore.WriteBatch,
        page: Page,
        roots: "list[firestore.DocumentSnapshot[Any]]",
        held: Container[str],
    ) -> "Counter[str]":
        """Delete a page as part of `batch`, but for what is held and what is not the person's. Answers how many.

        `roots` are the page's, as read. The commit fails if a document has gone meanwhile: it would be counted twice.
        """
        theirs = [root.reference.path for root in roots if self._is_theirs(root)]
        named = page.documents + [(name_of(self._store, root), root) for root in theirs]
        doomed = [(name, path) for name, path in named if name not in held]
        descendants.delete(batch, self._db, (path for _, path in doomed))
        return Counter(name for name, _ in doomed)

    def _is_theirs(self, root: "firestore.DocumentSnapshot[Any]") -> bool:
        entry, fields = claimant(self._store, root.reference.path), root.to_dict()
        return entry is not None and fields is not None and self._person.owns(entry, fields)
