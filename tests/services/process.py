"""Processes of a test run: started in a temporary folder, awaited until they answer, ended by their own id.

Every wait is bounded and its failure shows the end of the process's log. All of it also works for a caller that
is root: a part that refuses root runs as an unprivileged user.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 10.0
_UNPRIVILEGED = ("postgres", "nobody")
_PORT_ATTEMPTS = 3
_SHARED_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 8 * 1024**3


class ServiceError(RuntimeError):
    """A part did not start, stop or answer in time; the message holds the end of its log."""


_held: list[socket.socket] = []


def free_port() -> int:
    """A loopback port that nothing listens on.

    It is bound, without listening, as long as this process lives. So the kernel gives it to nobody else until its
    server has come so far as to bind it, which one that reuses addresses may do, as all of ours do (socket(7)).
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    _held.append(held)
    return int(held.getsockname()[1])


@dataclass
class Part:
    """One running process, its folder and its log."""

    name: str
    folder: Path
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """End it as a power cut would, and wait for its end."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """End it in good order; kill it when it does not heed that in time."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait_ready(self, ready: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Return when `ready()` holds; ServiceError when the process ended or the time is over."""

        def ready_or_ended() -> bool:
            return ready() or self.process.poll() is not None

        try:
            until(ready_or_ended, f"{self.name} is ready", timeout=seconds)
        except AssertionError as error:
            raise ServiceError(f"{error}\n{self.log_tail()}") from None
        if self.process.returncode is not None:
            raise ServiceError(f"{self.name} ended with {self.process.returncode}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines it wrote."""
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-20:])


def start(
    name: str, folder: Path, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
) -> Part:
    """Start a process whose output goes to `folder/log`. It does not outlive this process, however that ends."""
    argv = [*_ending_with_parent(), *argv]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, **options)
    return Part(name, folder, process)


def _ending_with_parent() -> list[str]:
    """A prefix that has the kernel interrupt the command when the thread that started it is gone.

    Only the main thread lives as long as its process, so a part started by another one goes without.
    """
    program = shutil.which("setpriv")
    if program is None or threading.current_thread() is not threading.main_thread():
        return []
    return [program, "--pdeathsig", "INT", "--"]


def _memory() -> Path | None:
    """The folder of this machine that is in memory; None where it has none, or little is free."""
    with contextlib.suppress(FileNotFoundError):
        if shutil.disk_usage(_SHARED_MEMORY).free >= _ROOM_BYTES:
            return _SHARED_MEMORY
    return None


@contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """A folder that is gone afterwards; open to other users, since a part may run as one.

    It is in memory where there is room: of a test's time with a database, half goes into making and removing files.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"trace-{name}-", dir=_memory()))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def on_free_port(run: Callable[[int], Part]) -> tuple[Part, int]:
    """A part started on a port that was free. Another process may take the port first: then on another one."""
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        port = free_port()
        try:
            return run(port), port
        except ServiceError:
            if attempt == _PORT_ATTEMPTS:
                raise
    raise AssertionError("unreachable")


@cache
def tool(name: str) -> str:
    """Path of a program that `hack/setup` builds or fetches; asked once, for a fifth of a second."""
    done = subprocess.run([str(ROOT / "hack" / "setup"), "path", name], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ServiceError(f"hack/setup path {name} failed; run `hack/setup tools {name}`")
    return done.stdout.strip()


def unprivileged_user() -> str:
    """Who runs a part that refuses root: this user, or for root an unprivileged one."""
    if os.geteuid():
        return pwd.getpwuid(os.geteuid()).pw_name
    for name in _UNPRIVILEGED:
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise ServiceError(f"none of the users {_UNPRIVILEGED} exists, and the part does not run as root")


def own(folder: Path, user: str) -> None:
    """Give `folder` to `user`, where the caller is root."""
    if not os.geteuid():
        shutil.chown(folder, user)


def run_as(user: str) -> dict[str, Any]:
    """`subprocess` options that run a command as `user`, where the caller is root."""
    if os.geteuid():
        return {"cwd": "/"}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "cwd": "/"}
