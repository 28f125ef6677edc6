"""Settings of the functions of `signup`, by group."""

from astra.runtime.settings import InactivitySettings, RedisSettings


class SignInSettings(InactivitySettings):
    """What it takes to let somebody in, or not."""

    policy_grace_days: float = 30
    """So long after a policy takes effect, people may sign in who have not accepted it."""


class SignupSettings(RedisSettings, SignInSettings):
    """What people's own calls about their account need."""
