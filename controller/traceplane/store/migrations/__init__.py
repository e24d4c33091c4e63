"""Schema changes of both databases, one alembic branch each: `state/versions` and `data/versions`.

A revision is forward-only in production and still tested down on a filled database, since a rollback of a failed
release needs the way back. Its SQL stands beside it where DDL says more than Python would.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import op


def run(script: str) -> None:
    """Run SQL statements, without parameters, on the driver's connection inside the migration's transaction."""
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute(script)


def run_file_beside(revision_file: str) -> None:
    """Run the `.sql` file that stands beside a revision's module."""
    run(Path(revision_file).with_suffix(".sql").read_text())
