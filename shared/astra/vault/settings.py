"""Settings of the vault: the key service, and how long an upload may stay unsealed."""

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from astra.runtime.settings import Key, RedisSettings, Settings, emulated


class SealingSettings(Settings):
    """What it takes to seal content, and to open it."""

    kms_uri: str = Field(description="the key that wraps users' keys: gcp-kms://projects/…/cryptoKeys/NAME")
    """`gcp-kms://projects/…/cryptoKeys/NAME`, `aws-kms://arn:aws:kms:…`, or `local` in the emulators. What an earlier
    key wrapped goes on opening, as long as that key can be reached."""
    local_kms_key: Key | None = None
    """The key behind `local`."""
    unsealed_after_seconds: int = 600
    """After this long an upload that was not sealed is taken up again: longer than `seal_upload` may run."""

    @model_validator(mode="after")
    def _kms(self) -> Self:
        if self.kms_uri == "local":
            if not emulated():
                raise ValueError("ASTRA_KMS_URI=local is refused outside the emulators: name a key of a key service")
            if self.local_kms_key is None:
                raise ValueError("ASTRA_LOCAL_KMS_KEY is missing: ASTRA_KMS_URI=local needs it")
        elif not self.kms_uri.startswith(("gcp-kms://projects/", "aws-kms://arn:")):
            raise ValueError("ASTRA_KMS_URI must be gcp-kms://projects/…, aws-kms://arn:…, or local in the emulators")
        return self

    @property
    def unsealed_after(self) -> timedelta:
        """`unsealed_after_seconds` as a duration."""
        return timedelta(seconds=self.unsealed_after_seconds)


class OpeningSettings(SealingSettings, RedisSettings):
    """What it takes to open content for whoever asks."""
