"""The user's own kubectl: run once, or for as long as a command of `tracectl` needs it.

However `tracectl` ends, its child ends too: a normal end and a signal unwind the block, and after a SIGKILL the
kernel does it (prctl(2), PR_SET_PDEATHSIG, Linux only). A forgotten port-forward would hold a way into the
cluster open.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from traceplane.errors import Refused, Unavailable

END_SECONDS = 5.0
FORWARD_SECONDS = 15.0
CONFIG_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1


def path() -> str:
    """Path of kubectl. Raises Refused with the remedy."""
    found = shutil.which("kubectl")
    if found is None:
        raise Refused("kubectl is not on PATH: install it, or give --server and TRACE_TOKEN")
    return found


def run(*arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """kubectl's output, whatever its exit code. Raises Unavailable when it takes longer than `seconds`."""
    try:
        return subprocess.run([path(), *arguments], capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"kubectl {arguments[0]} did not answer within {seconds:g} seconds: is the cluster reachable?"
        ) from None


def options(context: str | None, kubeconfig: Path | None) -> list[str]:
    """kubectl's own options for a context and a kubeconfig, where they were given."""
    chosen = ["--context", context] if context else []
    return chosen + (["--kubeconfig", str(kubeconfig)] if kubeconfig else [])


def namespace(context: str | None, kubeconfig: Path | None) -> str:
    """The namespace that kubectl works in where none is named. Raises Unavailable."""
    view = ["config", "view", "--minify", "--output", "jsonpath={..namespace}"]
    done = run(*view, *options(context, kubeconfig), seconds=CONFIG_SECONDS)
    if done.returncode:
        raise Unavailable(f"kubectl config view: {done.stderr.strip()}")
    return done.stdout.strip() or "default"


@contextmanager
def forward(namespace: str, service: str, port: int, *aim: str) -> Iterator[str]:
    """URL of a port-forward to a service on a free local port, while the block runs. `aim`: see `options`."""
    argv = ["port-forward", "--namespace", namespace, f"service/{service}", f":{port}", *aim]
    # In a group of its own: Ctrl-C at `tracectl sql` ends a query, and not the way to the service.
    with running(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0) as process:
        yield f"http://{_local_address(process)}"


@contextmanager
def running(
    *arguments: str, stdout: int | None = None, stderr: int | None = None, process_group: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """kubectl, started before the block and ended with it."""
    argv = [path(), *arguments]
    with _unwinding():
        process = subprocess.Popen(
            argv,
            stdout=stdout,
            stderr=stderr,
            text=True,
            process_group=process_group,
            preexec_fn=_ends_with(os.getpid()),
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


def _local_address(process: subprocess.Popen[str]) -> str:
    """Host and port that a port-forward listens on. Raises Unavailable with what kubectl printed instead."""
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = time.monotonic() + FORWARD_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([process.stdout], [], [], left)[0]:
            break
        line = process.stdout.readline()
        if not line:
            raise Unavailable(f"kubectl port-forward: {process.stderr.read().strip()}")
        if found := re.match(r"Forwarding from ((127\.0\.0\.1|\[::1\]):\d+) ", line):
            return found[1]
    raise Unavailable(f"kubectl port-forward was not ready within {FORWARD_SECONDS:g} seconds")


@contextmanager
def _unwinding() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as an exception would, with the exit code a shell expects."""
    before = {name: signal.signal(name, _exit) for name in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _ends_with(parent: int) -> Callable[[], None] | None:
    """What the child does before it becomes kubectl: tie its life to `parent`. None where the kernel cannot."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # found before the fork: the child may not import or allocate much

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent ended before the call above
            os._exit(1)

    return tie
