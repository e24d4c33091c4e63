"""Values from mounted files that change while the process runs.

Kubernetes swaps the files of a mounted Secret under a running pod, and a rotation must not need a restart. The
file is looked at again when its identity (inode, size, time) differs, at most once a second. A file that cannot
be read or parsed leaves the last good value in force, because a rotation half done must not lock everybody out; the
log says so once for each such state of the file, because a value that was to be withdrawn goes on counting.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from traceplane.errors import InvalidSettings

_log = structlog.get_logger("trace.mounted")

Value = TypeVar("Value")

LOOK_SECONDS = 1.0
_NOWHERE = (0, 0, 0)
"""Identity of a file that is not there."""


class Mounted(Generic[Value]):
    """The parsed content of a file, kept fresh. The first read happens here and raises InvalidSettings.

    With `absent` the file may be missing, and come and go: what `absent` returns is its value then.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], Value],
        *,
        absent: Callable[[], Value] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._parse = parse
        self._absent = absent
        self._clock = clock
        self._identity, self._value = self._read()
        self._looked = clock()
        self._bad: tuple[int, int, int] | None = None

    @property
    def value(self) -> Value:
        """The newest good value."""
        if self._clock() - self._looked >= LOOK_SECONDS:
            self.look()
        return self._value

    def look(self) -> Value:
        """The newest good value, of a look at the file now."""
        self._looked = self._clock()
        found = _NOWHERE
        try:
            found = self._look()
            if found != self._identity:
                self._identity, self._value = self._read()
                self._bad = None
        except InvalidSettings as error:
            if found != self._bad:
                self._bad = found
                _log.error("a mounted file is not used; what it held before still counts", error=error.message)
        return self._value

    def _look(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return _NOWHERE
        except OSError as error:
            raise InvalidSettings(f"cannot read {self._path}: {error.strerror}") from error
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self) -> tuple[tuple[int, int, int], Value]:
        identity = self._look()
        if identity == _NOWHERE and self._absent is not None:
            return identity, self._absent()
        try:
            return identity, self._parse(self._path.read_bytes())
        except OSError as error:
            raise InvalidSettings(f"cannot read {self._path}: {error.strerror}") from error
