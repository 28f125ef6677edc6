"""What is deployed can be installed, imported and listed, without the repository and without secrets."""

import ast
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from local.deployment.manifests import listing, manifest
from local.paths import ROOT
from local.stack import firebase_json
from tests.support import code

CODEBASES = firebase_json.codebases()
BUCKET = {"FIREBASE_CONFIG": json.dumps({"projectId": "demo-astra", "storageBucket": "demo-astra.appspot.com"})}


def pins(path: Path) -> set[str]:
    return {line.split(" ")[0] for line in path.read_text(encoding="utf-8").splitlines() if "==" in line}


def test_every_folder_of_functions_is_a_codebase_with_pinned_runtime_ignore_list_and_predeploy() -> None:
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/main.py")}
    assert folders == set(CODEBASES)
    for codebase in json.loads((ROOT / "firebase.json").read_text(encoding="utf-8"))["functions"]:
        assert codebase["runtime"] == "python311"
        assert {"venv", "__pycache__", "*.local", ".env*", "tests", ".git"} <= set(codebase["ignore"])
        assert "vendor.py" in codebase["predeploy"][0]
        assert codebase["configDir"] == "settings"


@pytest.mark.parametrize("codebase", CODEBASES)
def test_a_codebase_is_deployed_with_the_versions_it_was_tested_with(codebase: str) -> None:
    ours = pins(ROOT / CODEBASES[codebase] / "requirements.txt")
    assert ours
    assert ours <= pins(ROOT / "requirements.lock"), "run `make lock`"


def test_a_codebase_never_imports_another() -> None:
    for home, paths in code.CODEBASES.items():
        for path in paths:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                others = {name.partition(".")[0] for name in names} & (code.CODEBASES.keys() - {home})
                assert not others, f"{path} imports {others}"


