"""`tracectl` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TRACECTL = str(Path(sys.executable).parent / "tracectl")


def tracectl(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """One command, with nothing of our own environment but PATH."""
    return subprocess.run(
        [TRACECTL, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )
