"""Settings of the functions of `erasure`, by group."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, HttpUrl, Secret, model_validator

from astra.runtime.settings import Key, ReceiptSettings, RedisSettings, RetrySettings, Settings, emulated, over_tls

Wait = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DeletionSettings(RedisSettings, ReceiptSettings):
    """What it takes to ask for an erasure, to delete single things, and to look at a receipt."""


class RollCallSettings(Settings, RetrySettings):
    """What it takes to find lost erasures, and data whose account is gone."""

    roll_call_hours: Wait = 24
    """How often every place is gone through for data whose account is gone."""
    orphan_grace_hours: Wait = 24
    """How old such data must be: an account's parts are not made in one instant."""
    orphan_confirm_hours: Wait = 24
    """Auth must deny an account again after so long before its profile is frozen; 24 or more outside the emulators."""
    orphan_frozen_days: Wait = 7
    """After so long frozen, and denied in every round, it is erased; 2 or more outside the emulators."""
    most_orphans: int = Field(default=100, ge=1)
    """A round that finds more, or more than 1,000, acts on none of them and calls staff,"""
    orphans_share: float = Field(default=0.1, gt=0, le=1)
    """and so does one that finds more than this share of those whom the longest list of a store names."""

    @model_validator(mode="after")
    def _patient(self) -> Self:
        # An outage of Auth must be over before anybody is frozen or erased for it.
        for name, least in (("orphan_confirm_hours", 24), ("orphan_frozen_days", 2)):
            if not emulated() and getattr(self, name) < least:
                raise ValueError(f"{self.variable(name)} must be {least} or more outside the emulators")
        return self


class ErasureSettings(DeletionSettings, RetrySettings):
    """What erasure and its certificates need."""

    certificate_key: Key
    """Ed25519 private key: signs certificates of erasure."""
    quiet_period_seconds: int = 3600 + 1800
    """From the last deletion to the verification: the longest life of an ID token and the longest timeout of a
    function, after which no write begun before the erasure can still arrive."""
    confirmation_wait_seconds: int = 600
    """The deletion waits at most so long for its confirmation by e-mail."""
    copies_days: dict[str, float] = Field(default_factory=dict)
    """In the emulators, how long copies of each kind last, as JSON; a real project is asked for its own settings."""
    replicate_url: HttpUrl = HttpUrl("https://api.replicate.com")
    """https outside the emulators."""
    replicate_token: Secret[str]
    """Cancels predictions and deletes files at Replicate."""

    @model_validator(mode="after")
    def _replicateover_tls(self) -> Self:
        return over_tls(self, "replicate_url")

    @property
    def confirmation_wait(self) -> timedelta:
        """`confirmation_wait_seconds` as a duration."""
        return timedelta(seconds=self.confirmation_wait_seconds)

    @property
    def quiet_period(self) -> timedelta:
        """`quiet_period_seconds` as a duration."""
        return timedelta(seconds=self.quiet_period_seconds)
