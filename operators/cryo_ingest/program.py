"""Runs a program to its end, within a time, and keeps the last of what it says.

It leads a process group of its own, which is killed whole: when time is up, when the run is to stop, and in any
case at the end, so that nothing it started outlives it. What it prints is read all the time, or it would wait for
a reader, and only the end is kept, where programs say why they failed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from traceplane_sdk.control import Control

KEPT_BYTES = 16 * 1024
"""Of a program's output."""
_LOOK_SECONDS = 0.1
_FROM_OUTSIDE = ("PATH", "LANG", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
"""Of the environment, the second four in upper case too: how the network is reached from here."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended: its exit code (negative: the signal), None where time was up; its last lines."""

    code: int | None
    output: str


def run(argv: Sequence[str], given: bytes, folder: Path, seconds: float, control: Control) -> Finished:
    """Run `argv` in `folder` with `given` on stdin. Raises Stopped when the run is to end."""
    with TemporaryFile(dir=folder) as stdin:  # no pipe: a program that reads none of it would block the writer
        stdin.write(given)
        stdin.seek(0)
        process = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environment(folder, os.environ),
            start_new_session=True,
        )
    assert process.stdout is not None
    kept = bytearray()
    reader = threading.Thread(target=_read, args=(process.stdout, kept), name="output", daemon=True)
    reader.start()
    try:
        code = _wait(process, time.monotonic() + seconds, control)
    finally:
        # Before it is waited for: until then its number is its own, and that of its group.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
        process.stdout.close()
    whole = len(kept) <= KEPT_BYTES
    # No part of a line, which might be a part of a secret.
    return Finished(code, (kept if whole else kept.partition(b"\n")[2]).decode("utf-8", "replace"))


def _wait(process: subprocess.Popen[bytes], end: float, control: Control) -> int | None:
    """The exit code, or None at `end`. It is left a zombie."""
    while (found := os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
        if time.monotonic() >= end:
            return None
        control.wait(_LOOK_SECONDS)
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _read(stdout: IO[bytes], kept: bytearray) -> None:
    while chunk := stdout.read1(KEPT_BYTES):  # type: ignore[attr-defined]
        kept += chunk
        del kept[: -KEPT_BYTES - 1]  # one more than is kept says that there was more


def _environment(folder: Path, outside: Mapping[str, str]) -> dict[str, str]:
    """Nothing that names secrets of this process or a config of the program's elsewhere."""
    names = {*_FROM_OUTSIDE, *(name.upper() for name in _FROM_OUTSIDE)}
    return {**{name: outside[name] for name in names & outside.keys()}, "HOME": str(folder)}
