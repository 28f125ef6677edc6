from tests.functions.erasure.conftest import ada, platform

__all__ = ["ada", "platform"]
