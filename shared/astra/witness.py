"""The witness: a bucket with Object Lock in compliance mode, in another account, that remembers every checkpoint.

Whoever controls our project can rewrite Firestore and Storage, but can neither change nor remove what lies here until
its retention ends: not even the owner of the bucket can. Only hashes leave.

    {origin}/{number}.{size}   a checkpoint; the number falls as the tree grows, so that listings begin with the newest

Versions are listed, not keys: what somebody put over a checkpoint or hid behind a delete marker is seen all the same.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

from astra.notes import checkpoint_of
from astra.settings import LogSettings

_TIMEOUT: Final = 5.0
_LAST: Final = 10**15
_TEXT: Final = "text/plain; charset=utf-8"
_TAKEN: Final = ("PreconditionFailed", "ConditionalRequestConflict")


class WitnessError(RuntimeError):
    """The witness did not answer, or refused."""


class Forked(RuntimeError):
    """The witness has another checkpoint of this size: there are two histories."""


class Witness:
    """The checkpoints of one log."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._prefix = f"{settings.log_origin}/"

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
            if any(checkpoint_of(there) != checkpoint_of(note) for there in self._notes(name)):
                raise Forked("the witness has another checkpoint of this size") from None

    def latest(self) -> str | None:
        """The checkpoint of the largest tree; None if there is none yet."""
        return next(self._notes(self._prefix, page=10), None)

    def all(self) -> Iterator[str]:
        """Every checkpoint, the newest first, and whatever else was put in its place."""
        return self._notes(self._prefix, page=1000)

    def _name(self, size: int) -> str:
        return f"{self._prefix}{_LAST - size:016d}.{size}"

    def _notes(self, prefix: str, page: int = 10) -> Iterator[str]:
        marker: dict[str, str] = {}
        while True:
            answer = self._ask("list_object_versions", Prefix=prefix, MaxKeys=page, **marker)
            versions = answer.get("Versions", [])
            # Of one name the oldest first, which is the one that was locked; they come newest first, at whole seconds.
            versions.reverse()
            for version in sorted(versions, key=lambda version: (version["Key"], version["LastModified"])):
                found = self._ask("get_object", Key=version["Key"], VersionId=version["VersionId"])
                yield found["Body"].read().decode(errors="replace")
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
                connect_timeout=_TIMEOUT,
                read_timeout=_TIMEOUT,
                retries={"mode": "standard"},
                s3={"addressing_style": "path"},
            ),
        )
