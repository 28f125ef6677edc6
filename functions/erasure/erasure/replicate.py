"""Replicate: cancels predictions, deletes files, and says when the rest expires.

A prediction can only be cancelled; the service drops its input and output an hour after it ended. Files can be deleted.
Source: https://replicate.com/docs/reference/http
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import httpx
from google.cloud import firestore

from erasure.settings import ErasureSettings

_TIMEOUT_SECONDS: Final = 10.0
_MAX_RUN: Final = timedelta(minutes=30)
_KEPT_FOR: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Prediction:
    """One prediction, as our record of it says: the files it was given, and when its data is gone at the latest."""

    name: str
    files: tuple[str, ...]
    gone_by: datetime

    @classmethod
    def of(cls, record: "firestore.DocumentSnapshot[Any]") -> "Prediction":
        """The prediction that `users/{uid}/predictions/{item}` speaks of."""
        fields = record.to_dict() or {}
        files = tuple(str(name) for name in fields.get("files", []))
        return cls(record.id, files, fields["createdAt"] + _MAX_RUN + _KEPT_FOR)


class Artefacts:
    """Talks to Replicate's HTTP API. Any answer but success and "not found" raises."""

    def __init__(self, settings: ErasureSettings) -> None:
        self._settings = settings

    @cached_property
    def _client(self) -> httpx.Client:
        token = self._settings.replicate_token.get_secret_value()
        return httpx.Client(
            base_url=str(self._settings.replicate_url),
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT_SECONDS,
        )

    def delete(self, prediction: Prediction) -> int:
        """Stop a prediction and delete the files it was given. Gone already is success. Answers how many files went."""
        self._ask("POST", f"/v1/predictions/{prediction.name}/cancel")
        return sum(self._ask("DELETE", f"/v1/files/{name}") for name in prediction.files)

    def has_file(self, name: str) -> bool:
        """Whether Replicate still has a file."""
        return self._ask("GET", f"/v1/files/{name}")

    def _ask(self, method: str, path: str) -> bool:
        answer = self._client.request(method, path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        answer.raise_for_status()
        return True
