"""A generation that comes back looks at what is new since it was left, and not at all that there is."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0013"
down_revision = "s0012"


def upgrade() -> None:
    """Add when a generation was left, and the index by which its canceled tasks are found."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Take them away."""
    run("DROP INDEX tasks_canceled_idx")
    run("ALTER TABLE jobs DROP COLUMN left_at")
