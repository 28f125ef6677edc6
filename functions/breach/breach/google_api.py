"""Google's APIs over HTTPS, as the function's service account."""

import functools

import google.auth
import requests
from google.auth.transport.requests import AuthorizedSession

from astra.runtime.settings import emulated

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@functools.cache
def session() -> requests.Session:
    """One for the life of the process, which keeps its connections."""
    if emulated():
        return requests.Session()
    credentials, _ = google.auth.default(scopes=[_SCOPE])
    return AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
