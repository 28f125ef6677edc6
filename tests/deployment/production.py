"""Functions of the deployment archives, served as Cloud Run serves them, with settings as production has them.

Each process has the environment that the platform, firebase-tools and a deployer give it, the secrets that its function
declares, and nothing of this process's own. Firestore, Storage and Cloud Tasks are their emulators; whatever else is
Google's or a company's is behind an HTTPS proxy that refuses every other host.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import firebase_admin
import psutil  # type: ignore[import-untyped]

from local.deployment.manifests import listing
from local.stack.ports import WITNESS_BUCKET
from local.stack.served import Served
from tests.deployment import google_hosts, google_rpc
from tests.deployment.cloud.certificates import Authority
from tests.deployment.google_hosts import GoogleHosts
from tests.deployment.google_rpc import GoogleRpc
from tests.deployment.tokens import Signer
from tests.deployment.tunnels import Tunnels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.stack.run_folder import Source
    from local.stack.stack import Stack

#: Another region than the default: a function that is told of it must use it.
REGION: Final = "europe-west1"
#: Hosts whose stand-ins are the stack's: of the witness, the processor of predictions, and Google's own.
_WITNESS, _REPLICATE, _LOGGING, _IAM = (
    *("s3.us-east-1.amazonaws.com", "api.replicate.com"),
    *("logging.googleapis.com", "iam.googleapis.com"),
)
_MIB: Final = 1024 * 1024
_DEFAULT_MEMORY_MIB: Final = 256


@dataclass(frozen=True)
class Deployed:
    """One function as its manifest has it."""

    name: str
    codebase: str
    source: Source
    endpoint: Mapping[str, Any]
    settings: Mapping[str, str]

    @property
    def secrets(self) -> list[str]:
        """The names of the secrets that it declares."""
        return [declared["key"] for declared in self.endpoint.get("secretEnvironmentVariables", [])]

    @property
    def memory_mib(self) -> int:
        """What Cloud Run gives it."""
        return self.endpoint.get("availableMemoryMb") or _DEFAULT_MEMORY_MIB

    @property
    def signature(self) -> str:
        """How functions-framework calls it."""
        return "cloudevent" if "eventTrigger" in self.endpoint else "http"


def deployed(sources: Mapping[str, Source]) -> dict[str, Deployed]:
    """Return every function of the archives, as firebase-tools discovers them."""
    with ThreadPoolExecutor(len(sources)) as hands:
        manifests = hands.map(lambda source: listing(source.folder, source.venv / "bin" / "python"), sources.values())
    functions = {}
    for (codebase, source), manifest in zip(sources.items(), manifests, strict=True):
        defaults = {param["name"]: str(param.get("default", "")) for param in manifest.get("params", [])}
        for name, endpoint in manifest["endpoints"].items():
            functions[name] = Deployed(name, codebase, source, endpoint, defaults)
    return functions


class Production:
    """A project in which functions are served; `with Production(…) as production:` starts what stands around it."""

    def __init__(
        self, stack: Stack, app: firebase_admin.App, redis_url: str, folder: Path, settings: Mapping[str, str]
    ) -> None:
        project = str(app.project_id)
        self.signer = Signer(project)
        self.key = f"projects/{project}/locations/{REGION}/keyRings/astra/cryptoKeys/users"
        self.google = GoogleHosts(project, stack.auth_url, stack.storage_url, self.signer)
        self.rpc = GoogleRpc(self.key, self.google)
        self._authority = Authority(folder)
        self.tunnels = Tunnels(self._authority)
        self.environment: dict[str, str] = {}
        self._settings = settings
        self._stack, self._app, self._redis_url, self._folder = stack, app, redis_url, folder
        self._secrets: dict[str, str] = {}
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for part in (self.google, self.rpc, self.tunnels):
                starting.enter_context(part)
            self._settle()
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_how: object) -> None:
        self._running.close()

    def _settle(self) -> None:
        stack, tls, ports = self._stack, self.tunnels.tls, self._stack.ports
        plain = dict.fromkeys(google_hosts.HOSTS, self.google.port) | dict.fromkeys((_LOGGING, _IAM), ports["google"])
        plain |= {_WITNESS: ports["witness"], _REPLICATE: ports["replicate"]}
        rpc = {host: tls(host, self.rpc.port, http2=True) for host in google_rpc.HOSTS}
        proxy = self.tunnels.proxy(rpc | {host: tls(host, port) for host, port in plain.items()})
        metadata = f"127.0.0.1:{self.google.port}"
        trusted, loopback = str(self._authority.certificate), "127.0.0.1,localhost"
        self.environment = {
            "FIREBASE_CONFIG": json.dumps(
                {name: self._app.options.get(name) for name in ("projectId", "storageBucket")}
            ),
            "GCLOUD_PROJECT": str(self._app.project_id),
            **{
                f"{name}_EMULATOR_HOST": f"127.0.0.1:{ports[key]}"
                for name, key in (("FIRESTORE", "firestore"), ("CLOUD_TASKS", "tasks"))
            },
            "STORAGE_EMULATOR_HOST": f"http://{metadata}",  # which knows the bucket's settings, too
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), f"http://127.0.0.1:{proxy}"),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), loopback),
            # OpenSSL's own, those of requests and botocore, and gRPC's: each for its part of the clients.
            **dict.fromkeys(
                ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"), trusted
            ),
            "GCE_METADATA_HOST": metadata,
            "GCE_METADATA_IP": metadata,
            "HOME": str(self._folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LOG_EXECUTION_ID": "true",
            # What a deployer writes into `.env`.
            "ASTRA_REGION": REGION,
            "ASTRA_KMS_URI": f"gcp-kms://{self.key}",
            "ASTRA_WITNESS_URL": f"https://{_WITNESS}",
            "ASTRA_WITNESS_BUCKET": WITNESS_BUCKET,
            **self._settings,
        }
        services = {
            "ASTRA_REDIS_URL": self.redis_url(self.tunnels),
            "ASTRA_SMTP_URL": f"smtps://localhost:{tls('localhost', ports['smtp'])}",
        }
        self._secrets = stack.environment() | services

    def redis_url(self, tunnels: Tunnels) -> str:
        """Return where the project's Redis is behind TLS."""
        server, _, database = self._redis_url.removeprefix("redis://").partition("/")
        return f"rediss://localhost:{tunnels.tls('localhost', int(server.rpartition(':')[2]))}/{database}"

    def serve(self, function: Deployed, *, without: str = "", **settings: str) -> Served:
        """Begin to start `function`, under `settings` beside the deployer's, and without the secret of that name."""
        secrets = {name: self._secrets[name] for name in function.secrets if name != without}
        service = function.name.replace("_", "-").lower()
        environment = {
            **function.settings,
            **self.environment,
            **secrets,
            **settings,
            "PATH": str(function.source.venv / "bin"),
            "FUNCTION_TARGET": function.endpoint["entryPoint"],
            "FUNCTION_SIGNATURE_TYPE": function.signature,
            "K_SERVICE": service,
            "K_REVISION": f"{service}-00001-abc",
            "K_CONFIGURATION": service,
        }
        command = [function.source.venv / "bin" / "functions-framework"]
        return Served(
            function.name, command, function.source.folder, environment, self._folder / f"{function.name}.log"
        )


def resident_mib(pid: int) -> float:
    """Return the memory of a process and of all below it; what they share counts once."""
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    largest, *others = sorted((process.memory_full_info() for process in tree), key=lambda held: -held.rss)
    return float(largest.rss + sum(other.uss for other in others)) / _MIB


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and all below it have taken."""
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return float(sum(sum(process.cpu_times()[:2]) for process in tree))
