"""Landlock: from now on this process reads below one folder, and opens, lists, writes and connects to nothing else.

The kernel's own sandbox for unprivileged processes (https://docs.kernel.org/userspace-api/landlock.html), called
through libc, since it is three system calls.
"""

from __future__ import annotations

import ctypes
import os
import struct

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""System call numbers, the same on every architecture."""
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_READ_FILE = 1 << 2
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Rights that each ABI added: 1 all but refer (2), truncate (3) and ioctl on devices (5)."""
_NET_RIGHTS = (1 << 0) | (1 << 1)
"""Binding and connecting TCP sockets, since ABI 4."""
_SCOPES = (1 << 0) | (1 << 1)
"""Abstract Unix sockets and signals of other processes, since ABI 6."""


def abi() -> int:
    """The version this kernel offers to this process; 0 where it offers none."""
    found = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION))
    return max(0, int(found))


def confine_to(folder: str) -> None:
    """Give up every file and socket, but for reading files below `folder`. Raises OSError."""
    # It binds the calling thread and what that thread starts later; threads that run already would stay free.
    if len(os.listdir("/proc/self/task")) != 1:
        raise OSError("Landlock binds one thread, and this process has several")
    # What a ruleset handles is forbidden unless a rule allows it: all that this kernel's version of it knows.
    version = abi()
    files = sum(rights for since, rights in _FILE_RIGHTS.items() if since <= version)
    handled = struct.pack("=Q", files)
    if version >= 4:
        handled += struct.pack("=Q", _NET_RIGHTS)
    if version >= 6:
        handled += struct.pack("=Q", _SCOPES)
    ruleset = _call(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), ctypes.c_uint32(0))
    try:
        place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", _READ_FILE, place)  # read, and not list: names of files come from the broker
            _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), rule, ctypes.c_uint32(0))
        finally:
            os.close(place)
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _call(number: int, *arguments: object) -> int:
    libc = _libc()
    result = int(libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
