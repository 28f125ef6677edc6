"""Callables to measure others against: an empty one, and one that commits."""

import secrets
from functools import cache
from typing import Any

import firebase_admin
from firebase_functions import https_fn
from google.cloud import firestore

firebase_admin.initialize_app()


@cache
def db() -> firestore.Client:
    """Made at the first request, as ours is."""
    return firestore.Client()


@https_fn.on_call()
def nothing(_request: https_fn.CallableRequest[Any]) -> dict[str, Any]:
    """Answer nothing."""
    return {}


@https_fn.on_call()
def one_commit(_request: https_fn.CallableRequest[Any]) -> dict[str, Any]:
    """Create one document of one field: no caller, no limit, no check, no event."""
    db().document("measured", secrets.token_hex(10)).create({"event": "page_viewed"})
    return {}
