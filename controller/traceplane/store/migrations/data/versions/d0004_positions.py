"""How far a writer has got, and which values of a sparse output have no row."""

from traceplane.store.migrations import run, run_file_beside

revision = "d0004"
down_revision = "d0003"


def upgrade() -> None:
    """Add both; a writer's position is unknown until its next transaction."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Drop them: an older release would take values without a row for gaps, and ask the chain for them again."""
    run("DROP TABLE trace.empty_ranges")
    run("ALTER TABLE trace.write_fences DROP COLUMN position, DROP COLUMN position_epoch")
