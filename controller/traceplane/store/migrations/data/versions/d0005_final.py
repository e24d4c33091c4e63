"""Up to where a writer's rows are final."""

from traceplane.store.migrations import run, run_file_beside

revision = "d0005"
down_revision = "d0004"


def upgrade() -> None:
    """Add it; unknown until the writer's next transaction."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Drop it: an older release knows after a restart only what its providers call final then."""
    run("ALTER TABLE trace.write_fences DROP COLUMN final_value")
