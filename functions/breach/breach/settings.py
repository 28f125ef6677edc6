"""Settings of the functions of `breach`, by group."""

from typing import Self

from pydantic import HttpUrl, model_validator

from astra.runtime.settings import MailSettings, RedisSettings, RetrySettings, Settings, over_tls

from breach.thresholds import Thresholds


class IncidentSettings(RedisSettings):
    """What staff's calls about a breach need."""

    iam_url: HttpUrl = HttpUrl("https://iam.googleapis.com")
    """Where keys of service accounts are turned off; https outside the emulators."""

    @model_validator(mode="after")
    def _iam_over_tls(self) -> Self:
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


class AssessmentSettings(Settings, RetrySettings):
    """What the job needs that computes who is affected by a breach."""

    logging_url: HttpUrl = HttpUrl("https://logging.googleapis.com")
    """Where the audit log is asked for evidence; https outside the emulators."""

    @model_validator(mode="after")
    def _logging_over_tls(self) -> Self:
        return over_tls(self, "logging_url")


class TickSettings(WatchSettings, IncidentSettings):
    """What the schedule needs that finds what was lost, and says what is due."""
