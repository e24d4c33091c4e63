"""Batch queries."""

from traceplane.store.migrations import run, run_file_beside

revision = "d0003"
down_revision = "d0002"


def upgrade() -> None:
    """Make the table; the query service may add rows and move them on."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Drop it, with the queries that wait: the answers given stay."""
    run("DROP TABLE trace.query_batches")
