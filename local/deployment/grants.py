"""Roles of each service account: `python -m local.deployment.grants` writes gcloud's policies.

Each group of functions runs as an account of its own (see `astra.runtime.deployment`). Here is what these accounts
touch; which secrets they may read follows from the functions themselves.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from local.deployment.manifests import endpoints

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Policy = dict[str, Any]

#: In place of the project's id in a condition and in the name of a role of its own.
_PROJECT: Final = "$P"
#: `resource.name` of a Firestore database is the database's, whichever document is asked for.
_DEFAULT: Final = f'resource.name == "projects/{_PROJECT}/databases/(default)"'
_VAULT: Final = f'resource.name == "projects/{_PROJECT}/databases/vault"'


@dataclass(frozen=True)
class Role:
    """A role on the project, under a condition if there is one; `title` names the condition."""

    name: str
    title: str = ""
    condition: str = ""


_READER: Final = Role("roles/secretmanager.secretAccessor")
PEOPLE: Final = Role("roles/datastore.user", "database (default)", _DEFAULT)
"""Without the condition the role would reach every database of the project, the keys in `vault` too."""
PEOPLE_AND_KEYS: Final = Role("roles/datastore.user", "databases (default) and vault", f"{_DEFAULT} || {_VAULT}")
READ_PEOPLE: Final = Role("roles/datastore.viewer", "database (default)", _DEFAULT)
SEES_ACCOUNTS: Final = Role("roles/firebaseauth.viewer")
CHANGES_ACCOUNTS: Final = Role("roles/firebaseauth.admin")
ENQUEUES: Final = Role("roles/cloudtasks.enqueuer")
GETS_EVENTS: Final = Role("roles/eventarc.eventReceiver")
TURNS_KEYS_OFF: Final = Role(f"projects/{_PROJECT}/roles/astraKeySwitch")

OPERATOR, DEPLOYER = "operator", "deploy"
ACCOUNTS: Final[dict[str, tuple[Role, ...]]] = {
    "signup-functions": (PEOPLE, SEES_ACCOUNTS, ENQUEUES),
    "signin-functions": (PEOPLE,),
    "codes-functions": (PEOPLE, SEES_ACCOUNTS),
    "uploads-functions": (PEOPLE_AND_KEYS, GETS_EVENTS),
    "usage-functions": (PEOPLE,),
    "deletion-functions": (PEOPLE_AND_KEYS, SEES_ACCOUNTS, ENQUEUES),
    "erasure-functions": (
        PEOPLE_AND_KEYS,
        CHANGES_ACCOUNTS,
        ENQUEUES,
        Role("roles/datastore.backupSchedulesViewer"),
        Role("roles/datastore.backupsViewer"),
    ),
    "governance-functions": (PEOPLE, CHANGES_ACCOUNTS),
    "log-functions": (PEOPLE,),
    "pages-functions": (READ_PEOPLE,),
    "retention-functions": (PEOPLE_AND_KEYS, SEES_ACCOUNTS),
    "breach-functions": (PEOPLE, CHANGES_ACCOUNTS, TURNS_KEYS_OFF, ENQUEUES),
    "alerts-functions": (PEOPLE, CHANGES_ACCOUNTS, TURNS_KEYS_OFF, ENQUEUES, GETS_EVENTS),
    "assessment-functions": (PEOPLE, ENQUEUES, Role("roles/logging.privateLogViewer")),
    "campaigns-functions": (PEOPLE, ENQUEUES),
    "notices-functions": (PEOPLE,),
    "bounces-functions": (PEOPLE,),
    # Not a function's: staff act as it to run commands, see docs/operators.md.
    OPERATOR: (PEOPLE_AND_KEYS, CHANGES_ACCOUNTS, Role("roles/firebasestorage.viewer")),
    # Not a function's either: CI deploys as it. It reads nobody's data, and grants no role.
    DEPLOYER: (
        Role(f"projects/{_PROJECT}/roles/astraDeployer"),
        *(Role(f"roles/{name}") for name in ("cloudfunctions.admin", "run.admin", "cloudscheduler.admin")),
        *(Role(f"roles/{name}") for name in ("cloudtasks.queueAdmin", "eventarc.admin", "pubsub.editor")),
        *(Role(f"roles/{name}") for name in ("firebaserules.admin", "datastore.indexAdmin", "firebasestorage.viewer")),
        *(Role(f"roles/{name}") for name in ("artifactregistry.reader", "secretmanager.viewer")),
        *(Role(f"roles/{name}") for name in ("serviceusage.serviceUsageConsumer", "runtimeconfig.admin")),
    ),
}
#: The secrets of the staff's commands.
_OPERATED: Final = (
    *("ASTRA_PSEUDONYM_KEY", "ASTRA_REDIS_URL"),
    *("ASTRA_LOG_KEY", "ASTRA_WITNESS_KEY_ID", "ASTRA_WITNESS_SECRET"),
)
#: Whose Data Access audit logs are turned on.
AUDITED: Final = (
    "cloudkms.googleapis.com",
    "datastore.googleapis.com",
    "iam.googleapis.com",
    "identitytoolkit.googleapis.com",
    "storage.googleapis.com",
)
#: What firebase-tools wants for the build account at a first deployment, and nothing uses. It would grant it itself,
#: but reads the policy without its conditions, so that Google refuses what it writes. Taken back afterwards.
ROLES_OF_FIRST_DEPLOYMENT: Final = ("roles/run.invoker", "roles/eventarc.eventReceiver")
_LOGGED: Final = ("ADMIN_READ", "DATA_READ", "DATA_WRITE")
#: Who calls the service of a function that nobody calls from outside: its trigger, or whoever enqueues its tasks.
INVOKERS: Final[dict[str, tuple[str, ...]]] = {
    "seal_upload": ("uploads-functions",),
    "watch": ("alerts-functions",),
    "sendcode": ("signup-functions",),
    "erase": ("deletion-functions", "erasure-functions"),
    "assess": ("breach-functions", "alerts-functions", "assessment-functions"),
    "notify": ("deletion-functions", "campaigns-functions"),
}


def main() -> int:
    """Do what the command line says."""
    chosen = _chosen()
    match chosen.what:
        case "accounts":
            print("\n".join(ACCOUNTS))
        case "functions":
            print("\n".join(account for account in ACCOUNTS if account not in (OPERATOR, DEPLOYER)))
        case "readable":
            print("\n".join(sorted(_readers())))
        case "enqueuers":
            print("\n".join(name for name, roles in ACCOUNTS.items() if ENQUEUES in roles))
        case "invokers":
            lines = ((name.replace("_", "-"), account) for name, who in INVOKERS.items() for account in who)
            print("\n".join(map(" ".join, lines)))
        case "project":
            policy = json.loads(chosen.policy.read_text(encoding="utf-8"))
            added = list(add(policy, chosen.project, chosen.number))
            chosen.policy.write_text(json.dumps(policy, indent=2), encoding="utf-8")
            Console(file=sys.stderr).print(_table(added))
        case "secrets":
            for name, readers in sorted(_readers().items()):
                file = chosen.folder / f"{name}.json"
                policy = json.loads(file.read_text(encoding="utf-8"))
                let_read(policy, readers, chosen.project)
                file.write_text(json.dumps(policy, indent=2), encoding="utf-8")
    return 0


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.deployment.grants", description="Policies for gcloud.")
    kinds = parser.add_subparsers(dest="what", required=True)
    kinds.add_parser("accounts", help="the service accounts' names, a line each")
    kinds.add_parser("functions", help="those of them that functions run as")
    kinds.add_parser("readable", help="the secrets that any of them reads")
    kinds.add_parser("enqueuers", help="those that enqueue tasks, and so must be allowed to act as themselves")
    kinds.add_parser("invokers", help="services and who may invoke them, a pair a line")
    project = kinds.add_parser("project", help="add what the accounts may do to the project's policy in a file")
    project.add_argument("policy", type=Path, help="what `gcloud projects get-iam-policy --format json` said")
    secrets = kinds.add_parser("secrets", help="add who reads each secret to its policy in FOLDER/NAME.json")
    secrets.add_argument("folder", type=Path)
    for kind in (project, secrets):
        kind.add_argument("--project", required=True)
    project.add_argument("--number", required=True, help="the project's number, which Google's own agents bear")
    return parser.parse_args()


def add(policy: Policy, project: str, number: str) -> Iterator[tuple[str, Role]]:
    """Add what is missing to a project's policy. Yield each member with the role that it was given.

    What else the policy holds stays, and so does its etag: gcloud refuses it if somebody has changed it meanwhile.
    """
    policy["version"] = 3  # the first that has conditions
    _audit(policy.setdefault("auditConfigs", []))
    for member, role in _wanted(project, number):
        name, expression = role.name.replace(_PROJECT, project), role.condition.replace(_PROJECT, project)
        given = Role(name, role.title, expression)
        if join(policy, member, given):
            yield member, given


def join(policy: Policy, member: str, role: Role) -> bool:
    """Add a member to a role in a policy. Return True if they were not there under the same condition."""
    bindings: list[dict[str, Any]] = policy.setdefault("bindings", [])
    wanted = (role.name, role.condition)
    same = (one for one in bindings if (one["role"], (one.get("condition") or {}).get("expression", "")) == wanted)
    binding = next(same, None)
    if binding is None:
        condition = {"condition": {"title": role.title, "expression": role.condition}} if role.condition else {}
        binding = {"role": role.name, "members": [], **condition}
        bindings.append(binding)
    if member in binding["members"]:
        return False
    binding["members"].append(member)
    return True


def _audit(configs: list[dict[str, Any]]) -> None:
    """Have Cloud Logging write down who reads and writes what: breach detection goes by it."""
    for service in AUDITED:
        config = next((one for one in configs if one["service"] == service), None)
        if config is None:
            config = {"service": service, "auditLogConfigs": []}
            configs.append(config)
        there = {one["logType"] for one in config["auditLogConfigs"]}
        config["auditLogConfigs"] += [{"logType": kind} for kind in _LOGGED if kind not in there]


def _wanted(project: str, number: str) -> Iterator[tuple[str, Role]]:
    for account, roles in ACCOUNTS.items():
        for role in roles:
            yield f"serviceAccount:{account}@{project}.iam.gserviceaccount.com", role
    # Storage publishes that an upload has come; Pub/Sub signs in as the trigger's account to deliver it; the rules of
    # Storage look at documents. Functions are built as the default account of Compute, which in a new project may do
    # nothing.
    build = f"{number}-compute@developer.gserviceaccount.com"
    agents = {
        f"service-{number}@gcp-sa-firebasestorage.iam.gserviceaccount.com": "roles/firebaserules.firestoreServiceAgent",
        build: "roles/cloudbuild.builds.builder",
        f"service-{number}@gs-project-accounts.iam.gserviceaccount.com": "roles/pubsub.publisher",
        f"service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com": "roles/iam.serviceAccountTokenCreator",
    }
    for agent, name in (*agents.items(), *((build, role) for role in ROLES_OF_FIRST_DEPLOYMENT)):
        yield f"serviceAccount:{agent}", Role(name)


def let_read(policy: Policy, accounts: Iterable[str], project: str) -> None:
    """Add the accounts to those that may read a secret. Who else may stays, and so does the policy's etag."""
    for account in sorted(accounts):
        join(policy, f"serviceAccount:{account}@{project}.iam.gserviceaccount.com", _READER)


def _readers() -> dict[str, set[str]]:
    readers: dict[str, set[str]] = {name: {OPERATOR} for name in _OPERATED}
    for endpoint in endpoints().values():
        account = endpoint["serviceAccountEmail"].partition("@")[0]
        for variable in endpoint["secretEnvironmentVariables"]:
            readers.setdefault(variable["key"], set()).add(account)
    return readers


def _table(added: Iterable[tuple[str, Role]]) -> Table:
    table = Table("member", "role", "condition", title="Added to the policy")
    for member, role in added:
        table.add_row(member.partition("@")[0].removeprefix("serviceAccount:"), role.name, role.condition)
    return table


if __name__ == "__main__":
    sys.exit(main())
