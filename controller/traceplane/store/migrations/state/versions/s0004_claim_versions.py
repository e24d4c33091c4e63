"""What a running attempt may read, as the query service may ask: where its token is too small to list it."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0004"
down_revision = "s0003"


def upgrade() -> None:
    """Add the function."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Take it away."""
    run("DROP FUNCTION catalog.claim_versions(uuid, uuid, integer, uuid, uuid)")
