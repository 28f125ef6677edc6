"""What each group of the functions of breach needs, and campaigns of notices with them."""

from typing import Self

from pydantic import HttpUrl, Secret, model_validator

from astra import webhooks
from astra.settings import MailSettings, RedisSettings, RetrySettings, over_tls
from astra.thresholds import Thresholds


class IncidentSettings(RedisSettings):
    """What staff's calls about a breach need."""

    iam_url: HttpUrl = HttpUrl("https://iam.googleapis.com")
    """Where keys of service accounts are turned off; https outside the emulators."""

    @model_validator(mode="after")
    def _iamover_tls(self) -> Self:
        return over_tls(self, "iam_url")


class WatchSettings(MailSettings, RedisSettings):
    """What it takes to see a breach, and to call staff."""

    thresholds: Thresholds = Thresholds()
    """As JSON."""
    deployers: tuple[str, ...] = ()
    """Service accounts that may change IAM, rules and keys, as JSON, while a deployment is announced."""
    silent_minutes: float = 15
    """After this long without any entry of the audit log it is silent: our own schedules alone make several a minute.
    0 where there is none, as in the emulators."""


class CampaignSettings(MailSettings, RedisSettings, RetrySettings):
    """What the jobs need that send notices, and that compute who is affected by a breach."""

    letters_a_minute: int = 600
    """To the mailboxes of one domain: more are taken for spam there."""
    logging_url: HttpUrl = HttpUrl("https://logging.googleapis.com")
    """Where the audit log is asked for evidence; https outside the emulators."""

    @model_validator(mode="after")
    def _loggingover_tls(self) -> Self:
        return over_tls(self, "logging_url")


class BounceSettings(RedisSettings):
    """What it takes to hear what became of a letter."""

    bounce_secret: Secret[str]
    """`whsec_…`: what the mail server signs with when it reports what became of a letter."""

    @model_validator(mode="after")
    def _signing(self) -> Self:
        try:
            webhooks.key_of(self.bounce_secret.get_secret_value())
        except ValueError as wrong:
            raise ValueError(f"ASTRA_BOUNCE_SECRET {wrong}") from None
        return self


class TickSettings(WatchSettings, CampaignSettings, IncidentSettings):
    """What the schedule needs that finds what was lost, of incidents and campaigns alike."""
