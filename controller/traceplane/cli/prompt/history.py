"""What was typed, from one prompt to the next: a file in the user's state folder, that only they may read.

A statement may quote what few may see, so the file is theirs alone; it keeps the newest KEPT entries, and none that
is longer than LONGEST.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

KEPT = 1000
LONGEST = 16 * 1024


class BoundedHistory(FileHistory):
    """A history file without long entries, and without old ones when it is opened."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
        kept = list(self.load_history_strings())
        if len(kept) > KEPT:
            self._replace(file, kept[:KEPT])

    def store_string(self, string: str) -> None:
        """Append an entry."""
        if len(string) <= LONGEST:
            super().store_string(string)

    def _replace(self, file: Path, newest_first: list[str]) -> None:
        shorter = file.with_name(f"{file.name}.{os.getpid()}")
        os.close(os.open(shorter, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        written = FileHistory(shorter)
        for entry in reversed(newest_first):
            written.store_string(entry)
        shorter.replace(file)


def opened() -> History:
    """The user's history; for this prompt alone where there is no place for a file."""
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        # A relative path is to be ignored (XDG Base Directory Specification).
        folder = (given if given.is_absolute() else Path.home() / ".local" / "state") / "trace"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return BoundedHistory(folder / "sql_history")
    except (OSError, RuntimeError) as error:  # the latter where there is no home
        sys.stderr.write(f"warning: the history of this prompt is not kept: {error}\n")
        return InMemoryHistory()
