"""A folder with a fake kubectl in it, and tracectl run with nothing else on its PATH."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


class Bench:
    """A folder with the fake kubectl. It writes down its arguments, a line a call, and its process id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def kubectl(self, script: str) -> None:
        """What kubectl does after it has written down its call; `$1` is its verb."""
        file = self.folder / "kubectl"
        calls = shlex.quote(str(self.folder / "calls"))
        # The call last: a test that sees it may rely on the process id.
        file.write_text(f'#!/bin/sh\necho $$ > {calls}.pid\nprintf "%s\\n" "$*" >> {calls}\n{script}\n')
        file.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    @property
    def pid(self) -> int:
        return int((self.folder / "calls.pid").read_text())

    def start(self, *arguments: str, program: str = "tracectl", **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(BIN / program), *arguments],
            env={"PATH": str(self.folder), "HOME": "/nonexistent", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, program: str = "tracectl", **environment: str) -> tuple[int | None, str, str]:
        """Exit code, standard output and standard error."""
        process = self.start(*arguments, program=program, **environment)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err
