from tests.functions.governance.conftest import ledger, platform, team

__all__ = ["ledger", "platform", "team"]
