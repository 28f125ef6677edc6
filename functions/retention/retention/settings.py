"""Settings of the retention sweep."""

from astra.runtime.settings import InactivitySettings, RedisSettings, RetrySettings


class RetentionSettings(RedisSettings, InactivitySettings, RetrySettings):
    """What the retention sweep needs."""
