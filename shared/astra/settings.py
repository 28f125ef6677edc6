"""Every setting, typed, in one place. Each codebase loads the class that holds what it needs and no more.

The environment is the only source: `ASTRA_` and the upper-case field name. What is missing or wrong is
named at start, all of it at once; a value never appears in the error.
"""

import base64
import binascii
import os
import re
from datetime import timedelta
from typing import Annotated, Any, Self, TypeVar

from pydantic import AnyUrl, BeforeValidator, Field, HttpUrl, RedisDsn, Secret, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from astra import webhooks
from astra.thresholds import Thresholds


class SettingsError(RuntimeError):
    """The environment does not hold what this codebase needs. The message names the variables."""


def emulated() -> bool:
    """Whether this process runs in the Emulator Suite, which sets FUNCTIONS_EMULATOR for every function."""
    return os.environ.get("FUNCTIONS_EMULATOR") == "true"


def _key(value: object) -> object:
    if isinstance(value, str):
        try:
            value = base64.b64decode(value, validate=True)
        except binascii.Error:
            raise ValueError("must be base64") from None
    if isinstance(value, bytes) and len(value) != 32:  # noqa: PLR2004
        raise ValueError("must be 32 bytes in base64")
    return value


Key = Annotated[Secret[bytes], BeforeValidator(_key)]
"""32 random bytes, in base64 in the environment. Printed as asterisks."""


Wait = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """What every codebase needs."""

    # A codebase uses one of these classes, so that the others are never made into validators.
    model_config = SettingsConfigDict(
        env_prefix="ASTRA_", extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True
    )

    pseudonym_key: Key
    """Turns an account id or an e-mail address into the pseudonym under which its tombstone stays."""


S = TypeVar("S", bound=Settings)


class RetrySettings(Settings):
    """What codebases need whose jobs are tried again."""

    retry_delay_seconds: int = 30
    """The first delay after a failure; it doubles from there."""

    @property
    def retry_delay(self) -> timedelta:
        """`retry_delay_seconds` as a duration."""
        return timedelta(seconds=self.retry_delay_seconds)


class RedisSettings(Settings):
    """What the codebases that count requests need."""

    redis_url: Secret[RedisDsn]
    """`rediss://` outside the emulators: no traffic without TLS."""

    @model_validator(mode="after")
    def _tls(self) -> Self:
        if not emulated() and self.redis_url.get_secret_value().scheme != "rediss":
            raise ValueError("ASTRA_REDIS_URL must start with rediss:// outside the emulators")
        return self


class MailSettings(RedisSettings):
    """What a codebase needs that writes letters."""

    smtp_url: Secret[AnyUrl]
    """`smtps://user:password@host`; `smtp://` in the emulators alone: no mail leaves without TLS."""
    mail_from: str = "privacy@astra-engineering.co"
    """The address that mail comes from."""

    @model_validator(mode="after")
    def _mail_over_tls(self) -> Self:
        if self.smtp_url.get_secret_value().scheme not in ("smtps", *(("smtp",) if emulated() else ())):
            raise ValueError("ASTRA_SMTP_URL must start with smtps:// outside the emulators")
        return self


class ReceiptSettings(Settings):
    """What it takes to confirm an erasure: where the application shows what a receipt is good for."""

    receipt_url: HttpUrl = HttpUrl("https://www.usebez.ai/receipt")


class InactivitySettings(ReceiptSettings):
    """What it takes to know who has not been here for long."""

    inactive_days: float = Field(default=730, ge=60)
    """After so long without a sign-in an account is erased: long enough for both warnings."""

    @property
    def inactive(self) -> timedelta:
        """`inactive_days` as a duration."""
        return timedelta(days=self.inactive_days)


class SignupSettings(MailSettings, InactivitySettings):
    """What sign-up and sign-in need."""

    policy_grace_days: float = 30
    """How long after a policy has come into force somebody may sign in who has not accepted it."""


class RetentionSettings(RedisSettings, InactivitySettings, RetrySettings):
    """What the retention sweep needs."""


class BreachSettings(MailSettings, RetrySettings):
    """What breach alerts, and the notices of all campaigns, need."""

    thresholds: Thresholds = Thresholds()
    """As JSON."""
    deployers: tuple[str, ...] = ()
    """Service accounts that may change IAM, rules and keys, as JSON, while a deployment is announced."""
    silent_minutes: float = 15
    """After this long without any entry of the audit log it is silent: our own schedules alone make several a minute.
    0 where there is none, as in the emulators."""
    logging_url: HttpUrl = HttpUrl("https://logging.googleapis.com")
    """Where the audit log is asked for evidence; https outside the emulators."""
    iam_url: HttpUrl = HttpUrl("https://iam.googleapis.com")
    """Where keys of service accounts are turned off."""
    letters_a_minute: int = 600
    """To the mailboxes of one domain: more are taken for spam there."""
    bounce_secret: Secret[str]
    """`whsec_…`: what the mail server signs with when it reports what became of a letter."""

    @model_validator(mode="after")
    def _signing(self) -> Self:
        try:
            webhooks.key_of(self.bounce_secret.get_secret_value())
        except ValueError as wrong:
            raise ValueError(f"ASTRA_BOUNCE_SECRET {wrong}") from None
        return self

    @model_validator(mode="after")
    def _google_over_tls(self) -> Self:
        for name in ("logging_url", "iam_url"):
            if not emulated() and getattr(self, name).scheme != "https":
                raise ValueError(f"ASTRA_{name.upper()} must start with https:// outside the emulators")
        return self


