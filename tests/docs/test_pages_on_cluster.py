"""Each page's commands, typed in order into one shell beside a running installation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, commands
from tests.docs.rules import Tier, rule
from tests.services.installation import start_pipeline

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

RUN = {Tier.CLUSTER, Tier.DRY}
PAGES = sorted({command.page for command in commands() if rule(command).tier in RUN})


def line(command) -> str:
    """What is typed for a command, so that the session stops where it does not do what the page says."""
    text = command.text
    if rule(command).tier is Tier.DRY:
        # The namespace is there already, which the server would say.
        return f"{text} --dry-run={'client' if 'create namespace' in text else 'server'}"
    if text.endswith("&"):
        port = text.split()[-2]
        ready = f"timeout 120 bash -c 'until (: < /dev/tcp/127.0.0.1/{port}) 2>/dev/null; do :; done'"
        return f"{text}\n{ready}"
    if text.startswith("jupyter lab "):  # what a kernel would do with it
        return text.replace("jupyter lab", f"python3 {ROOT}/tests/docs/cells.py")
    if command.fails:
        return f"if {text}; then exit 90; fi"
    return text


def session(page: str) -> str:
    """The script of a page."""
    typed = [line(command) for command in commands() if command.page == page and rule(command).tier in RUN]
    files = ["openssl ecparam -name prime256v1 -genkey -noout -out key.pem", "touch ca.crt"]
    files = files if "install" in page else []
    return "\n".join(["set -eo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT", *files, *typed])


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work_in_their_order(trace, alarms, page, tmp_path):
    for name in ("hack", "dags", "docs", "charts", "operators", "controller", "pyproject.toml", "uv.lock", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}:{trace.kube.environment['PATH']}"
    environment = {**os.environ, **trace.kube.environment, "PATH": path}
    try:
        done = subprocess.run(
            ["bash", "-x", "-c", session(page)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, hide(done.stdout[-3000:] + done.stderr[-3000:])
    finally:
        start_pipeline(trace)


def hide(text: str) -> str:
    """A session's output without its tokens."""
    return re.sub(r"eyJ[\w.-]+", "<token>", text)
