"""What a confined process can still do: Python that tries everything, and the filter run call by call."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from traceplane.query.sandbox import landlock, seccomp

ON_THIS_KERNEL = pytest.mark.skipif(
    not landlock.abi() or os.uname().machine != "x86_64",
    reason="the attempts need Landlock, and are numbered for x86_64",
)

WITH_A_FILTER = pytest.mark.skipif(not seccomp.supported(), reason="there is no filter for this machine")

# Runs in a process of its own: confines itself to a folder and says what each attempt came to.
CONFINED = """
import ctypes, json, os, socket, sys, threading
from traceplane.query.sandbox import landlock, seccomp
folder, outside, port, victim, walls = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
libc = ctypes.CDLL(None, use_errno=True)
held = os.open(outside, os.O_RDONLY)
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
def threads():
    done = []
    one = threading.Thread(target=lambda: done.append(open(folder + "/granted").read()))
    one.start(); one.join()
    return done[0]
def forked():
    if os.fork() == 0:
        os._exit(0)
ATTEMPTS = {
    "read the granted file": lambda: open(folder + "/granted").read(),
    "read it in a thread": threads,
    "read what was open": lambda: os.read(held, 4).decode(),
    "read a file": lambda: open(outside).read(),
    "read through a link": lambda: open(folder + "/link").read(),
    "read through ..": lambda: open(folder + "/../outside").read(),
    "read /proc": lambda: open("/proc/self/environ").read(),
    "list": lambda: os.listdir(folder),
    "write": lambda: open(folder + "/made", "w"),
    "append": lambda: open(folder + "/granted", "a"),
    "truncate": lambda: os.truncate(folder + "/granted", 0),
    "remove": lambda: os.remove(folder + "/granted"),
    "rename": lambda: os.rename(folder + "/granted", folder + "/moved"),
    "make a folder": lambda: os.mkdir(folder + "/d"),
    "link": lambda: os.symlink("/etc", folder + "/etc"),
    "chmod": lambda: os.chmod(folder + "/granted", 0o777),
    "tcp": lambda: socket.create_connection(("127.0.0.1", port), 2),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
    "unix socket": lambda: socket.socket(socket.AF_UNIX).connect("/run/x"),
    "fork": forked,
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "kill": lambda: os.kill(victim, 0),
    "ptrace": lambda: call(101, 16, victim, 0, 0),
    "read other memory": lambda: call(310, victim, None, 0, None, 0, 0),
    "io_uring": lambda: call(425, 4, ctypes.create_string_buffer(120)),
    "memfd": lambda: os.memfd_create("x"),
    "raise a limit": lambda: call(302, 0, 7, ctypes.create_string_buffer(16), None),
    "mount": lambda: call(165, b"none", b"/mnt", b"tmpfs", 0, None),
    "namespaces": lambda: call(272, 0x10000000),
    "bpf": lambda: call(321, 0, None, 0),
    "keys": lambda: call(248, b"user", b"x", b"x", 1, -3),
}
if "landlock" in walls:
    landlock.confine_to(folder)
if "seccomp" in walls:
    seccomp.apply()
said = {}
for name, attempt in ATTEMPTS.items():
    try:
        said[name] = ["done", str(attempt())[:20]]
    except OSError as error:
        said[name] = ["errno", error.errno]
os.write(1, json.dumps(said).encode())
"""
WORKS = {"read the granted file", "read it in a thread", "read what was open"}
LANDLOCK_STOPS = {
    "read a file", "read through a link", "read through ..", "read /proc", "list", "write", "append", "truncate",
    "remove", "rename", "make a folder", "link", "tcp",
}  # fmt: skip
SECCOMP_STOPS = {
    "list", "write", "append", "truncate", "remove", "rename", "make a folder", "link", "chmod", "tcp", "udp",
    "unix socket", "fork", "exec", "kill", "ptrace", "read other memory", "io_uring", "memfd", "raise a limit",
    "mount", "namespaces", "bpf", "keys",
}  # fmt: skip


def attempted(tmp_path: Path, walls: str) -> dict[str, list[Any]]:
    folder = tmp_path / "cell"
    folder.mkdir()
    (tmp_path / "outside").write_text("outside")
    (folder / "granted").write_text("granted")
    (folder / "link").symlink_to(tmp_path / "outside")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        argv = [sys.executable, "-c", CONFINED, str(folder), str(tmp_path / "outside")]
        argv += [str(listener.getsockname()[1]), str(os.getpid()), walls]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[Any]] = json.loads(done.stdout)
    return found


def stopped(found: dict[str, list[Any]]) -> set[str]:
    return {name for name, (how, value) in found.items() if how == "errno" and value in (errno.EPERM, errno.EACCES)}


@ON_THIS_KERNEL
def test_both_walls_leave_the_granted_file_and_nothing_else(tmp_path: Path) -> None:
    found = attempted(tmp_path, "landlock+seccomp")
    assert {name for name, (how, _) in found.items() if how == "done"} == WORKS
    assert stopped(found) == found.keys() - WORKS


@ON_THIS_KERNEL
@pytest.mark.parametrize(("wall", "stops"), [("landlock", LANDLOCK_STOPS), ("seccomp", SECCOMP_STOPS)])
def test_each_wall_stops_its_part_alone(tmp_path: Path, wall: str, stops: set[str]) -> None:
    found = attempted(tmp_path, wall)
    assert stops <= stopped(found)
    assert all(found[name][0] == "done" for name in WORKS)


# Runs in a process of its own, without Landlock: asks that each of its victims be killed when a byte arrives.
SIGNALLING = """
import contextlib, fcntl, os, signal, socket, struct, sys
from traceplane.query.sandbox import seccomp
F_SETOWN_EX, OF_PROCESS = 15, 1
WAYS = [
    lambda at, victim: fcntl.fcntl(at, fcntl.F_SETOWN, victim),
    lambda at, victim: fcntl.fcntl(at, F_SETOWN_EX, struct.pack("ii", OF_PROCESS, victim)),
]
pairs = [socket.socketpair() for _ in WAYS]
kept = socket.socket()
seccomp.apply()
for way, (ours, theirs), victim in zip(WAYS, pairs, sys.argv[1:]):
    for step in (
        lambda: way(ours, int(victim)),
        lambda: fcntl.fcntl(ours, fcntl.F_SETSIG, signal.SIGKILL),
        lambda: fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC),
    ):
        with contextlib.suppress(PermissionError):
            step()
    theirs.send(b"x")
