"""The witness: an S3 bucket under Object Lock that keeps every checkpoint.

Whoever controls our project can rewrite Firestore and Storage, but can neither change nor remove what lies here until
its retention ends: not even the owner of the bucket can. Only hashes leave.

    {origin}/{number}.{size}   a checkpoint; the number falls as the tree grows, so that listings begin with the newest

Versions are listed, not keys: what somebody put over a checkpoint or hid behind a delete marker is seen all the same.
Whoever has the witness's key can add to it; what counts is signed by the log, and lies under its own name.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import groupby
from typing import Any, Final

from astra.runtime.log import Inconsistent
from astra.tlog.signed_note import BadNote, Signer, Verifier, checkpoint_of, signed_by

from tlog.settings import LogKeySettings, LogSettings

_TIMEOUT_SECONDS: Final = 5.0
_MAX_SIZE: Final = 10**15
_TEXT: Final = "text/plain; charset=utf-8"
_TAKEN: Final = ("PreconditionFailed", "ConditionalRequestConflict")


class WitnessError(RuntimeError):
    """The witness did not answer, or refused."""


class Forked(Inconsistent):
    """The witness has another checkpoint of this size: there are two histories."""


def verifiers(settings: LogKeySettings) -> list[Verifier]:
    """The log's keys, the one in use first."""
    signer = Signer.of(settings.log_origin, settings.log_key.get_secret_value())
    return [signer.verifier, *map(Verifier.parse, settings.log_verifiers)]


class Witness:
    """The checkpoints of one log."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._prefix = f"{settings.log_origin}/"
        self._verifiers = verifiers(settings)

    def post(self, note: str) -> None:
        """Have a checkpoint remembered. Posted again, nothing happens. Raises Forked, WitnessError."""
        name = self._name(checkpoint_of(note).size)
        until = datetime.now(UTC) + timedelta(days=self._settings.witness_days)
        try:
            self._ask(
                "put_object",
                Key=name,
                Body=note.encode(),
                ContentType=_TEXT,
                IfNoneMatch="*",
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=until,
            )
        except FileExistsError:
            found = next((there for key, notes in self._named(name) if (there := self._agreed(key, notes))), None)
            if found is None:
                # A write that met another one, or something that is no checkpoint of ours.
                raise WitnessError("the witness refused a checkpoint that it does not have") from None
            if checkpoint_of(found) != checkpoint_of(note):
                raise Forked("the witness has another checkpoint of this size") from None

    def latest(self) -> str | None:
        """The checkpoint of the largest tree; None if there is none yet. Raises Forked if there are two of its size."""
        return next((note for name, notes in self._named(self._prefix) if (note := self._agreed(name, notes))), None)

    def all(self) -> Iterator[str]:
        """Every checkpoint, the newest first, and whatever else was put in its place."""
        for _, notes in self._named(self._prefix, page=1000):
            yield from notes

    def _name(self, size: int) -> str:
        return f"{self._prefix}{_MAX_SIZE - size:016d}.{size}"

    def _agreed(self, name: str, notes: list[str]) -> str | None:
        """The log's own checkpoint among what lies under `name`, the one that was locked first. Raises Forked."""
        own = [note for note in notes if self._is_own(name, note)]
        if any(checkpoint_of(note) != checkpoint_of(own[0]) for note in own):
            raise Forked("the witness has two checkpoints of one size")
        return own[0] if own else None

    def _is_own(self, name: str, note: str) -> bool:
        try:
            signed_by(note, self._verifiers)
            checkpoint = checkpoint_of(note)
        except BadNote:
            return False
        return checkpoint.origin == self._settings.log_origin and name == self._name(checkpoint.size)

    def _named(self, prefix: str, page: int = 10) -> Iterator[tuple[str, list[str]]]:
        """Each name below `prefix` with all that was ever put there, the oldest first."""
        for name, versions in groupby(self._versions(prefix, page), key=lambda version: str(version["Key"])):
            # They come newest first, at whole seconds; the oldest is the one that was locked.
            found = list(versions)
            found.reverse()
            found.sort(key=lambda version: version["LastModified"])
            yield name, [self._read(version) for version in found]

    def _read(self, version: dict[str, Any]) -> str:
        found = self._ask("get_object", Key=version["Key"], VersionId=version["VersionId"])
        text: str = found["Body"].read().decode(errors="replace")
        return text

    def _versions(self, prefix: str, page: int) -> Iterator[dict[str, Any]]:
        marker: dict[str, str] = {}
        while True:
            answer = self._ask("list_object_versions", Prefix=prefix, MaxKeys=page, **marker)
            yield from answer.get("Versions", [])
            if not answer["IsTruncated"]:
                return
            marker = {"KeyMarker": answer["NextKeyMarker"]}
            if "NextVersionIdMarker" in answer:
                marker["VersionIdMarker"] = answer["NextVersionIdMarker"]

    def _ask(self, verb: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            return getattr(self._client, verb)(Bucket=self._settings.witness_bucket, **arguments)
        except ClientError as refusal:
            code = refusal.response["Error"]["Code"]
            if code in _TAKEN:
                raise FileExistsError from None
            raise WitnessError(f"the witness answered {verb} with {code}") from None
        except BotoCoreError as failure:
            raise WitnessError(f"the witness did not answer {verb}: {type(failure).__name__}") from None

    @cached_property
    def _client(self) -> Any:
        import boto3  # noqa: PLC0415  (only who needs the witness)
        from botocore.config import Config  # noqa: PLC0415

        return boto3.client(
            "s3",
            endpoint_url=str(self._settings.witness_url),
            region_name=self._settings.witness_region,
            aws_access_key_id=self._settings.witness_key_id.get_secret_value(),
            aws_secret_access_key=self._settings.witness_secret.get_secret_value(),
            config=Config(
                connect_timeout=_TIMEOUT_SECONDS,
                read_timeout=_TIMEOUT_SECONDS,
                retries={"mode": "standard"},
                s3={"addressing_style": "path"},
            ),
        )
