"""A staged generation is built over a sample range first, where its DAG says so."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0015"
down_revision = "s0014"


def upgrade() -> None:
    """Add the range; without one a generation is built whole."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Take it away. What is built over a range is staged no more: an older release would take it for whole."""
    run(
        "UPDATE dag_current_versions SET staged_version_id = NULL, staged_at = NULL, ready_at = NULL,"
        " approved_version_id = NULL WHERE staged_version_id IN (SELECT v.dag_version_id"
        " FROM dag_version_jobs v JOIN jobs j ON j.id = v.job_id WHERE j.preview IS NOT NULL)"
    )
    run("ALTER TABLE jobs DROP COLUMN preview")