kept.dup().settimeout(1)
os.set_blocking(kept.fileno(), False)
assert not os.get_inheritable(kept.fileno())
print("tried")
"""


@WITH_A_FILTER
def test_without_landlock_a_byte_in_a_socket_kills_no_other_process() -> None:
    with ExitStack() as stack:
        victims = [
            stack.enter_context(subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(2)
        ]
        done = subprocess.run(
            [sys.executable, "-c", SIGNALLING, *(str(victim.pid) for victim in victims)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        # A signal comes before the next thing its process does.
        assert [victim.communicate("alive", timeout=60)[0] for victim in victims] == ["alive"] * 2
    assert done.stdout == "tried\n", done.stderr


def returned(machine: str, number: int, arguments: tuple[int, ...] = (), architecture: int | None = None) -> int:
    """What the filter returns for a system call: a classic BPF machine, as far as the filter needs one."""
    program = seccomp.program(machine)
    reported = seccomp._MACHINES[machine][1] if architecture is None else architecture
    words = {0: number, 4: reported}
    for index in range(6):
        value = arguments[index] if index < len(arguments) else 0
        words[16 + 8 * index], words[20 + 8 * index] = value & 0xFFFFFFFF, value >> 32
    at, register = 0, 0
    while True:
        code, true, false, operand = program[at]
        at += 1
        if code == 0x20:
            register = words[operand]
        elif code == 0x15:
            at += true if register == operand else false
        elif code == 0x45:
            at += true if register & operand else false
        else:
            return operand


ALLOWED, DENIED = 0x7FFF0000, 0x00050000
ALLOWED_COMMANDS = {fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_DUPFD_CLOEXEC}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_decides_by_number_and_by_argument(machine: str) -> None:
    column = 0 if machine == "x86_64" else 1
    calls = {name: numbers[column] for name, numbers in {**seccomp.CALLS, **seccomp.BY_ARGUMENT}.items()}
    plain = {number for name, number in calls.items() if name in seccomp.CALLS and number is not None}
    for number in range(600):
        if number in plain:
            assert returned(machine, number) == ALLOWED
        elif number not in calls.values():
            assert returned(machine, number) == DENIED | errno.EPERM
    opening = calls["openat"]
    assert opening is not None
    assert returned(machine, opening, (0, 0, os.O_RDONLY | os.O_CLOEXEC)) == ALLOWED
    for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_APPEND):
        assert returned(machine, opening, (0, 0, flag)) == DENIED | errno.EACCES
    names = ("clone", "clone3", "prlimit64", "ioctl", "fcntl")
    clone, clone3, limits, ioctl, control = (calls[name] for name in names)
    assert clone is not None
    assert clone3 is not None
    assert limits is not None
    assert ioctl is not None
    assert control is not None
    assert returned(machine, clone, (0x10F00,)) == ALLOWED
    assert returned(machine, clone, (17,)) == DENIED | errno.EPERM
    assert returned(machine, clone3) == DENIED | errno.ENOSYS
    assert returned(machine, limits, (0, 3, 0)) == ALLOWED
    for pointer in (1, 1 << 32):
        assert returned(machine, limits, (0, 3, pointer)) == DENIED | errno.EPERM
    assert returned(machine, ioctl, (3, 0x5421)) == ALLOWED
    for request in (0x5401, 0x5452, 0x8901, 0x8902):  # TCGETS, FIOASYNC, FIOSETOWN, SIOCSPGRP
        assert returned(machine, ioctl, (3, request)) == DENIED | errno.EPERM
    for command in ALLOWED_COMMANDS - {fcntl.F_SETFL}:
        assert returned(machine, control, (3, command, os.O_ASYNC)) == ALLOWED
    assert returned(machine, control, (3, fcntl.F_SETFL, os.O_RDWR | os.O_NONBLOCK)) == ALLOWED
    for flags in (os.O_ASYNC, os.O_ASYNC | os.O_NONBLOCK, os.O_ASYNC | 1 << 32):
        assert returned(machine, control, (3, fcntl.F_SETFL, flags)) == DENIED | errno.EPERM
    for command in {*range(2000)} - ALLOWED_COMMANDS:
        assert returned(machine, control, (3, command, 0)) == DENIED | errno.EPERM
    assert returned(machine, next(iter(plain)), architecture=0x40000003) == 0x80000000


def test_a_machine_without_a_table_of_calls_has_no_filter() -> None:
    with pytest.raises(OSError, match="no table of system calls for riscv64"):
        seccomp.program("riscv64")
