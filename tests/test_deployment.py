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

import pytest

from local import firebase_json
from local.paths import ROOT

CODEBASES = firebase_json.codebases()
BUCKET = {"FIREBASE_CONFIG": json.dumps({"projectId": "demo-astra", "storageBucket": "demo-astra.appspot.com"})}
LIST = "import main; print(sorted(n for n in dir(main) if hasattr(getattr(main, n), '__firebase_endpoint__')))"


def pins(path: Path) -> set[str]:
    return {line.split(" ")[0] for line in path.read_text(encoding="utf-8").splitlines() if "==" in line}


def test_every_folder_of_functions_is_a_codebase_with_pinned_runtime_ignore_list_and_predeploy() -> None:
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/main.py")}
    assert folders == set(CODEBASES)
    for codebase in json.loads((ROOT / "firebase.json").read_text(encoding="utf-8"))["functions"]:
        assert codebase["runtime"] == "python311"
        assert {"venv", "__pycache__", "*.local", "tests", ".git"} <= set(codebase["ignore"])
        assert "vendor.py" in codebase["predeploy"][0]


@pytest.mark.parametrize("codebase", CODEBASES)
def test_a_codebase_is_deployed_with_the_versions_it_was_tested_with(codebase: str) -> None:
    ours = pins(ROOT / CODEBASES[codebase] / "requirements.txt")
    assert ours
    assert ours <= pins(ROOT / "requirements.lock"), "run `make lock`"


def test_a_codebase_never_imports_another() -> None:
    modules = {path.stem: path.parent.name for path in (ROOT / "functions").glob("*/*.py") if path.stem != "main"}
    for path in (ROOT / "functions").glob("*/*.py"):
        text = "\n" + path.read_text(encoding="utf-8")
        for module, home in modules.items():
            if home != path.parent.name:
                assert f"\nimport {module}\n" not in text, f"{path} imports {home}'s {module}"
                assert f"from {module} import" not in text, f"{path} imports {home}'s {module}"


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
    listed = run(Path(sys.executable), ROOT / CODEBASES[codebase], LIST, ADMIN_PORT="8081")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [row] = re.findall(rf"(?m)^\| `{codebase}` \| ([^|]+) \|", readme)
    assert sorted(re.findall(r"`(\w+)`", row)) == ast.literal_eval(listed.stdout), listed.stderr


def test_a_deployed_folder_installs_lists_its_functions_and_names_the_settings_it_misses(tmp_path: Path) -> None:
    folder = tmp_path / "erasure"
    shutil.copytree(ROOT / CODEBASES["erasure"], folder, ignore=shutil.ignore_patterns("venv", "vendor", "__pycache__"))
    subprocess.run([sys.executable, str(ROOT / "shared/vendor.py"), str(folder)], check=True, timeout=120)  # noqa: S603
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", "requirements.txt"]
    subprocess.run(install, cwd=folder, check=True, timeout=170)  # noqa: S603
    listed = run(python, folder, LIST, ADMIN_PORT="8081")
    assert listed.stdout.strip() == "['delete_account', 'delete_item', 'erase', 'receipt', 'reconcile']", listed.stderr
    started = run(python, folder, LIST, FUNCTION_TARGET="erase")
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
    assert answers or codebase in ("uploads", "retention", "breach")


def test_governance_lists_what_staff_may_do() -> None:
    python, folder = Path(sys.executable), ROOT / CODEBASES["governance"]
    listed = run(python, folder, LIST, ADMIN_PORT="8081")
    names = ["accept_security_policy", "cancel_transfer", "grant_role", "place_hold", "plan_transfer", "policy_page"]
    names += ["preview_campaign", "publish_policy", "record_disclosure", "register_processor", "release_hold"]
    names += ["remove_child", "resume_campaign", "review", "revoke_role", "send_campaign", "sequence", "sign_review"]
    names += ["stop_campaign", "switch_roll_call", "withdraw_policy"]
    assert listed.stdout.strip() == str(names), listed.stderr


def test_a_process_loads_the_settings_of_the_function_that_it_serves() -> None:
    folder = ROOT / CODEBASES["governance"]
    log = run(Path(sys.executable), folder, LIST, FUNCTION_TARGET="sequence").stderr
    staff = run(Path(sys.executable), folder, LIST, FUNCTION_TARGET="grant_role").stderr
    assert "ASTRA_LOG_KEY is missing" in log
    assert "ASTRA_REDIS_URL" not in log
    assert "ASTRA_REDIS_URL is missing" in staff
    assert "ASTRA_LOG_KEY" not in staff


def test_the_wheels_version_follows_its_content(tmp_path: Path) -> None:
    copy = tmp_path / "repository"
    shutil.copytree(ROOT / "shared", copy / "shared", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    # A Python that the package itself would refuse: the deployer's may be any, and only packs the files.
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (copy / "pyproject.toml").write_text(re.sub(r"(?m)^requires-python = .*", 'requires-python = ">=4"', pyproject))
    names = []
    for file, change in (
        ("clock.py", ""),
        ("clock.py", ""),
        ("templates/letter.html.j2", "<!-- changed -->\n"),
    ):
        with (copy / "shared/astra" / file).open("a", encoding="utf-8") as opened:
            opened.write(change)
        (copy / "out").mkdir(exist_ok=True)
        subprocess.run([sys.executable, "shared/vendor.py", "out"], cwd=copy, check=True, timeout=120)
        [wheel] = (copy / "out/vendor").glob("*.whl")
        assert wheel.name in (copy / "out/vendor/requirements.txt").read_text(encoding="utf-8")
        names.append(wheel.name)
    assert names[0] == names[1] != names[2]
