"""Exposures: what is recorded of each data subject whom an incident concerns.

    users/{uid}/exposures/{incident}    {incident, entries: {name: times}, jurisdiction, createdAt, opened, sealed,
                                         round, sorting, enlisting}: the last two name the incident while that is due
        whom staff know                 said [entry], known "{incident}.{the round in which they were counted last}"
    exposed/{pseudonym}.{incident}      {incident, at, round}: of whoever is erased, that they were affected
        whom staff know                 {incident, at, known: incident}, at once: erased later they are still counted

A round counts everybody once, and what is noted of anybody only grows.
"""

from collections import Counter
from collections.abc import Collection
from typing import Any, Final

from google.cloud import firestore

from astra.accounts import tombstones
from astra.accounts.honeytokens import is_honey
from astra.runtime import documents
from astra.runtime.platform import Platform

from breach import deadlines, incidents

Snapshots = list["firestore.DocumentSnapshot[Any]"]
People = list[tuple[str, Counter[str]]]
"""Account ids, and how often which of their entries were touched."""
Job = dict[str, Any]
_GONE: Final = "exposed"


class Notes:
    """What is noted of one incident's people."""

    def __init__(self, platform: Platform[Any], name: str) -> None:
        self._platform, self._db, self._name = platform, platform.db, name

    def of(self, uid: str) -> tuple[firestore.DocumentReference, ...]:
        """What is read to note something of somebody."""
        subject = self._platform.pseudonyms.of_uid(uid)
        profile = self._db.document("users", uid)
        row = profile.collection(incidents.EXPOSURES).document(self._name)
        gone = self._db.document(_GONE, f"{subject}.{self._name}")
        return profile, tombstones.reference(self._db, subject), row, gone

    def note(self, transaction: firestore.Transaction, job: Job, people: People, read: Snapshots) -> "Counter[str]":
        """Note what was touched of these people; `read` is what `of` names of each. Answers the job's counts then."""
        counts: Counter[str] = Counter(job["counts"])
        for (_, touched), theirs in zip(people, _each(read, 4), strict=True):
            counts["records"] += touched.total()
            counts["people"] += self._note(transaction, job["round"], touched, theirs)
        return counts

    def _note(self, transaction: firestore.Transaction, round_: int, touched: "Counter[str]", read: Snapshots) -> int:
        """Note what was touched of somebody. Answers how many people more are known for it in this round."""
        profile, tombstone, row, gone = read
        now = self._platform.clock()
        noted: dict[str, Any] = row.to_dict() or {"createdAt": now}
        left: dict[str, Any] = gone.to_dict() or {}
        is_new = round_ not in (noted.get("round"), left.get("round"))
        if tombstone.exists or not profile.exists:
            transaction.set(gone.reference, {**left, "incident": self._name, "at": now, "round": round_})
            return int(is_new and "known" not in left)  # those are counted as they are, whether or not they are gone
        before: dict[str, int] = noted.get("entries", {})
        entries = {**before, **(Counter({} if is_new else before) + touched)}
        fields = {"sorting": self._name, "entries": entries, "round": round_}
        transaction.set(row.reference, {**noted, **self._about(profile), **fields})
        return int(is_new)

    def _about(self, profile: "firestore.DocumentSnapshot[Any]") -> dict[str, Any]:
        place = (profile.to_dict() or {}).get("jurisdiction")
        return {"incident": self._name, "jurisdiction": place or deadlines.UNKNOWN}

    def read_known(self, transaction: firestore.Transaction, people: Collection[str]) -> tuple[Snapshots, int]:
        """What `note_known` must be given of these people, and how many of them never had an account."""
        references = [reference for uid in sorted({*people}) for reference in self.of(uid)[:3]]
        read = documents.fetch(self._db, *references, transaction=transaction)
        names = self._platform.pseudonyms
        nobody = [
            profile.id
            for profile, tombstone, _ in _each(read, 3)
            if is_honey(names, profile.id) or not (profile.exists or tombstone.exists)
        ]
        return read, len(nobody)

    def note_known(self, transaction: firestore.Transaction, read: Snapshots, entries: Collection[str]) -> None:
        """Note that staff know these entries of these people to be exposed; the next round counts them."""
        now = self._platform.clock()
        for profile, tombstone, row in _each(read, 3):
            gone = self.of(profile.id)[3]
            transaction.set(gone, {"incident": self._name, "at": now, "known": self._name}, merge=True)
            if profile.exists and not tombstone.exists:
                noted: dict[str, Any] = row.to_dict() or {"createdAt": now, "entries": {}}
                said = sorted({*noted.get("said", ()), *entries})
                transaction.set(row.reference, {**noted, **self._about(profile), "said": said, "known": self._round(0)})

    def known(self, round_: int, most: int) -> People:
        """People whom staff know and this round has not counted yet, with what was exposed of each."""
        mine = firestore.FieldFilter("known", ">=", self._round(0))
        due = firestore.FieldFilter("known", "<", self._round(round_))
        rows = self._db.collection_group(incidents.EXPOSURES).where(filter=mine).where(filter=due)
        found = rows.select(["said"]).limit(most).get()
        return [(row.reference.path.split("/")[1], Counter(row.get("said"))) for row in found]

    def count_known(
        self, transaction: firestore.Transaction, job: Job, people: People, read: Snapshots
    ) -> "Counter[str]":
        """`note` of people whom staff know, of whom each is counted once in a round."""
        both = zip(people, _each(read, 4), strict=True)
        there = [(one, theirs) for one, theirs in both if theirs[2].exists]  # others were erased meanwhile
        kept = [stored for _, theirs in there for stored in theirs]
        counts = self.note(transaction, job, [one for one, _ in there], kept)
        for _, (profile, tombstone, row, _) in there:
            counts["known"] += profile.exists and not tombstone.exists
            transaction.update(row.reference, {"known": self._round(job["round"])})
        return counts

    def all_known(self) -> int:
        """How many people staff know to be affected, those who are erased too."""
        mine = firestore.FieldFilter("known", "==", self._name)
        return documents.count(self._db.collection(_GONE).where(filter=mine))

    def _round(self, number: int) -> str:
        return f"{self._name}.{number:06}"


def _each(read: Snapshots, many: int) -> list[Snapshots]:
    """What was read of each of several people, so many documents of everybody."""
    return [read[first : first + many] for first in range(0, len(read), many)]
