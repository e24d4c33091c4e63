"""Making a file or folder appear whole or not at all, and one process at a time.

Every cache entry and every generated file may be cut off by ``kill -9`` and may be wanted by two processes at once.
So things are made under a temporary name and renamed into place, and makers hold a lock of the kernel's, which
ends with its process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .progress import say

LEFTOVER_SECONDS = 6 * 3600.0
UNUSED_SECONDS = 30 * 24 * 3600.0


@contextmanager
def locked(path: Path, purpose: str, *, remove: bool = False) -> Iterator[None]:
    """Hold an exclusive lock; says so when it has to wait for another process.

    With ``remove`` the lock's file is gone afterwards too; who waited for it notices and locks its successor.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f".. {purpose}: waiting for another process that is at it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is_current(handle.fileno(), path):
                continue
            yield
            if remove:
                path.unlink()
            return


def _is_current(descriptor: int, path: Path) -> bool:
    """Whether the locked file is still the one under that name."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), named)


@contextmanager
def fresh_directory(target: Path) -> Iterator[Path]:
    """A temporary folder beside ``target`` that becomes ``target`` when the block ends well, and vanishes when not.

    The caller holds the lock of ``target``. Leftovers of killed makers are removed on the way.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(".making-*"):
        if time.time() - leftover.lstat().st_mtime > LEFTOVER_SECONDS or leftover.name.startswith(
            f".making-{target.name}-"
        ):
            shutil.rmtree(leftover, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=f".making-{target.name}-", dir=target.parent))
    making.chmod(0o755)
    try:
        yield making
        if target.exists():
            shutil.rmtree(target)
        making.rename(target)
    finally:
        if making.exists():
            shutil.rmtree(making, ignore_errors=True)


def write_file(path: Path, content: str | bytes, mode: int = 0o644) -> bool:
    """Write a file whole; returns whether its content changed (an equal file is left alone)."""
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(handle, "wb") as out:
        out.write(data)
        os.fchmod(out.fileno(), mode)
    Path(temporary).rename(path)
    return True


def mark_used(entry: Path) -> None:
    """Record that a cache entry was used now."""
    os.utime(entry)


def drop_unused(siblings: Path, keep: Path) -> None:
    """Remove entries beside ``keep`` that nobody used for thirty days: this is what bounds the cache."""
    for entry in siblings.iterdir():
        if (
            entry != keep
            and not entry.name.startswith(".")
            and time.time() - entry.stat().st_mtime > UNUSED_SECONDS
        ):
            shutil.rmtree(entry, ignore_errors=True)
