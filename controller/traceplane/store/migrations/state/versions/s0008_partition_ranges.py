"""Current partitions are found by the range that they cover."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0008"
down_revision = "s0007"


def upgrade() -> None:
    """Add the index: a claim looks up the files of a relocated range in it."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Drop it."""
    run("DROP INDEX partition_versions_range_idx")
