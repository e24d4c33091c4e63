"""One schema, said three times: by the migrations, by the declared tables, by the reviewed files."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import create_engine

from hack.generate import schema
from tests import services
from traceplane.store import migrate, tables

pytestmark = pytest.mark.services
BRANCHES = {"state": (migrate.STATE, tables.state), "data": (migrate.DATA, tables.data)}


@pytest.mark.parametrize("name", BRANCHES)
def test_migrated_declared_and_reviewed_schema_are_equal(
    name: str, databases: services.Databases, postgres: services.Postgres
):
    branch, declared = BRANCHES[name]
    empty = postgres.empty_databases()[0]
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(empty))
    declared.create_all(engine)
    engine.dispose()

    migrated = schema.dump(databases.state_dsn if name == "state" else databases.data_dsn, branch)
    assert schema.dump(empty, branch) == migrated
    assert schema.path(branch).read_text() == migrated, "run `make generate` and review the difference"


@pytest.mark.parametrize("name", BRANCHES)
def test_the_revision_this_release_knows_is_the_newest_migration(name: str):
    branch, _ = BRANCHES[name]
    assert migrate.scripts(branch).get_heads() == [branch.head]


@pytest.mark.parametrize("name", BRANCHES)
def test_a_dump_shows_a_difference(name: str, databases: services.Databases):
    """The twins are compared by dumps, so a dump must show what matters: an index, a check, a grant."""
    branch, _ = BRANCHES[name]
    dsn = databases.state_dsn if name == "state" else databases.data_dsn
    table = "tasks" if name == "state" else "trace.source_outbox"
    seen = [schema.dump(dsn, branch)]
    for change in (
        f"CREATE INDEX extra ON {table} (attempt) WHERE attempt > 1",
        f"ALTER TABLE {table} ADD CONSTRAINT extra_check CHECK (attempt < 10)",
        f"GRANT DELETE ON {table} TO trace_writer",
        f"ALTER TABLE {table} ALTER COLUMN attempt SET DEFAULT 7",
    ):
        with psycopg.connect(dsn) as connection:
            connection.execute(change)
        seen.append(schema.dump(dsn, branch))
    assert len(set(seen)) == len(seen)