class SealingSettings(RedisSettings):
    """What a codebase needs to seal and open content."""

    kms_uri: str
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


class ErasureSettings(RedisSettings, ReceiptSettings, RetrySettings):
    """What erasure and its certificates need."""

    certificate_key: Key
    """Ed25519 private key: signs certificates of erasure."""
    quiet_period_seconds: int = 3600 + 1800
    """From the last deletion to the verification: the longest life of an ID token and the longest timeout of a
    function, after which no write begun before the erasure can still arrive."""
    confirmation_wait_seconds: int = 600
    """For this long at most the deletion waits for the letter that says that it was asked for."""
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
    copies_days: dict[str, float] = {}
    """In the emulators, how long copies of each kind last, as JSON; a real project is asked for its own settings."""
    replicate_url: HttpUrl = HttpUrl("https://api.replicate.com")
    """https outside the emulators."""
    replicate_token: Secret[str]
    """Cancels predictions and deletes files at Replicate."""

    @model_validator(mode="after")
    def _patient(self) -> Self:
        # An outage of Auth must be over before anybody is frozen or erased for it.
        for name, least in (("orphan_confirm_hours", 24), ("orphan_frozen_days", 2)):
            if not emulated() and getattr(self, name) < least:
                raise ValueError(f"ASTRA_{name.upper()} must be {least} or more outside the emulators")
        return self

    @model_validator(mode="after")
    def _https(self) -> Self:
        if not emulated() and self.replicate_url.scheme != "https":
            raise ValueError("ASTRA_REPLICATE_URL must start with https:// outside the emulators")
        return self

    @property
    def confirmation_wait(self) -> timedelta:
        """`confirmation_wait_seconds` as a duration."""
        return timedelta(seconds=self.confirmation_wait_seconds)

    @property
    def quiet_period(self) -> timedelta:
        """`quiet_period_seconds` as a duration."""
        return timedelta(seconds=self.quiet_period_seconds)


class LogSettings(RetrySettings):
    """What the transparency log and its witness need."""

    log_key: Key
    """Ed25519 private key: signs checkpoints of the log."""
    log_origin: str = "astra-engineering.co/log"
    """The log's own name, which its checkpoints and its keys bear."""
    log_verifiers: tuple[str, ...] = ()
    """Verifier keys of earlier signing keys, as JSON: what they signed stays good."""
    witness_url: HttpUrl
    """The S3-compatible service that holds the witness's bucket; https outside the emulators."""
    witness_bucket: str
    """A bucket made with Object Lock, in another account."""
    witness_region: str = "us-east-1"
    witness_key_id: Secret[str]
    witness_secret: Secret[str]
    """May put, list and get there, and needs no more."""
    witness_days: int = 3653
    """How long the witness can't forget a checkpoint."""
    checkpoint_seconds: int = 50
    """From one checkpoint to the next, at least: a little less than the schedule's minute."""

    @model_validator(mode="after")
    def _witness_over_tls(self) -> Self:
        if not emulated() and self.witness_url.scheme != "https":
            raise ValueError("ASTRA_WITNESS_URL must start with https:// outside the emulators")
        if not re.fullmatch(r"[^\s+]+", self.log_origin):
            raise ValueError("ASTRA_LOG_ORIGIN must be a name without blanks and plus signs")
        return self


class GovernanceSettings(RedisSettings, ReceiptSettings, LogSettings):
    """What governance needs: to count requests, to keep the log, and to give people their time and their receipt."""

    policy_notice_days: float = 30
    """From the announcement of a policy's material change to the moment at which it takes effect, at least."""
    transfer_waiting_days: float = 30
    """From the moment at which everybody has been told of a transfer to the first data that is transferred."""


def load(kind: type[S], **known: Any) -> S:
    """Read `kind` from the environment, or raise SettingsError naming everything missing or wrong.

    `known` goes before the environment, `_env_file` after it.
    """
    try:
        return kind(**known)
    except ValidationError as invalid:
        problems = []
        for error in invalid.errors(include_url=False, include_input=False, include_context=False):
            name = "".join(f"ASTRA_{str(part).upper()}" for part in error["loc"][:1])
            text = "is missing" if error["type"] == "missing" else error["msg"].removeprefix("Value error, ")
            problems.append(f"{name} {text}".strip())
        raise SettingsError("; ".join(sorted(problems))) from None
