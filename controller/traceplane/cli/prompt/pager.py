"""Lines for a person: at once where they fit the screen, else through PAGER, or less."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

from rich.cells import cell_len

LESS = "-SX"
"""Long lines are not folded but scrolled, and stay on the screen afterwards."""
PROMPT_LINES = 2
"""Lines of a screen that are needed below an answer: what is said of it, and the prompt."""


def show(lines: Sequence[str]) -> None:
    """Print `lines`, paged where they are more, or wider, than the screen shows."""
    text = "".join(f"{line}\n" for line in lines)
    size = shutil.get_terminal_size()
    fits = len(lines) <= size.lines - PROMPT_LINES and all(cell_len(line) <= size.columns for line in lines)
    pager = _command()
    if fits or not pager:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        _page(pager, text)


def _command() -> list[str]:
    """The pager; nothing where the user wants none, or there is none."""
    given = os.environ.get("PAGER")
    if given is None:
        return ["less"] if shutil.which("less") else []
    words = shlex.split(given)
    return words if words and shutil.which(words[0]) else []


def _page(pager: list[str], text: str) -> None:
    # Ctrl-C is the pager's while it runs. A handler, since what is ignored would be ignored by the pager as well.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        environment = {"LESS": LESS, "LESSCHARSET": "utf-8", **os.environ}
        with subprocess.Popen(pager, stdin=subprocess.PIPE, env=environment) as process:
            process.communicate(text.encode())
    finally:
        signal.signal(signal.SIGINT, before)
