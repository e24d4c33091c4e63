"""Versions of a DAG are numbered, and one of them may be staged beside the active one."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0007"
down_revision = "s0006"


def upgrade() -> None:
    """Number the versions in the order of their making; every version so far was active when it was made."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Drop the numbers and the marks: an older release stages and purges nothing."""
    run("DELETE FROM outbox WHERE kind IN ('drop_hot_table', 'delete_prefix')")
    run("ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check")
    run(
        "ALTER TABLE outbox ADD CONSTRAINT outbox_kind_check"
        " CHECK (kind IN ('provision_hot_table', 'delete_hot_rows'))"
    )
    run("ALTER TABLE dag_current_versions DROP COLUMN staged_at, DROP COLUMN ready_at")
    run("ALTER TABLE dag_current_versions DROP COLUMN approved_version_id")
    run("ALTER TABLE dag_version_jobs DROP COLUMN definition")
    run("ALTER TABLE dag_version_datasets DROP COLUMN marks")
    run("ALTER TABLE dag_versions DROP COLUMN number, DROP COLUMN activated_at")
