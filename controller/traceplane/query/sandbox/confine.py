"""What a process gives up before it sees SQL: the log, room to grow, files, system calls.

A cell and the process that checks statements both call these. None of it can be undone by the process itself.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from pathlib import Path

from traceplane.query.sandbox import landlock, seccomp

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38

MAX_OPEN_FILES = 8192
_SLACK_BYTES = 256 * 1024**2
_SLACK_THREAD_BYTES = 16 * 1024**2


class Log:
    """The log of the pod, for as long as this process may write to it. That ends before the process sees SQL: a
    statement that took the process over could forge lines of others."""

    def __init__(self) -> None:
        self._descriptor: int | None = 2

    def detach(self) -> None:
        """From now on only `write` reaches the log: what any library prints goes nowhere. Raises OSError.

        Called before the process is confined: the filter of system calls lacks dup(2).
        """
        self._descriptor = os.dup(2)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (1, 2):
            os.dup2(null, standard)
        os.close(null)

    def write(self, line: str) -> None:
        """Write a line; nothing once the log is closed. Raises OSError."""
        if self._descriptor is not None:
            os.write(self._descriptor, f"{line}\n".encode())

    def close(self) -> None:
        """Give up the log; `detach` came before."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def undumpable() -> None:
    """Forbid other processes of this user to read this one's memory and environment through /proc and ptrace."""
    _prctl(_PR_SET_DUMPABLE, 0)


def prefer_for_oom_kill() -> None:
    """Let the kernel kill this process (and its children) before any other when the machine runs out of memory."""
    Path("/proc/self/oom_score_adj").write_text("1000")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def slack(threads: int) -> int:
    """Address space that a cell of so many threads needs above its memory budget: what allocators reserve and do
    not use (half of it was seen), and the stacks of one thread of DuckDB and one of Arrow each."""
    return _SLACK_BYTES + threads * _SLACK_THREAD_BYTES


def missing() -> list[str]:
    """Which of the kernel's sandboxes this kernel lacks. Landlock came with 5.13, and may be switched off."""
    found = {"Landlock": landlock.abi() > 0, "seccomp": seccomp.supported()}
    return [name for name, there in found.items() if not there]


def confine(folder: str, *, memory_bytes: int, cpu_seconds: int, slack_bytes: int = 0) -> None:
    """Bound this process: memory, CPU, files and core dumps, then its access to files and its system calls.

    It is warm and has one thread. From now on it reads files below `folder` only. A sandbox that this kernel lacks
    is left out: the service does not start there unless a setting accepts that. Raises OSError where one fails.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)  # both sandboxes ask for it: nothing executed later may gain rights
    # Counted from the size of the warm process: what DuckDB and Arrow have mapped by now is no part of the budget.
    limit = _address_space() + memory_bytes + slack_bytes
    for name, value in (
        (resource.RLIMIT_AS, limit),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),  # a core dump would write memory, and so rows, to a disk
        (resource.RLIMIT_FSIZE, 0),  # what the process had to write is written
    ):
        hard = resource.getrlimit(name)[1]
        bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)  # to raise it would be refused
        resource.setrlimit(name, (bounded, bounded))
    lacks = missing()
    if "Landlock" not in lacks:
        landlock.confine_to(folder)
    if "seccomp" not in lacks:
        seccomp.apply()  # last: it forbids the calls that everything above takes


def _address_space() -> int:
    """Bytes of address space this process has now (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")
