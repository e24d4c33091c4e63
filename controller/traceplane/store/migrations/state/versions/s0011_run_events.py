"""How far run events were sent, and attempts by their ends."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0011"
down_revision = "s0010"


def upgrade() -> None:
    """Add both."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Drop both: an older release sends no events."""
    run("DROP TABLE run_event_positions")
    run("DROP INDEX task_attempts_finished_idx")
