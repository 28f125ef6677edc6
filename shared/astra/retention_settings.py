"""Settings of the retention sweep."""

from astra.settings import InactivitySettings, RedisSettings, RetrySettings


class RetentionSettings(RedisSettings, InactivitySettings, RetrySettings):
    """What the retention sweep needs."""
