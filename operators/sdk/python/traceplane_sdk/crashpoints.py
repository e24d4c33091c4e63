"""The places between two effects of a run where a drill may end the process.

Operators know nothing of how a process is ended: they pass these names to whatever the process around them lent
(`TaskIO.crash_point`), which does nothing outside a drill.
"""

from __future__ import annotations

HOT_FENCED = "hot.fenced"
"""The fence is locked, no row is written."""
HOT_WRITTEN = "hot.written"
"""Rows are written, their events are not."""
HOT_BEFORE_COMMIT = "hot.before_commit"
HOT_COMMITTED = "hot.committed"
"""The transaction is durable, its writer does not know it yet."""
COLD_FILE = "cold.file_stored"
COLD_MANIFEST = "cold.manifest_stored"
COLD_SEALED = "cold.sealed"
"""`_SUCCESS` is stored, the completion is not sent."""

ALL = (
    HOT_FENCED,
    HOT_WRITTEN,
    HOT_BEFORE_COMMIT,
    HOT_COMMITTED,
    COLD_FILE,
    COLD_MANIFEST,
    COLD_SEALED,
)


def no_crash(_name: str) -> None:
    """What a process outside a drill does at a crash point."""
