"""Settings of the functions of `governance`."""

from astra.runtime.settings import ReceiptSettings, RedisSettings


class GovernanceSettings(RedisSettings, ReceiptSettings):
    """What staff's calls need: to count requests, and to give people their time and their receipt."""

    policy_notice_days: float = 30
    """From the announcement of a policy's material change to the moment at which it takes effect, at least."""
    transfer_waiting_days: float = 30
    """From the end of the notices of a transfer to the first data that is transferred, at least."""
