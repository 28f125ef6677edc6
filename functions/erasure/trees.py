"""A person's documents in one database: every tree that the data map roots at them, a page at a time."""

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Final

from google.cloud import firestore

import descendants
from astra.claims import claimant, name_of
from astra.datamap import DATA_MAP
from astra.entries import Disposition, Store, Subject

_PAGE: Final = 400
_AHEAD: Final = 12 * _PAGE
_EXISTING: Final = firestore.ExistsOption(exists=True)


@dataclass(frozen=True)
class Page:
    """Documents to delete now, roots to look at after what is below them, and where the next page begins.

    `cursor` is None on the last page.
    """

    documents: list[firestore.DocumentReference]
    roots: list[firestore.DocumentReference]
    cursor: dict[str, Any] | None


class Trees:
    """The trees of `person` in `store`, which is the database `db`. Pages asked for in their order cost least."""

    def __init__(self, db: firestore.Client, store: Store, person: Subject) -> None:
        self._db = db
        self._store = store
        self._person = person
        entries = [entry for entry in DATA_MAP if entry.store is store and entry.disposition is Disposition.DELETE]
        # What is below another entry is found among its descendants.
        tops = [entry for entry in entries if not any(entry.where.startswith(e.where + "/") for e in entries)]
        self._roots = [path for entry in tops if (path := person.place(entry))]
        #: What a query has found beyond the present page, if one has been made, and whether there is more behind it.
        self._ahead: list[firestore.DocumentReference] | None = None
        self._more = False
        #: Where the page after the last one begins: asked for any other, what was looked ahead at is of no use.
        self._following: dict[str, Any] | None = None

    def page(self, cursor: dict[str, Any] | None) -> Page:
        """The next documents, children before the root that they are below; of small trees, several."""
        if cursor != self._following:
            self._ahead = None
        number, after = (cursor["root"], cursor["after"]) if cursor else (0, None)
        documents: list[firestore.DocumentReference] = []
        roots: list[firestore.DocumentReference] = []
        while number < len(self._roots) and len(documents) + len(roots) < _PAGE:
            root, most = self._db.document(self._roots[number]), _PAGE - len(documents) - len(roots)
            if self._ahead is None:
                # A query walks over all that was just deleted before it, so one is made for many pages.
                self._ahead = descendants.page(self._db, root, _AHEAD, after)
                self._more = len(self._ahead) == _AHEAD
            taken, self._ahead = self._ahead[:most], self._ahead[most:] or None
            documents += taken
            if self._ahead is None and not self._more and len(taken) < most:
                roots.append(root)
                number, after = number + 1, None
            elif taken:
                after = taken[-1].path
        self._following = {"root": number, "after": after} if number < len(self._roots) else None
        return Page(documents, roots, self._following)

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
        theirs = [root.reference for root in roots if self._is_theirs(root)]
        doomed = [(name_of(self._store, reference.path), reference) for reference in (*page.documents, *theirs)]
        doomed = [(name, reference) for name, reference in doomed if name not in held]
        for _, reference in doomed:
            batch.delete(reference, option=_EXISTING)
        return Counter(name for name, _ in doomed)

    def _is_theirs(self, root: "firestore.DocumentSnapshot[Any]") -> bool:
        entry, fields = claimant(self._store, root.reference.path), root.to_dict()
        return entry is not None and fields is not None and self._person.owns(entry, fields)
