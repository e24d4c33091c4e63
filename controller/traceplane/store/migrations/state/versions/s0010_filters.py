"""Which rows of its inputs a running attempt reads, as the query service may ask."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0010"
down_revision = "s0009"


def upgrade() -> None:
    """Add the function."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Take it away."""
    run("DROP FUNCTION catalog.claim_filters(uuid, uuid, integer, uuid, uuid)")
