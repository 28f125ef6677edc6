"""Every place that somebody may ask for, and what the data map says they may do there.

To give a collection to its owner, set `owner_may` in its entry of the data map; nothing is to be changed here.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from astra.datamap.model import Store
from astra.datamap.table import DATA_MAP, NOT_PERSONAL
from tests.rules.cast import OWNERS, WHO

READS: Final = ("get", "get expired", "get kept", "list")
#: The five methods that rules know, and the ways to ask that could get around them: for what has expired, for what is
#: kept although it has, and in everybody's collections of that name at once.
DOCUMENT_OPERATIONS: Final = (*READS, "list all", "create", "update", "delete")
OBJECT_OPERATIONS: Final = ("get", "download", "list", "create", "overwrite", "update", "mint token", "delete")


@dataclass(frozen=True)
class Place:
    """A kind of document or object, by a pattern of the data map."""

    path: str
    database: str = "(default)"
    owner_may: tuple[str, ...] = ()
    public: bool = False
    for_members: bool = False
    """Whether everybody may read it who has signed in."""
    who: tuple[str, ...] = WHO

    def __str__(self) -> str:
        return self.path if self.database == "(default)" else f"{self.database}: {self.path}"

    @property
    def several(self) -> bool:
        """Whether a person may have more than one."""
        return re.search(r"\{(?!uid|email|subject)", self.path) is not None

    def of(self, uid: str, item: str = "item-0001") -> str:
        """The path of one of somebody's."""
        found_by = {"uid": uid, "email": f"address-of-{uid}", "subject": f"subject-of-{uid}"}
        return re.sub(r"\{(\w+)\}", lambda name: found_by.get(name[1], item), self.path)

    def expected(self, who: str, operation: str) -> bool:
        """Whether that must be allowed."""
        if self.public or (self.for_members and who != "anonymous"):
            return operation in READS
        if who not in OWNERS or operation in ("get expired", "get kept", "list all"):
            return False
        return operation.partition(" ")[0] in self.owner_may


def _of_data_map(*stores: Store) -> list[Place]:
    return [
        Place(
            path=entry.where,
            database="vault" if entry.store is Store.VAULT else "(default)",
            owner_may=entry.owner_may,
        )
        for entry in DATA_MAP
        if entry.store in stores
    ]


def _documents() -> list[Place]:
    places = _of_data_map(Store.FIRESTORE, Store.VAULT)
    # Of what is nobody's, the documents: their paths have an even number of parts.
    places += [
        Place(path, public=path == "policies/{item}", for_members=path == "securityPolicies/{item}")
        for path in NOT_PERSONAL
        if path.count("/") % 2
    ]
    readable = [place for place in places if place.owner_may or place.public or place.for_members]
    closed = [Place("unheard-of/{item}"), Place("users/{uid}/unheard-of/{item}")]
    closed += [Place(f"{place.path}/deeper/{{item}}") for place in readable]
    # The same paths in the database of keys: rules are written once for both.
    closed += [Place(place.path, database="vault") for place in readable]
    return places + [replace(place, who=("owner",)) for place in closed]


def _objects() -> list[Place]:
    closed = ("{uid}", "unheard-of/{uid}/{item}", "incoming/{uid}", "incoming/{uid}/{item}/deeper")
    return _of_data_map(Store.STORAGE) + [Place(path, who=("owner", "anonymous")) for path in closed]


DOCUMENTS: Final = _documents()
OBJECTS: Final = _objects()


@dataclass(frozen=True)
class Cell:
    """One question of the matrix."""

    place: Place
    who: str
    operation: str

    @property
    def expected(self) -> bool:
        return self.place.expected(self.who, self.operation)

    def __str__(self) -> str:
        return f"{self.who} may {self.operation} {self.place}"


def cells(places: list[Place], operations: tuple[str, ...]) -> list[Cell]:
    """The matrix, row by row."""
    return [
        Cell(place, who, operation)
        for place in places
        for who in place.who
        for operation in operations
        # Where there are several, one has expired; of those who have one profile, one person's has.
        if operation not in ("get expired", "get kept")
        or place.several
        or (operation == "get expired" and place.path == "users/{uid}" and who == "owner")
    ]
