from tests.functions.breach.conftest import crowd, desk, office, platform, team

__all__ = ["crowd", "desk", "office", "platform", "team"]