def run(python: Path, folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [str(python), "-c", code],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **BUCKET, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("codebase", CODEBASES)
def test_readme_lists_the_functions_that_are_deployed(codebase: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [row] = re.findall(rf"(?m)^\| `{codebase}` \| ([^|]+) \|", readme)
    assert sorted(re.findall(r"`(\w+)`", row)) == sorted(manifest(codebase)["endpoints"])


@pytest.mark.stack
def test_a_deployed_folder_installs_lists_its_functions_and_names_the_settings_it_misses(tmp_path: Path) -> None:
    folder = tmp_path / "erasure"
    shutil.copytree(ROOT / CODEBASES["erasure"], folder, ignore=shutil.ignore_patterns("venv", "vendor", "__pycache__"))
    subprocess.run([sys.executable, str(ROOT / "shared/vendor.py"), str(folder)], check=True, timeout=120)  # noqa: S603
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", "requirements.txt"]
    subprocess.run(install, cwd=folder, check=True, timeout=170)  # noqa: S603
    listed = listing(folder, python)["endpoints"]
    assert sorted(listed) == ["delete_account", "delete_item", "erase", "receipt", "reconcile"]
    started = run(python, folder, "import main", FUNCTION_TARGET="erase")
    assert started.returncode != 0
    for name in ("ASTRA_PSEUDONYM_KEY", "ASTRA_CERTIFICATE_KEY", "ASTRA_REDIS_URL", "ASTRA_REPLICATE_TOKEN"):
        assert f"{name} is missing" in started.stderr


KEY = base64.b64encode(bytes(32)).decode()
SETTINGS = {f"ASTRA_{name}_KEY": KEY for name in ("PSEUDONYM", "CERTIFICATE", "LOG")} | {
    # Nobody answers: what only load is at stake for is let through.
    "ASTRA_REDIS_URL": "rediss://127.0.0.1:9/0",
    "ASTRA_SMTP_URL": "smtps://user:password@127.0.0.1",
    "ASTRA_BOUNCE_SECRET": f"whsec_{KEY}",
    "ASTRA_REPLICATE_TOKEN": "token",
    "ASTRA_KMS_URI": "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k",
    **{f"ASTRA_WITNESS_{name}": "witness" for name in ("KEY_ID", "SECRET", "BUCKET", "REGION")},
    "ASTRA_WITNESS_URL": "https://witness.example.com",
}
PLAIN = """
import json, sys, main, flask
names = [name for name in dir(main) if hasattr(getattr(main, name), "__firebase_endpoint__")]
callables = [name for name in names if getattr(main, name).__firebase_endpoint__.callableTrigger is not None]
answers = {}
for name in callables:
    with flask.Flask("test").test_request_context("/", method="POST", json={"data": {}}) as context:
        answers[name] = getattr(main, name)(context.request).status_code
print(json.dumps(answers))
"""


@pytest.mark.parametrize("codebase", CODEBASES)
def test_app_check_is_enforced_on_every_callable_outside_the_emulators(codebase: str) -> None:
    """Each is called as it is deployed, without a token: that is the first thing that is looked at."""
    done = run(
        Path(sys.executable),
        ROOT / CODEBASES[codebase],
        PLAIN,
        ADMIN_PORT="0",
        GOOGLE_CLOUD_PROJECT="demo-astra",
        **SETTINGS,
    )
    answers = json.loads(done.stdout.splitlines()[-1])
    assert set(answers.values()) <= {401}, answers
    assert answers or codebase in ("uploads", "retention", "tlog")


def test_governance_lists_what_staff_may_do() -> None:
    names = ["accept_security_policy", "cancel_transfer", "grant_role", "place_hold", "plan_transfer", "policy_page"]
    names += ["publish_policy", "record_disclosure", "register_processor", "release_hold", "remove_child", "review"]
    names += ["revoke_role", "sign_review", "switch_roll_call", "withdraw_policy"]
    campaigns = ["preview_campaign", "resume_campaign", "send_campaign", "stop_campaign"]
    assert sorted(manifest("governance")["endpoints"]) == names
    assert [name for name in sorted(manifest("notices")["endpoints"]) if "campaign" in name] == campaigns
    assert list(manifest("tlog")["endpoints"]) == ["sequence"], "alone with the log's signing key"


def test_a_process_loads_the_settings_of_the_function_that_it_serves() -> None:
    folder = ROOT / CODEBASES["notices"]
    jobs = run(Path(sys.executable), folder, "import main", FUNCTION_TARGET="notify").stderr
    staff = run(Path(sys.executable), folder, "import main", FUNCTION_TARGET="send_campaign").stderr
    assert "ASTRA_SMTP_URL is missing" in jobs
    assert "ASTRA_REDIS_URL is missing" in staff
    assert "ASTRA_SMTP_URL" not in staff
    log = run(Path(sys.executable), ROOT / CODEBASES["tlog"], "import main", FUNCTION_TARGET="sequence").stderr
    assert "ASTRA_LOG_KEY is missing" in log
    assert "ASTRA_REDIS_URL" not in log


def repository(folder: Path) -> Path:
    """Copy what a wheel is made from."""
    shutil.copytree(ROOT / "shared", folder / "shared", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    (folder / "out").mkdir()
    return folder


def vendored(folder: Path, **how: Any) -> Path:
    """Build the wheel in a copy of the repository."""
    subprocess.run([sys.executable, "shared/vendor.py", "out"], cwd=folder, check=True, timeout=120, **how)
    [wheel] = (folder / "out/vendor").glob("*.whl")
    assert wheel.name in (folder / "out/vendor/requirements.txt").read_text(encoding="utf-8")
    return wheel


def test_the_wheels_version_follows_its_content(tmp_path: Path) -> None:
    copy = repository(tmp_path / "repository")
    first = vendored(copy)
    with (copy / "shared/astra/notices/templates/letter.html.j2").open("a", encoding="utf-8") as opened:
        opened.write("<!-- changed -->\n")
    assert vendored(copy).name != first.name
    assert not first.exists()


def test_the_same_files_make_the_same_wheel_wherever_and_whenever_it_is_built(tmp_path: Path) -> None:
    """Else a deployment without a change would deploy every function anew."""
    here, there = repository(tmp_path / "here"), repository(tmp_path / "elsewhere/there")
    for path in (there / "shared").rglob("*.py"):
        os.utime(path, (0, 0))
        path.chmod(0o600)
    ours = vendored(here)
    theirs = vendored(there, umask=0o077, env=os.environ | {"SOURCE_DATE_EPOCH": "1", "PYTHONHASHSEED": "1"})
    assert ours.name == theirs.name
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_wheel_is_built_again_only_where_it_is_not_there_as_it_was_built(tmp_path: Path) -> None:
    copy = repository(tmp_path / "repository")
    wheel = vendored(copy)
    whole, built = wheel.read_bytes(), wheel.stat().st_mtime_ns
    assert vendored(copy).stat().st_mtime_ns == built
    wheel.write_bytes(whole[:-1])
    assert vendored(copy).read_bytes() == whole


def test_the_hook_of_a_repository_that_is_not_set_up_says_so_in_one_line(tmp_path: Path) -> None:
    hook = json.loads((ROOT / "firebase.json").read_text(encoding="utf-8"))["functions"][0]["predeploy"][0]
    copy = repository(tmp_path / "repository")
    environment = {"PATH": os.environ["PATH"], "PROJECT_DIR": str(copy), "RESOURCE_DIR": str(copy / "out")}
    done = subprocess.run(  # noqa: S602 - as firebase-tools runs it
        hook, shell=True, cwd=copy, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "the repository is not set up: run `make setup`, then deploy again\n"
