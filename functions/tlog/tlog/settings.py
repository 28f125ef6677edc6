"""Settings of the transparency log and its witness."""

import re
from typing import Self

from pydantic import Field, HttpUrl, Secret, model_validator

from astra.runtime.company import COMPANY
from astra.runtime.settings import Environment, Key, RetrySettings, over_tls


class LogKeySettings(Environment):
    """What it takes to check what the transparency log signed."""

    log_key: Key
    """Ed25519 private key: signs checkpoints of the log."""
    log_origin: str = COMPANY.log_origin
    """The log's own name, which its checkpoints and its keys bear."""
    log_verifiers: tuple[str, ...] = ()
    """Verifier keys of earlier signing keys, as JSON: what they signed stays good."""

    @model_validator(mode="after")
    def _name(self) -> Self:
        if not re.fullmatch(r"[^\s+]+", self.log_origin):
            raise ValueError("ASTRA_LOG_ORIGIN must be a name without blanks and plus signs")
        return self


class LogSettings(LogKeySettings, RetrySettings):
    """What the transparency log and its witness need."""

    witness_url: HttpUrl = Field(description="the S3-compatible service that holds the witness's bucket: https://…")
    """The S3-compatible service that holds the witness's bucket; https outside the emulators."""
    witness_bucket: str = Field(description="the witness's bucket, made with Object Lock, in another account")
    """A bucket made with Object Lock, in another account."""
    witness_region: str = "us-east-1"
    """The region of the witness's bucket."""
    witness_key_id: Secret[str]
    """The id of the access key to the witness's bucket."""
    witness_secret: Secret[str]
    """May put, list and get there, and needs no more."""
    witness_days: int = 3653
    """How long the witness can't forget a checkpoint."""
    checkpoint_seconds: int = 50
    """From one checkpoint to the next, at least: a little less than the schedule's minute."""

    @model_validator(mode="after")
    def _witness_over_tls(self) -> Self:
        return over_tls(self, "witness_url")
