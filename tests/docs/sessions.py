"""Commands of a page, typed in their order into one shell beside a running installation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.docs.blocks import ROOT, Command
from tests.docs.rules import Tier, rule
from tests.services.installation import Installation

RUN = {Tier.CLUSTER, Tier.DRY}
_SECRET = re.compile(r"eyJ[\w.-]+|\b[A-Za-z0-9]{20}:[A-Za-z0-9]{40}\b")


def run(trace: Installation, typed: Iterable[Command], folder: Path, first: Iterable[str] = ()) -> None:
    """Type what is to be run of a page in `folder`, after the lines `first`; fails where one of them does."""
    lines = [_line(command) for command in typed if rule(command).tier in RUN]
    session = ["set -eo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT", *first, *lines]
    path = f"{Path(sys.executable).parent}:{trace.kube.environment['PATH']}"
    done = subprocess.run(
        ["bash", "-x", "-c", "\n".join(session)],
        cwd=folder,
        env={**os.environ, **trace.kube.environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, _SECRET.sub("<secret>", done.stdout[-3000:] + done.stderr[-3000:])


def _line(command: Command) -> str:
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
