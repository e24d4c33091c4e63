"""Assets as each version of a DAG has them, for statements that name a version."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0009"
down_revision = "s0008"


def upgrade() -> None:
    """Show them to the query service."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Show them no more."""
    run("DROP VIEW catalog.version_relations")
