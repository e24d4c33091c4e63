"""A seccomp filter: the system calls that running a query takes, and no other.

Landlock leaves UDP, path sockets and process creation open, and on older kernels TCP and signals; this closes
them. The filter is a classic BPF program (https://docs.kernel.org/userspace-api/seccomp_filter.html) over a list of
what is allowed: reading and writing open descriptors, memory, threads of this process, clocks, opening files to
read. Some calls are allowed by their arguments only.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct

_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in `struct seccomp_data`; arguments are 64 bits each, low half first."""

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _TO_ALL_THREADS = 1, 1
_CLONE_THREAD = 0x00010000
_FIONBIO = 0x5421
_OF_DESCRIPTORS = (fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_DUPFD_CLOEXEC)
"""Commands of fcntl(2), the same on every machine."""
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# Name: number on x86_64, number on aarch64 (the kernel's unistd tables); None where there is no such call.
CALLS: dict[str, tuple[int | None, int | None]] = {
    # open descriptors
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "close": (3, 57),
    "lseek": (8, 62), "poll": (7, None), "ppoll": (271, 73), "select": (23, None),
    "pselect6": (270, 72), "sendto": (44, 206), "recvfrom": (45, 207), "sendmsg": (46, 211), "recvmsg": (47, 212),
    "fadvise64": (221, 223),
    # metadata of files, without opening them
    "fstat": (5, 80), "stat": (4, None), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None),
    "readlinkat": (267, 78), "getcwd": (79, 17),
    # memory
    "brk": (12, 214), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216),
    "madvise": (28, 233),
    # threads of this process
    "futex": (202, 98), "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120), "set_robust_list": (273, 99), "rseq": (334, 293), "membarrier": (324, 283),
    "set_tid_address": (218, 96), "getcpu": (309, 168), "exit": (60, 93), "exit_group": (231, 94),
    "restart_syscall": (219, 128),
    # signals within it
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    # identity and clocks
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "uname": (63, 160), "sysinfo": (99, 179), "getrusage": (98, 165),
    "times": (100, 153), "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101), "gettimeofday": (96, 169), "getrandom": (318, 278),
}  # fmt: skip
BY_ARGUMENT: dict[str, tuple[int, int]] = {
    "openat": (257, 56), "clone": (56, 220), "clone3": (435, 435), "prlimit64": (302, 261), "ioctl": (16, 29),
    "fcntl": (72, 25),
}  # fmt: skip
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the tables above, and the kernel's AUDIT_ARCH."""

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""


def supported() -> bool:
    """Whether a filter can be made for this machine."""
    return platform.machine() in _MACHINES


def apply() -> None:
    """Filter the system calls of every thread of this process from now on. Raises OSError."""
    instructions = program(platform.machine())
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    filtering = struct.pack("@HP", len(instructions), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # else only root may set a filter
    number = 317 if platform.machine() == "x86_64" else 277  # seccomp(2)
    if libc.syscall(number, _SET_MODE_FILTER, _TO_ALL_THREADS, filtering) != 0:
        failed = ctypes.get_errno()
        raise OSError(failed, f"seccomp: {os.strerror(failed)}")


def program(machine: str) -> list[Instruction]:
    """The filter for `machine`. Raises OSError for one that the tables do not know."""
    if machine not in _MACHINES:
        raise OSError(f"there is no table of system calls for {machine}")
    column, architecture = _MACHINES[machine]
    lines: list[Instruction] = [
        # A process may call the kernel by the numbers of another architecture (32 bit), which name other calls.
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for numbers in CALLS.values():
        number = numbers[column]
        if number is not None:
            lines += _if(number, [(_RETURN, 0, 0, _ALLOW)])
    for name, checks in _checked().items():
        lines += _if(BY_ARGUMENT[name][column], checks)
    # An error and not a kill: a library that tries something optional goes on without it.
    lines.append((_RETURN, 0, 0, _ERRNO | errno.EPERM))
    return lines


def _checked() -> dict[str, list[Instruction]]:
    """The checks of arguments, for calls whose number alone does not decide."""
    return {
        # Threads, and no process.
        "clone": [*_allow_if(_JUMP_SET, 0, _CLONE_THREAD)],
        # Its arguments lie in memory, which a filter cannot read; libc falls back to clone.
        "clone3": [(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)],
        # Files may be opened to read, and not to write or create.
        "openat": _unless_set(2, _TO_WRITE, errno.EACCES),
        # Limits may be read and not set: the pointer to a new one is null, in both halves.
        "prlimit64": [
            (_LOAD, 0, 0, _ARGUMENTS + 8 * 2),
            (_JUMP_EQUAL, 1, 0, 0),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
            (_LOAD, 0, 0, _ARGUMENTS + 8 * 2 + 4),
            (_JUMP_EQUAL, 1, 0, 0),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ],
        # FIONBIO only: a socket's timeout sets it.
        "ioctl": [*_allow_if(_JUMP_EQUAL, 1, _FIONBIO)],
        # Flags of descriptors only. With F_SETOWN, F_SETSIG and O_ASYNC a process chooses which process gets which
        # signal when a descriptor is ready: a byte in a socket would kill any process of the same user.
        "fcntl": [
            (_LOAD, 0, 0, _ARGUMENTS + 8),
            *[line for command in _OF_DESCRIPTORS for line in _if(command, [(_RETURN, 0, 0, _ALLOW)])],
            *_if(fcntl.F_SETFL, _unless_set(2, os.O_ASYNC, errno.EPERM)),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        ],
    }


def _allow_if(test: int, argument: int, operand: int) -> list[Instruction]:
    """Allow where the low half of an argument passes `test`."""
    return [
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
        (test, 1, 0, operand),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _unless_set(argument: int, bits: int, error: int) -> list[Instruction]:
    """Allow where the low half of an argument has none of `bits`."""
    return [
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
        (_JUMP_SET, 0, 1, bits),
        (_RETURN, 0, 0, _ERRNO | error),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _if(number: int, then: list[Instruction]) -> list[Instruction]:
    """`then` where that number is loaded, of a system call or a command; any other number goes on behind it."""
    return [(_JUMP_EQUAL, 0, len(then), number), *then]
