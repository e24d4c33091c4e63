"""The person's own kubectl: asked once, or run beside a command for as long as that runs.

Whatever ends `tracectl` ends its child: a normal end and a signal unwind the block, and where there is nothing
left to unwind (SIGKILL) the kernel does it (prctl(2), PR_SET_PDEATHSIG, Linux only). A forgotten port-forward
would hold a way into the cluster open.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from traceplane.errors import Refused, Unavailable

END_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


def path() -> str:
    """Path of kubectl. Raises Refused with the remedy."""
    found = shutil.which("kubectl")
    if found is None:
        raise Refused("kubectl is not on PATH: install it, or give --server and TRACE_TOKEN")
    return found


def ask(*arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """kubectl's answer, whatever its exit code. Raises Unavailable when it takes longer than `seconds`."""
    try:
        return subprocess.run([path(), *arguments], capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"kubectl {arguments[0]} did not answer within {seconds:g} seconds: is the cluster reachable?"
        ) from None


@contextmanager
def beside(
    *arguments: str, stdout: int | None = None, stderr: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """kubectl running while the block runs, and not a moment longer."""
    argv = [path(), *arguments]
    with _unwinding():
        process = subprocess.Popen(
            argv, stdout=stdout, stderr=stderr, text=True, preexec_fn=_ends_with(os.getpid())
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@contextmanager
def _unwinding() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as an exception would, with the exit code a shell expects."""
    before = {name: signal.signal(name, _leave) for name in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _ends_with(parent: int) -> Callable[[], None] | None:
    """What the child does before it becomes kubectl: ask to be ended with us. None where the kernel cannot."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # found before the fork: the child may not import or allocate much

    def ask_for_it() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # we ended before it asked
            os._exit(1)

    return ask_for_it
