"""How far the rows that hot writers left are relayed, so that a cutover waits for them."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0016"
down_revision = "s0015"


def upgrade() -> None:
    """Add the one row's table; without the row nothing is known, and nothing waits."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Drop it."""
    run("DROP TABLE relay_progress")
