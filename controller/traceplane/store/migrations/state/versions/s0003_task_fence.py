"""A task's fence, as the query service may ask about it: whether a lease is held, and nothing of any lease."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0003"
down_revision = "s0002"


def upgrade() -> None:
    """Add the function."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Take it away."""
    run("DROP FUNCTION catalog.holds_lease(uuid, uuid, integer, uuid, uuid)")
