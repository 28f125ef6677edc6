"""The platform: settings, clock and clients, each made on first use.

A group of functions has one (see `deployment`); handlers are given it, so a test can give them another.
"""

import gc
import os
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

import firebase_admin
from google.cloud import firestore

from astra.runtime import log
from astra.runtime.clock import Clock, utc_now
from astra.runtime.pseudonyms import Pseudonyms
from astra.runtime.settings import Environment, RedisSettings, Settings, SettingsError, deployed, load

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.cloud.storage import Bucket
    from redis import Redis

    from astra.runtime.rate_limits import Limits

# The SDKs are loaded by now and stay. Every full collection would go through their 100,000 objects: 50 ms of a cold
# start, and of a request now and then.
gc.freeze()

S = TypeVar("S", bound=Environment, covariant=True)  # noqa: PLC0105


class Platform(Generic[S]):
    """Everything a handler may touch: settings, clock, databases, bucket."""

    def __init__(self, kind: type[S], clock: Clock = utc_now) -> None:
        self._kind = kind
        self.clock = clock

    def start(self) -> None:
        """Be ready for the first request; ends the process at once, saying why, if the environment is incomplete."""
        log.install()
        if deployed() and "FUNCTIONS_EMULATOR" in os.environ:  # libraries would believe it
            raise SystemExit("settings: FUNCTIONS_EMULATOR must not be set: take it out of settings/.env.PROJECT")
        try:
            self.settings  # noqa: B018
        except SettingsError as incomplete:
            # The message names variables and holds no value, so it may be shown whole.
            raise SystemExit(f"settings: {incomplete}") from None
        self.app  # noqa: B018  (callables verify tokens with the default app before any handler runs)

    @cached_property
    def settings(self) -> S:
        """The typed settings of these functions."""
        return load(self._kind)

    @cached_property
    def app(self) -> firebase_admin.App:
        """The Admin SDK, with the credentials of the function's service account."""
        try:
            return firebase_admin.get_app()
        except ValueError:
            return firebase_admin.initialize_app()

    @cached_property
    def credentials(self) -> "Credentials | None":
        """Whom the clients act as, unless it is the function's service account."""
        return None

    @cached_property
    def db(self) -> firestore.Client:
        """The default database."""
        return firestore.Client(project=self.app.project_id)

    @cached_property
    def vault_db(self) -> firestore.Client:
        """The database of wrapped keys."""
        return firestore.Client(project=self.app.project_id, database="vault")

    @cached_property
    def bucket(self) -> "Bucket":
        """The project's default bucket."""
        from google.cloud import storage  # noqa: PLC0415  (not every codebase touches objects)

        # Before each request it would look the bucket up, in a thread, to label traces that nobody takes.
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        # Not the Admin SDK's own: that one asks Google for a token even in the emulators.
        return storage.Client(project=self.app.project_id).bucket(self.app.options.get("storageBucket"))

    @cached_property
    def pseudonyms(self: "Platform[Settings]") -> Pseudonyms:
        """Pseudonyms under this project's key."""
        return Pseudonyms(self.settings.pseudonym_key.get_secret_value())

    @cached_property
    def redis(self: "Platform[RedisSettings]") -> "Redis":
        """What lives seconds."""
        from astra.runtime import rate_limits  # noqa: PLC0415

        return rate_limits.connect(str(self.settings.redis_url.get_secret_value()))

    @cached_property
    def limits(self: "Platform[RedisSettings]") -> "Limits":
        """How often who may ask."""
        from astra.runtime import rate_limits  # noqa: PLC0415

        return rate_limits.Limits(self.redis, self.pseudonyms)
