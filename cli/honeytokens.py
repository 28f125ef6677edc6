"""Honeytokens: plants one in the real stores, made as any account is, so that nothing tells it apart.

Its image goes the way of every image, through `seal_upload`, which makes its keys. To plant one touches it: the case
that the watch opens of it shows that the watch works, and is closed as a false alarm.
"""

import secrets
from pathlib import Path

import typer
from firebase_admin import auth

from astra import policies
from astra.accounts import activity, honeytokens
from astra.accounts.state import ProfileState
from astra.runtime.platform import Platform
from astra.runtime.settings import InactivitySettings
from cli import common, operator, output


def plant(platform: Platform[InactivitySettings], name: str, email: str, photograph: bytes) -> str:
    """Make a honey account of that name and address, which nobody may have or read. Answers its id.

    Raises ValueError, or auth.EmailAlreadyExistsError.
    """
    db, now, uid = platform.db, platform.clock(), honeytokens.new_uid(platform.pseudonyms)
    required = policies.current(db, now)
    auth.create_user(uid=uid, email=email, password=secrets.token_urlsafe(24), app=platform.app)
    batch, profile = db.batch(), db.document("users", uid)
    fields = {"name": name, "email": email, "createdAt": now, "policyVersion": required.version}
    fields |= {"ipLock": False, "jurisdiction": None, "state": ProfileState.ACTIVE.value}
    batch.create(profile, fields | {activity.FIELD: activity.seen(platform.settings, now)})
    consent = {"policyVersion": required.version, "policySha256": required.sha256, "givenAt": now}
    batch.create(profile.collection("consents").document("terms"), consent)
    batch.commit()
    upload = platform.bucket.blob(f"incoming/{uid}/{secrets.token_urlsafe(12)}")
    upload.upload_from_string(photograph, content_type="image/jpeg")
    return uid


app = typer.Typer()


@app.command(name="plant")
def plant_one(name: str, address: str, photograph: Path) -> None:
    """Plant a honeytoken account; an alert of it shows that the watch works."""
    with operator.platform(InactivitySettings, acts=True) as platform:
        common.confirm(platform, f"plant an account that nobody has, {address}")
        output.lines("account", [plant(platform, name, address, photograph.read_bytes())])
