"""When a version was left, and that its data was purged: what is purged is marked first and forgotten
afterwards."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0014"
down_revision = "s0013"

_FORGET = (
    "DELETE FROM dataset_cursors WHERE job_id IN (SELECT id FROM jobs WHERE purged_at IS NOT NULL)",
    "DELETE FROM tasks WHERE job_id IN (SELECT id FROM jobs WHERE purged_at IS NOT NULL)",
    *(
        f"DELETE FROM {table} WHERE dataset_version_id IN"
        " (SELECT id FROM dataset_versions WHERE purged_at IS NOT NULL)"
        for table in (
            "dataset_cursors", "dataset_finality", "data_invalidations", "partition_versions", "events"
        )
    ),
    "DELETE FROM dataset_versions WHERE purged_at IS NOT NULL",
    "DELETE FROM jobs WHERE purged_at IS NOT NULL",
)  # fmt: skip


def upgrade() -> None:
    """Add the marks. Of former versions, the next one's activation is when they were left."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Forget what is marked, at once, since an older release would not know the mark."""
    run("DELETE FROM outbox WHERE kind = 'move_views'")
    run("ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check")
    run(
        "ALTER TABLE outbox ADD CONSTRAINT outbox_kind_check"
        " CHECK (kind IN ('provision_hot_table', 'delete_hot_rows', 'drop_hot_table', 'delete_prefix'))"
    )
    for statement in _FORGET:
        run(statement)
    run(
        "CREATE OR REPLACE VIEW catalog.versions AS"
        " SELECT d.org_id, d.namespace, d.dag, d.job, d.output, p.asset, d.id AS dataset_id,"
        " v.id AS dataset_version_id, v.storage, v.location, v.columns, v.scope_column,"
        " v.provisioned_at IS NOT NULL AS provisioned"
        " FROM datasets d JOIN dataset_versions v ON v.dataset_id = d.id"
        " LEFT JOIN asset_publications p ON p.dataset_id = d.id"
    )
    run("DROP INDEX partition_versions_dataset_version_id_idx, jobs_purged_at_idx")
    run("ALTER TABLE dataset_versions DROP COLUMN purged_at")
    run("ALTER TABLE jobs DROP COLUMN purged_at")
    run("ALTER TABLE dag_versions DROP COLUMN left_at, DROP COLUMN purged_at")
