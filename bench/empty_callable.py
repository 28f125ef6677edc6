"""A callable that does nothing: what the platform's own SDK takes for any."""

from typing import Any

import firebase_admin
from firebase_functions import https_fn

firebase_admin.initialize_app()


@https_fn.on_call()
def nothing(_request: https_fn.CallableRequest[Any]) -> dict[str, Any]:
    """Answer nothing."""
    return {}
