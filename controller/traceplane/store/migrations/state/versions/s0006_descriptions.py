"""What people say of published assets, for statements that ask what there is."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0006"
down_revision = "s0005"


def upgrade() -> None:
    """Show descriptions to the query service."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Show them no more."""
    run("DROP VIEW catalog.descriptions")
