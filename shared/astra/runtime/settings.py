"""Settings from the environment: the base class, and mix-ins for groups.

The environment is the only source: `ASTRA_` and the upper-case field name. A process loads the class of the function
that it serves (see `deployment`). What is missing or wrong is named at start, all of it at once; a value never appears
in the error.
"""

import base64
import binascii
import os
from datetime import timedelta
from typing import Annotated, Any, Final, Self, TypeVar, get_origin

from pydantic import AnyUrl, BeforeValidator, Field, HttpUrl, RedisDsn, Secret, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from astra.runtime.company import COMPANY

REGION: Final = "us-central1"


class SettingsError(RuntimeError):
    """The environment does not hold what this codebase needs. The message names the variables."""


def deployed() -> bool:
    """True if Cloud Run serves this process: a name that no settings file may hold, and no emulator sets."""
    return "K_CONFIGURATION" in os.environ


def emulated() -> bool:
    """Whether this process runs in the Emulator Suite, which sets FUNCTIONS_EMULATOR for every function.

    A settings file may hold that name, too: in a deployed function it means nothing.
    """
    return os.environ.get("FUNCTIONS_EMULATOR") == "true" and not deployed()


def _key(value: object) -> object:
    if isinstance(value, str):
        try:
            value = base64.b64decode(value.strip(), validate=True)  # a secret made of a file ends with a new line
        except binascii.Error:
            raise ValueError("must be base64") from None
    if isinstance(value, bytes) and len(value) != 32:  # noqa: PLR2004
        raise ValueError("must be 32 bytes in base64")
    return value


Key = Annotated[Secret[bytes], BeforeValidator(_key)]
"""32 random bytes, in base64 in the environment. Printed as asterisks."""


class Environment(BaseSettings):
    """What every function needs."""

    # A process uses one of these classes, so that the others are never made into validators.
    model_config = SettingsConfigDict(
        env_prefix="ASTRA_", extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True
    )

    region: str = REGION
    """Where the functions and their queues are."""

    @classmethod
    def variable(cls, name: str) -> str:
        """The environment variable of a field."""
        return f"{cls.model_config['env_prefix']}{name.upper()}"

    @classmethod
    def secret_fields(cls) -> list[str]:
        """The secrets that it can't do without."""
        return [name for name, field in cls.model_fields.items() if _is_secret(field)]

    @classmethod
    def secrets(cls) -> list[str]:
        """Their variables, which a deployed function gets from Secret Manager."""
        return list(map(cls.variable, cls.secret_fields()))

    @classmethod
    def asked(cls) -> dict[str, str]:
        """The variables that only the deployer knows, with what they are: whatever else has no default."""
        return {
            cls.variable(name): field.description or name
            for name, field in cls.model_fields.items()
            if field.is_required() and not _is_secret(field)
        }


class Settings(Environment):
    """What every function needs that deals with people."""

    pseudonym_key: Key
    """Turns an account id or an e-mail address into the pseudonym under which its tombstone stays."""


def _is_secret(field: FieldInfo) -> bool:
    return field.is_required() and get_origin(field.annotation) is Secret


S = TypeVar("S", bound=Environment)


class RetrySettings(Environment):
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


class MailSettings(Settings):
    """What a codebase needs that writes letters."""

    smtp_url: Secret[AnyUrl]
    """`smtps://user:password@host`; `smtp://` in the emulators alone: no mail leaves without TLS."""
    mail_from: str = COMPANY.mail_from
    """The address that mail comes from."""

    @model_validator(mode="after")
    def _mail_over_tls(self) -> Self:
        if self.smtp_url.get_secret_value().scheme not in ("smtps", *(("smtp",) if emulated() else ())):
            raise ValueError("ASTRA_SMTP_URL must start with smtps:// outside the emulators")
        return self


class ReceiptSettings(Settings):
    """What it takes to confirm an erasure: where the application shows what a receipt is good for."""

    receipt_url: HttpUrl = HttpUrl(COMPANY.receipt_url)
    """The page of the application that explains what a receipt is good for."""


class InactivitySettings(ReceiptSettings):
    """What it takes to know who has not been here for long."""

    inactive_days: float = Field(default=730, ge=60)
    """After so long without a sign-in an account is erased: long enough for both warnings."""

    @property
    def inactive(self) -> timedelta:
        """`inactive_days` as a duration."""
        return timedelta(days=self.inactive_days)


def over_tls(settings: S, name: str) -> S:
    """`settings`, whose URL `name` is of https, or of anything in the emulators. Raises ValueError."""
    if not emulated() and getattr(settings, name).scheme != "https":
        raise ValueError(f"{settings.variable(name)} must start with https:// outside the emulators")
    return settings


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
