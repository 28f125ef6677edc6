"""Certificates of erasure: what was deleted, what is retained and why, signed.

Anyone can check it: take `signature` out, write the rest as canonical JSON (RFC 8785), and verify the Ed25519
signature over those bytes with the public key.
"""

import base64
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Final

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from astra.datamap import table
from astra.datamap.model import Disposition, Entry, Store
from astra.datamap.table import DATA_MAP
from astra.runtime.clock import iso
from astra.runtime.pseudonyms import Pseudonym

from erasure.residual_copies import Copy
from erasure.settings import ErasureSettings

_FORMAT: Final = "astra-erasure-certificate/1"
_SILENCE: Final = "Registers that may be under a ban on telling are left out, whether or not they hold anything."
"""In every certificate alike, so that it says nothing of anybody."""


def issue(
    settings: ErasureSettings,
    subject: Pseudonym,
    job: dict[str, Any],
    found: "Counter[str]",
    held: dict[str, dict[str, Any]],
    copies: list[Copy],
    verified_at: datetime,
    policy_version: str,
) -> dict[str, Any]:
    """The certificate of a verified erasure. It holds no personal data: `subject` is a keyed pseudonym.

    `deleted` in it is the least that was: a worker that died between a store's confirmation and its checkpoint has not
    counted. `found` is what the verifier saw of each entry, `held` the legal holds that keep some of it,
    `copies` what the platform itself keeps for a while.
    """
    counts = job["counts"]
    body: dict[str, Any] = {
        "format": _FORMAT,
        "subject": subject,
        "requestedAt": iso(job["createdAt"]),
        "verifiedAt": iso(verified_at),
        "policyVersion": policy_version,
        "dataMapSha256": table.digest(),
        "keyDestroyed": not (found["user-key"] or found["object-keys"]),
        "stores": [
            _line(entry, counts.get(entry.name, 0), found[entry.name], held.get(entry.name), verified_at)
            for entry in DATA_MAP
            if not entry.silent
        ],
        "leftOut": _SILENCE,
        "residual": _residual(copies, job, verified_at),
    }
    # What lies below a person's data and is in no entry goes with it; each store that had some has a line for it.
    for store in Store:
        if count := counts.get(name := f"unmapped-{store}"):
            line = {"entry": name, "store": store.value, "found": count, "deleted": count}
            body["stores"].append({**line, "retained": 0, "remaining": 0})
    return {**body, "signature": _sign(settings, rfc8785.dumps(body))}


def _line(entry: Entry, deleted: int, found: int, hold: dict[str, Any] | None, verified_at: datetime) -> dict[str, Any]:
    kept = entry.disposition is not Disposition.DELETE or hold is not None
    retained = found if kept else 0
    line = {
        "entry": entry.name,
        "store": entry.store.value,
        "found": deleted + found,
        "deleted": deleted,
        "retained": retained,
        "remaining": found - retained,
    }
    if not retained:
        return line
    if hold:
        return {**line, "basis": f"legal hold: {hold['basis']}", "until": iso(hold["expiresAt"])}
    ends = iso(verified_at + timedelta(days=entry.retain_days)) if entry.retain_days else "for good"
    return {**line, "basis": entry.disposition_note, "until": ends}


def _residual(copies: list[Copy], job: dict[str, Any], verified_at: datetime) -> list[dict[str, str]]:
    lines = [{"copy": copy.name, "until": iso(verified_at + copy.lasts), "why": copy.why} for copy in copies]
    if until := job.get("replicateUntil"):
        why = "inputs and outputs of predictions at Replicate, which drops them by itself"
        lines.append({"copy": "replicate", "until": iso(until), "why": why})
    return lines


def _sign(settings: ErasureSettings, message: bytes) -> dict[str, str]:
    key = Ed25519PrivateKey.from_private_bytes(settings.certificate_key.get_secret_value())
    return {
        "algorithm": "Ed25519",
        "publicKey": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
        "value": base64.b64encode(key.sign(message)).decode(),
    }
