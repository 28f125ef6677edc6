"""What firebase-tools is started with."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from local.stack import commands


@pytest.mark.parametrize("own", ["", "--no-deprecation"])
def test_a_connection_to_a_function_carries_one_request(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A reused one is closed by the function while the next request is on its way: a 500 in some hundred calls.
    monkeypatch.setenv("NODE_OPTIONS", own)
    node = shutil.which("node")
    assert node
    script = "[require('http').globalAgent.keepAlive, !!process.noDeprecation].join()"
    environment = {**os.environ, "NODE_OPTIONS": commands.node_options()}
    said = subprocess.run(  # noqa: S603 - the node that firebase-tools runs on
        [node, "-p", script], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert said.strip() == f"false,{str(bool(own)).lower()}"
