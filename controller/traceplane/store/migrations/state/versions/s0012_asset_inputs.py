"""A DAG may read assets of others: what a person wrote has a hash apart from the versions that it means now."""

from traceplane.store.migrations import run, run_file_beside

revision = "s0012"
down_revision = "s0011"


def upgrade() -> None:
    """Add the hash of what was written, the index by which readers of a dataset version are found, and the names
    by which tasks know what other DAGs publish."""
    run_file_beside(__file__)


def downgrade() -> None:
    """Take them away."""
    run("DROP FUNCTION catalog.claim_assets(uuid, uuid, integer, uuid, uuid)")
    run("DROP INDEX job_inputs_dataset_version_id_idx")
    run("ALTER TABLE dag_versions DROP COLUMN written_hash")
