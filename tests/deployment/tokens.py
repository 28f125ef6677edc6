"""Tokens as Google signs them, under a throw-away key: ID tokens, App Check tokens, and what blocking functions get."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOUR_SECONDS: Final = 3600
PROJECT_NUMBER: Final = "123456789012"


class Signer:
    """Signs for one project."""

    def __init__(self, project: str) -> None:
        self._project, self._kid = project, secrets.token_hex(20)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def certificates(self) -> dict[str, str]:
        """Return what `securetoken@system.gserviceaccount.com` publishes: a certificate by its key's id."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "securetoken.system.gserviceaccount.com")])
        now, key, day = datetime.now(UTC), self._key.public_key(), timedelta(days=1)
        builder = x509.CertificateBuilder(name, name, key, x509.random_serial_number(), now - day, now + day)
        pem = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return {self._kid: pem.decode()}

    def key_set(self) -> dict[str, Any]:
        """Return what App Check publishes."""
        key = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [key | {"kid": self._kid, "alg": "RS256", "use": "sig"}]}

    def id_token(self, uid: str, email: str) -> str:
        """Return the ID token of somebody who has signed in with a password just now."""
        firebase = {"identities": {"email": [email]}, "sign_in_provider": "password"}
        claims = {"auth_time": int(time.time()), "user_id": uid, "email": email, "firebase": firebase}
        return self._signed(self._of_project(sub=uid, aud=self._project, **claims))

    def app_check_token(self) -> str:
        """Return the App Check token of an app of the project."""
        issuer = f"https://firebaseappcheck.googleapis.com/{PROJECT_NUMBER}"
        audience = [f"projects/{PROJECT_NUMBER}", f"projects/{self._project}"]
        return self._signed({"iss": issuer, "aud": audience, "sub": f"1:{PROJECT_NUMBER}:web:0123456789abcdef"})

    def blocking_token(self, event: str, url: str, uid: str, email: str, address: str) -> str:
        """Return the token of an `event`, beforeCreate or beforeSignIn, that Identity Platform sends to `url`."""
        metadata = {"creation_time": int(time.time() * 1000), "last_sign_in_time": int(time.time() * 1000)}
        provider = {"provider_id": "password", "email": email, "uid": email}
        record = {
            "uid": uid,
            "email": email,
            "email_verified": False,
            "metadata": metadata,
            "provider_data": [provider],
        }
        claims = {"event_id": secrets.token_urlsafe(16), "event_type": event, "user_record": record}
        came_from = {"ip_address": address, "user_agent": "Mozilla/5.0", "locale": "en", "sign_in_method": "password"}
        return self._signed(self._of_project(aud=url, sub=uid, **claims, **came_from))

    def _of_project(self, **claims: Any) -> dict[str, Any]:
        return {"iss": f"https://securetoken.google.com/{self._project}", **claims}

    def _signed(self, claims: Mapping[str, Any]) -> str:
        now = int(time.time())
        dated = {"iat": now, "exp": now + _HOUR_SECONDS, **claims}
        return jwt.encode(dated, self._key, algorithm="RS256", headers={"kid": self._kid})
