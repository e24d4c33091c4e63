"""Running other programs: one way to do it, with an error that shows what the program said.

A failing program's last lines are worth more than its exit code, so they are part of the error. Output goes nowhere
else: steps stay one line long.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .layout import ClusterError

TAIL_LINES = 20


def run(
    argv: Sequence[object],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its captured output.

    ``timeout`` is in seconds. With ``check``, an exit code other than 0 raises ``ClusterError`` with it and
    the last lines of what it printed.
    """
    words = [str(word) for word in argv]
    text = stdin.decode() if isinstance(stdin, bytes) else stdin
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            input=text if text is not None else None,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as missing:
        raise ClusterError(f"{words[0]}: no such program; run hack/setup") from missing
    except subprocess.TimeoutExpired as late:
        raise ClusterError(f"{shlex.join(words)}: no answer within {timeout} s") from late
    if check and done.returncode != 0:
        raise ClusterError(f"{shlex.join(words)}: exit code {done.returncode}\n{tail(done.stdout + done.stderr)}")
    return done


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of a program's output, indented for an error message."""
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines()[-lines:])


def tail_of_file(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log file; empty when it does not exist."""
    if not path.exists():
        return ""
    return tail(path.read_bytes()[-20_000:].decode(errors="replace"), lines)
