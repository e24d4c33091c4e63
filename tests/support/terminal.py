"""`tracectl sql` at a terminal: a pseudo-terminal, and the screen that a person would see."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pyte

TRACECTL = str(Path(sys.executable).parent / "tracectl")
LINES, COLUMNS = 24, 100
SECONDS = 30.0


class Terminal:
    """A running `tracectl sql`, what it has written, and the screen after it."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._written = b""

    def type(self, text: str) -> None:
        """Press keys."""
        self.process.send(text)

    def line(self, text: str) -> None:
        """Press keys and Enter."""
        self.type(text + "\r")

    @property
    def screen(self) -> str:
        """What is on the screen."""
        return "\n".join(line.rstrip() for line in self._screen.display).strip("\n")

    def until(self, seen: Callable[[str], bool]) -> str:
        """Wait until the screen is as wanted; the screen. Fails with what it shows instead."""
        while not seen(self.screen):
            try:
                piece = self.process.read_nonblocking(65536, SECONDS)
            except (pexpect.TIMEOUT, pexpect.EOF) as error:
                raise AssertionError(f"{type(error).__name__}, and the screen shows\n{self.screen}") from None
            self._stream.feed(piece)
        return self.screen

    def shows(self, *texts: str) -> str:
        """Wait until every text is on the screen, above a prompt; the screen."""
        return self.until(lambda screen: all(text in screen for text in texts) and self.is_ready(screen))

    def is_ready(self, screen: str) -> bool:
        """Whether the last line is an empty prompt."""
        return screen.splitlines()[-1:] in (["trace=>"], ["default=>"])

    def ended(self) -> int:
        """Wait for the end; the exit code."""
        self.process.expect(pexpect.EOF, SECONDS)
        self.process.close()
        return int(self.process.exitstatus)


@contextmanager
def terminal(home: Path, *arguments: str, **environment: str) -> Iterator[Terminal]:
    """A `tracectl sql` that has shown its prompt; ended with the block."""
    process = pexpect.spawn(
        TRACECTL,
        ["sql", *arguments],
        # The screen here answers no question about the cursor.
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        | environment,
        dimensions=(LINES, COLUMNS),
        timeout=SECONDS,
    )
    try:
        shown = Terminal(process)
        shown.until(shown.is_ready)
        yield shown
    finally:
        process.close(force=True)
