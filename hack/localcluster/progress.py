"""Saying what is going on: a person who waits more than two seconds reads for what.

Everything goes to standard error, so that commands whose output is used by others (``path``, ``kubeconfig``,
``--print``) keep a clean standard output. On a terminal the running step is redrawn each second with its elapsed
time; elsewhere (CI logs) a line is printed at the start and then every fifteen seconds.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

QUIET_SECONDS = 2.0
LOG_EVERY_SECONDS = 15.0


def say(message: str) -> None:
    """Print one line to standard error."""
    print(message, file=sys.stderr, flush=True)


class Step:
    """One piece of work with a title, elapsed time and an optional changing detail."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._detail = ""
        self._started = time.monotonic()
        self._finished = threading.Event()
        self._shown = False
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def detail(self, text: str) -> None:
        """Say how far the step is; shown at the next redraw."""
        self._detail = text

    def __enter__(self) -> Step:
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._finished.set()
        self._ticker.join()
        elapsed = time.monotonic() - self._started
        if kind is not None:
            self._write(f"!! {self._title}: failed after {elapsed:.1f} s", last=True)
        elif self._shown or elapsed >= QUIET_SECONDS:
            self._write(f"ok {self._title} ({elapsed:.1f} s)", last=True)

    def _tick(self) -> None:
        terminal = sys.stderr.isatty()
        wait = QUIET_SECONDS
        while not self._finished.wait(wait):
            elapsed = time.monotonic() - self._started
            detail = f": {self._detail}" if self._detail else ""
            self._write(f".. {self._title}{detail} ({elapsed:.0f} s)", last=not terminal)
            self._shown = True
            wait = 1.0 if terminal else LOG_EVERY_SECONDS

    def _write(self, line: str, *, last: bool) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{line}" + ("\n" if last else ""))
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Run a block as a step: silent when it takes under two seconds, else shown with its elapsed time."""
    with Step(title) as running:
        yield running
