"""Versions of the public and the security policy."""

from astra.policies.versions import (
    FIRST,
    FIRST_SECURITY,
    PUBLIC,
    SECURITY,
    Policy,
    State,
    campaign_of,
    current,
    dated,
    fields_of,
    find,
    last_material,
    versions,
)

__all__ = [
    "FIRST",
    "FIRST_SECURITY",
    "PUBLIC",
    "SECURITY",
    "Policy",
    "State",
    "campaign_of",
    "current",
    "dated",
    "fields_of",
    "find",
    "last_material",
    "versions",
]
