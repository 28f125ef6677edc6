"""The certificate: what was erased, what stays and why, signed.

Anyone can check it: take `signature` out, write the rest as canonical JSON (RFC 8785), and verify the Ed25519
signature over those bytes with the public key.
"""

import base64
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Final

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from astra import datamap
from astra.clock import iso
from astra.datamap import DATA_MAP, Disposition, Entry, Store
from astra.pseudonyms import Pseudonym
from astra.settings import ErasureSettings

_FORMAT: Final = "astra-erasure-certificate/1"


def issue(
    settings: ErasureSettings,
    subject: Pseudonym,
    job: dict[str, Any],
    remaining: "Counter[str]",
    verified_at: datetime,
    policy_version: str,
) -> dict[str, Any]:
    """The certificate of a verified erasure. It holds no personal data: `subject` is a keyed pseudonym."""
    counts = job["counts"]
    body: dict[str, Any] = {
        "format": _FORMAT,
        "subject": subject,
        "requestedAt": iso(job["createdAt"]),
        "verifiedAt": iso(verified_at),
        "policyVersion": policy_version,
        "dataMapSha256": datamap.digest(),
        "keyDestroyed": not any(remaining[entry.name] for entry in DATA_MAP if entry.store is Store.VAULT),
        "stores": [_line(entry, counts.get(entry.name, 0), remaining[entry.name]) for entry in DATA_MAP],
        "residual": _residual(settings, verified_at),
    }
    if unmapped := counts.get("unmapped"):
        body["stores"].append(
            {"entry": "unmapped", "store": Store.FIRESTORE.value, "found": unmapped, "deleted": unmapped}
            | {"retained": 0, "remaining": 0}
        )
    return {**body, "signature": _sign(settings, rfc8785.dumps(body))}


def _line(entry: Entry, deleted: int, remaining: int) -> dict[str, Any]:
    retained = int(entry.disposition is not Disposition.DELETE)
    line = {
        "entry": entry.name,
        "store": entry.store.value,
        "found": deleted + retained + remaining,
        "deleted": deleted,
        "retained": retained,
        "remaining": remaining,
    }
    return line | ({"basis": entry.disposition_note} if retained else {})


def _residual(settings: ErasureSettings, verified_at: datetime) -> list[dict[str, str]]:
    """Copies that the platform itself keeps for a while, from the project's real settings."""
    copies = (
        (
            "soft-delete",
            settings.soft_delete_days,
            "sealed objects in the bucket's soft-delete: noise without the key",
        ),
        (
            "point-in-time-recovery",
            settings.point_in_time_recovery_days,
            "past states of the default database",
        ),
        (
            "backup",
            settings.backup_days,
            "backups of the default database; the tombstone erases again after a restore",
        ),
    )
    return [
        {"copy": name, "until": iso(verified_at + timedelta(days=days)), "why": why}
        for name, days, why in copies
        if days
    ]


def _sign(settings: ErasureSettings, message: bytes) -> dict[str, str]:
    key = Ed25519PrivateKey.from_private_bytes(settings.certificate_key.get_secret_value())
    return {
        "algorithm": "Ed25519",
        "publicKey": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
        "value": base64.b64encode(key.sign(message)).decode(),
    }
