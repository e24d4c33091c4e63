"""What sources know of their chain: what is final, what is not checked, how they are."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0005"
down_revision = "s0004"


def upgrade() -> None:
    """Add the marks of datasets, their finality, and the reports of running tasks."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Drop them: an older release goes by the finality depth alone."""
    run("DROP TABLE dataset_finality")
    run("ALTER TABLE dataset_versions DROP COLUMN sparse, DROP COLUMN unverified")
    run("ALTER TABLE tasks DROP COLUMN report")
