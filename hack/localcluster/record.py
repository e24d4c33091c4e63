"""The few facts about a cluster that must outlive the command that chose them, kept as JSON in its folder.

The file is also the mark that a folder is a cluster's: ``up`` refuses a folder that holds other things, and
``down`` removes nothing without it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .atomic import write_file


@dataclass
class Record:
    """What was decided at the first ``up``; ``complete`` tells that an ``up`` came to its end."""

    path: Path
    subnet: str | None = None
    complete: bool = False

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read the record; a missing one is that of a cluster not made yet."""
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError:
            return cls(path)
        return cls(path, subnet=values["subnet"], complete=values["complete"])

    def save(self) -> None:
        """Write the record whole."""
        write_file(self.path, json.dumps({"subnet": self.subnet, "complete": self.complete}) + "\n")
