"""The first schema of data: write fences, the source outbox, and who may touch hot tables.

The DDL is the file beside this one. It runs as one script on the driver's own connection, inside the
migration's transaction: all of it, or nothing.
"""

from traceplane.store.migrations import run, run_file_beside

revision = "d0001"
down_revision = None


def upgrade() -> None:
    """Make everything, on an empty database."""
    run_file_beside(__file__)
    run("GRANT SELECT ON trace_schema_data TO trace_writer, trace_query")


def downgrade() -> None:
    """Drop everything this revision made. Refuses (dependent objects) while hot tables hold data."""
    run(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA hot REVOKE ALL ON TABLES FROM trace_writer;"
        "ALTER DEFAULT PRIVILEGES IN SCHEMA hot REVOKE ALL ON TABLES FROM trace_query"
    )
    run("DROP TABLE trace.source_outbox, trace.write_fences")
    run("DROP FUNCTION trace.notify_source()")
    run("DROP SCHEMA hot; DROP SCHEMA trace")
