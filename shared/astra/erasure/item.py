"""A single item of a person, such as an image, in every store: holds and deletion."""

from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from google.api_core.exceptions import NotFound
from google.api_core.retry import Retry
from google.cloud import firestore
from google.cloud.storage.retry import DEFAULT_RETRY

from astra.datamap.model import Entry, Store, Subject
from astra.datamap.table import DATA_MAP
from astra.erasure import legal_holds
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings

_TIMEOUT_SECONDS: Final = 20


class Thing:
    """What the data map knows under `kind`, by its id. Keys go first, which makes every copy noise; then objects; the
    documents last, so that an unfinished deletion stays visible."""

    def __init__(self, platform: Platform[Settings], uid: str, kind: str, item_id: str) -> None:
        self._platform, self._id = platform, item_id
        self._person = Subject(uid, platform.pseudonyms.of_uid(uid), email=None, asked_at=platform.clock())
        self._places = [(entry, str(self._person.item(entry, item_id))) for entry in DATA_MAP if entry.item == kind]

    @property
    def documents(self) -> list[firestore.DocumentReference]:
        """Its documents in the default database."""
        return [self._platform.db.document(place) for entry, place in self._places if entry.store is Store.FIRESTORE]

    def hold(self, stored: "firestore.DocumentSnapshot[Any]", now: datetime) -> dict[str, Any] | None:
        """Of the person's holds as read, the one that keeps any of it longest."""
        # A held prompt is opened by the key of the image that was made of it.
        held = legal_holds.with_keys(legal_holds.held(stored, now), self._is_there)
        found = [held[entry.name] for entry, _ in self._places if entry.name in held]
        return max(found, key=lambda hold: hold["expiresAt"]) if found else None

    def destroy(self, retry: Retry | None = DEFAULT_RETRY) -> None:
        """Delete keys, then objects. What is gone is success."""
        for entry, place in self._places:
            if entry.store is Store.VAULT:
                self._platform.vault_db.document(place).delete()
        for entry, place in self._places:
            if entry.store is Store.STORAGE:
                self._delete_object(place, retry)

    def _is_there(self, entry: Entry) -> bool:
        place = str(self._person.item(entry, self._id))
        return entry.store is Store.FIRESTORE and self._platform.db.document(place).get(["__name__"]).exists

    def _delete_object(self, name: str, retry: Retry | None) -> None:
        """Every generation of one object. A longer name that begins alike is another's."""
        for blob in self._platform.bucket.list_blobs(prefix=name, versions=True, retry=retry, timeout=_TIMEOUT_SECONDS):
            if blob.name == name:
                with suppress(NotFound):
                    blob.delete(if_generation_match=blob.generation, retry=retry, timeout=_TIMEOUT_SECONDS)
