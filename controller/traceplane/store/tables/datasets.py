"""What is produced and where it lies: datasets, their versions, what each version holds, and who may read it.

A dataset is (DAG, job, output) with a stable id; a dataset version is one generation of it with a place of its
own (a hot table or a cold prefix), so generations coexist and only pointers in this database decide which one
is read. Coverage is kept as ranges: `partition_versions` for cold commits, `dataset_cursors` for how far each
consumer read, `dataset_finality` for how far a dataset will not change any more, `relocations` for hot rows that
now live in cold files.

A partition remembers the transactions that committed and superseded it. So which files a reader saw is a question
to Postgres's own snapshots, exact where a clock could not be: a transaction that began earlier may commit later.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    func,
)
from sqlalchemy import (
    text as sql,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT8MULTIRANGE

from traceplane.store.tables.columns import (
    XID8,
    big,
    document,
    identity,
    moment,
    one_of,
    org,
    stamped,
    state,
    text,
)


def _version(name: str = "dataset_version_id", **options: Any) -> Column[Any]:
    return Column(name, Uuid, ForeignKey("dataset_versions.id"), nullable=False, **options)


def _dataset() -> Column[Any]:
    return Column("dataset_id", Uuid, ForeignKey("datasets.id"), nullable=False)


datasets = Table(
    "datasets",
    state,
    identity(),
    org(),
    text("namespace"),
    text("dag"),
    text("job"),
    text("output"),
    text("storage"),
    stamped("created_at"),
    UniqueConstraint("org_id", "namespace", "dag", "job", "output"),
    one_of("storage", "Postgres", "S3"),
)

dataset_versions = Table(
    "dataset_versions",
    state,
    identity(),
    org(),
    _dataset(),
    Column("job_id", Uuid, ForeignKey("jobs.id"), nullable=False),
    text("config_hash"),
    text("schema_hash"),
    text("storage"),
    text("location"),
    document("columns"),
    Column("unique_key", ARRAY(Text), nullable=False),
    text("scope_column"),
    Column("sort_by", ARRAY(Text), nullable=False),
    document("indexes", server_default="[]"),
    big("finality_depth", null=True),
    big("first_value", null=True),
    moment("provisioned_at"),
    stamped("created_at"),
    Column("sparse", Boolean, nullable=False, server_default=false()),
    Column("unverified", ARRAY(Text), nullable=False, server_default="{}"),
    moment("purged_at"),
    UniqueConstraint("dataset_id", "config_hash"),
    one_of("storage", "Postgres", "S3"),
    Index(None, "job_id"),
)

dag_version_datasets = Table(
    "dag_version_datasets",
    state,
    Column("dag_version_id", Uuid, ForeignKey("dag_versions.id", ondelete="CASCADE"), primary_key=True),
    Column("dataset_id", Uuid, ForeignKey("datasets.id"), primary_key=True),
    org(),
    _version(),
    document("marks", server_default="{}"),
    Index(None, "dataset_version_id"),
)

assets = Table(
    "assets",
    state,
    Column("org_id", Uuid, ForeignKey("orgs.id"), primary_key=True),
    text("namespace", primary_key=True),
    text("name", primary_key=True),
    text("storage"),
    document("federation", null=True),
    text("description"),
    Column("read_roles", ARRAY(Text), nullable=False, server_default="{}"),
    document("policy"),
    text("resource_uid"),
    stamped("updated_at"),
    moment("deleted_at"),
    one_of("storage", "Postgres", "S3", "Federated"),
    CheckConstraint("(storage = 'Federated') = (federation IS NOT NULL)", name="federation"),
)

dag_version_assets = Table(
    "dag_version_assets",
    state,
    Column("dag_version_id", Uuid, ForeignKey("dag_versions.id", ondelete="CASCADE"), primary_key=True),
    text("asset", primary_key=True),
    org(),
    _dataset(),
)

asset_publications = Table(
    "asset_publications",
    state,
    Column("org_id", Uuid, ForeignKey("orgs.id"), primary_key=True),
    text("namespace", primary_key=True),
    text("asset", primary_key=True),
    text("dag"),
    _dataset(),
    Index(None, "org_id", "namespace", "dag"),
)

partition_versions = Table(
    "partition_versions",
    state,
    identity(),
    org(),
    _dataset(),
    _version(),
    text("partition_key"),
    big("range_start", null=True),
    big("range_end", null=True),
    text("location"),
    document("files"),
    big("rows"),
    big("bytes"),
    text("manifest_sha256"),
    Column("task_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    stamped("committed_at"),
    moment("superseded_at"),
    Column("committed_xid", XID8, nullable=False, server_default=func.pg_current_xact_id()),
    Column("superseded_xid", XID8),
    CheckConstraint("range_start <= range_end", name="range"),
    CheckConstraint("rows >= 0 AND bytes >= 0", name="sizes"),
    Index(None, "dataset_version_id"),
    Index(
        "partition_versions_current_key",
        "dataset_version_id",
        "partition_key",
        unique=True,
        postgresql_where=sql("superseded_at IS NULL"),
    ),
    Index(
        "partition_versions_range_idx",
        sql("int8range(range_start, range_end, '[]'::text)"),
        postgresql_using="gist",
        postgresql_where=sql("superseded_at IS NULL AND range_start IS NOT NULL"),
    ),
)

dataset_cursors = Table(
    "dataset_cursors",
    state,
    _version(primary_key=True),
    Column("job_id", Uuid, ForeignKey("jobs.id"), primary_key=True),
    org(),
    _dataset(),
    text("cursor_column"),
    big("cursor_value"),
    stamped("updated_at"),
    Index(None, "job_id"),
)

dataset_finality = Table(
    "dataset_finality",
    state,
    _version(primary_key=True),
    org(),
    big("final_value"),
    stamped("updated_at"),
)

data_invalidations = Table(
    "data_invalidations",
    state,
    Column("id", Uuid, primary_key=True),
    org(),
    _dataset(),
    _version(),
    Column("sequence", BigInteger, Identity(always=True), nullable=False, unique=True),
    text("kind"),
    big("range_start", null=True),
    big("range_end", null=True),
    moment("time_start"),
    moment("time_end"),
    text("reason"),
    document("detail"),
    stamped("created_at"),
    moment("processed_at"),
    one_of("kind", "Rows"),
    CheckConstraint("range_start <= range_end", name="range"),
    Index(
        "data_invalidations_open_idx",
        "dataset_version_id",
        "sequence",
        postgresql_where=sql("processed_at IS NULL"),
    ),
)

relocations = Table(
    "relocations",
    state,
    _version("hot_version_id", primary_key=True),
    _version("cold_version_id", primary_key=True),
    org(),
    Column("ranges", INT8MULTIRANGE, nullable=False),
    stamped("updated_at"),
)
