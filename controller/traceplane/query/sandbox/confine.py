"""What a cell gives up before it sees SQL.

The order matters: the address-space limit is taken from the size of the warm process, so it comes when DuckDB
stands; the file-size limit comes after the last write of our own; Landlock while there is one thread; the filter of
system calls last, since it forbids the calls that the others take.
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
    """The log as long as this process may write to it, which ends before it sees what a stranger wrote: one that
    broke out could forge lines of others."""

    def __init__(self) -> None:
        self._descriptor: int | None = 2

    def take(self) -> None:
        """From now on only `say` reaches it: what is printed, by whomever, goes nowhere. Raises OSError.

        The filter of system calls lacks what this takes.
        """
        self._descriptor = os.dup(2)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (1, 2):
            os.dup2(nowhere, standard)
        os.close(nowhere)

    def say(self, line: str) -> None:
        """Write a line; nothing once it is closed. Raises OSError."""
        if self._descriptor is not None:
            os.write(self._descriptor, f"{line}\n".encode())

    def close(self) -> None:
        """Give it up for good; `take` came before."""
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


def first_to_go() -> None:
    """When the machine runs out of memory, take this process (and its children) before any other."""
    Path("/proc/self/oom_score_adj").write_text("1000")


def die_with_parent() -> None:
    """Be killed when the parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def slack(threads: int) -> int:
    """Address space that a cell of so many threads needs above its memory budget: what allocators set aside and do
    not use (half of it was seen), and stacks, of each thread's one in DuckDB and one in Arrow."""
    return _SLACK_BYTES + threads * _SLACK_THREAD_BYTES


def missing() -> list[str]:
    """Which of the kernel's sandboxes cannot be had here. Landlock came with 5.13, and may be switched off."""
    found = {"Landlock": landlock.abi() > 0, "seccomp": seccomp.supported()}
    return [name for name, there in found.items() if not there]


def confine(folder: str, *, memory_bytes: int, cpu_seconds: int, slack_bytes: int = 0) -> None:
    """Bound this process: memory by address space, CPU, files, core dumps; then files and system calls.

    It cannot undo any of it, and reads files below `folder` only. A sandbox that this kernel lacks is left out: the
    service does not start there unless it was told to accept that. Raises OSError where one fails.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    limit = _address_space() + memory_bytes + slack_bytes
    for name, value in (
        (resource.RLIMIT_AS, limit),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        hard = resource.getrlimit(name)[1]
        bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (bounded, bounded))
    lacks = missing()
    if "Landlock" not in lacks:
        landlock.confine_to(folder)
    if "seccomp" not in lacks:
        seccomp.apply()


def _address_space() -> int:
    """Bytes of address space this process has now (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")
