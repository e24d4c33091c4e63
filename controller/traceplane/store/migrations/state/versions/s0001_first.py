"""The first schema of state: tenancy, definitions, datasets, tasks, and the catalog's views.

The DDL is the file beside this one. It runs as one script on the driver's own connection, inside the
migration's transaction: all of it, or nothing.
"""

from traceplane.store.migrations import run, run_file_beside

revision = "s0001"
down_revision = None


def upgrade() -> None:
    """Make everything, on an empty database."""
    run_file_beside(__file__)
    run("GRANT SELECT ON trace_schema_state TO trace_query")


def downgrade() -> None:
    """Drop everything this revision made; group roles stay, since they belong to the server."""
    run("DROP SCHEMA catalog CASCADE")
    run(
        "DROP TABLE operator_state, events, outbox, task_attempts, tasks, relocations, data_invalidations,"
        " dataset_cursors, partition_versions, asset_publications, dag_version_assets, assets,"
        " dag_version_datasets, job_inputs, dataset_versions, datasets, dag_version_jobs, jobs,"
        " dag_current_versions, dag_versions, org_role_memberships, org_roles, users, orgs"
    )
    run("DROP SEQUENCE lease_epochs")
    run("DROP FUNCTION trace_uuid7()")
