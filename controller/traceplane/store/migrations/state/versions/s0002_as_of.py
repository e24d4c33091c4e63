"""What a query needs to be repeated as of an earlier one: when files came and went, and what was invalidated since.

Partitions that exist already count as committed by this migration, since nobody holds an older pin.
"""

from traceplane.store.migrations import run, run_file_beside

revision = "s0002"
down_revision = "s0001"


def upgrade() -> None:
    """Remember transactions with partitions, and show history to the query service."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Forget them."""
    run("DROP VIEW catalog.versions, catalog.partition_history, catalog.invalidations")
    run("ALTER TABLE partition_versions DROP COLUMN committed_xid, DROP COLUMN superseded_xid")
