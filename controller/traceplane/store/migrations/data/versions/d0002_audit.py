"""Results of queries, accesses to personal data, and invalidations that state has not heard of yet."""

from traceplane.store.migrations import run, run_file_beside

revision = "d0002"
down_revision = "d0001"


def upgrade() -> None:
    """Make the tables; the query service may add to them."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Drop them, audit included: dump what must be kept first."""
    run("DROP VIEW trace.unrelayed_invalidations")
    run("DROP TABLE trace.query_results, trace.pii_access_log")
    run("REVOKE USAGE ON SCHEMA trace FROM trace_query")
