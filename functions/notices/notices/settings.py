"""Settings of the functions of `notices`, by group."""

from typing import Self

from pydantic import Secret, model_validator

from astra.runtime import webhooks
from astra.runtime.settings import MailSettings, RedisSettings, RetrySettings


class CampaignSettings(MailSettings, RedisSettings, RetrySettings):
    """What the jobs need that send notices."""

    letters_a_minute: int = 600
    """To the mailboxes of one domain: more are taken for spam there."""


class BounceSettings(RedisSettings):
    """What it takes to hear what became of a letter."""

    bounce_secret: Secret[str]
    """`whsec_…`: what the mail server signs with when it reports the end of an e-mail."""

    @model_validator(mode="after")
    def _signing(self) -> Self:
        try:
            webhooks.key_of(self.bounce_secret.get_secret_value())
        except ValueError as wrong:
            raise ValueError(f"ASTRA_BOUNCE_SECRET {wrong}") from None
        return self
