"""What runs: DAG versions, the pointers that make one of them current, and job generations.

A DAG version is one immutable definition, known by the hash of its whole canonical spec. A row of `jobs` is a
job **generation**, known by the hash of what decides its output, and shared by every DAG version that holds it:
tasks, cursors and operator state hang on the generation, so an edit that does not change outputs loses none of
them. What such an edit does change (scaling, timeouts, priority) is in `dag_version_jobs`. A generation that is
staged may be built over a range only (`preview`); NULL: whole.

A version that was active once (`activated_at`) is whole: its generations are built, and it may be active again at
once. The staged version of a DAG is built beside the active one until it takes its place. `left_at` is when another
one took the place of either; `purged_at`, when its data was purged: then it can be built anew, and not gone back
to.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    UniqueConstraint,
    Uuid,
    false,
)
from sqlalchemy import (
    text as sql,
)
from sqlalchemy.dialects.postgresql import INT8RANGE

from traceplane.store.tables.columns import big, document, identity, moment, one_of, org, stamped, state, text

dag_versions = Table(
    "dag_versions",
    state,
    identity(),
    org(),
    text("namespace"),
    text("dag"),
    text("spec_hash"),
    document("spec"),
    stamped("created_at"),
    Column("number", Integer, nullable=False),
    moment("activated_at"),
    text("written_hash", null=True),
    moment("left_at"),
    moment("purged_at"),
    UniqueConstraint("org_id", "namespace", "dag", "spec_hash"),
    UniqueConstraint("org_id", "namespace", "dag", "number"),
)

dag_current_versions = Table(
    "dag_current_versions",
    state,
    Column("org_id", Uuid, ForeignKey("orgs.id"), primary_key=True),
    text("namespace", primary_key=True),
    text("dag", primary_key=True),
    Column("active_version_id", Uuid, ForeignKey("dag_versions.id")),
    Column("staged_version_id", Uuid, ForeignKey("dag_versions.id")),
    text("held_spec_hash", null=True),
    text("resource_uid"),
    big("resource_generation"),
    moment("deleted_at"),
    stamped("updated_at"),
    moment("staged_at"),
    moment("ready_at"),
    Column("approved_version_id", Uuid, ForeignKey("dag_versions.id")),
)

jobs = Table(
    "jobs",
    state,
    identity(),
    org(),
    text("namespace"),
    text("dag"),
    text("name"),
    text("config_hash"),
    text("operator"),
    text("activation"),
    text("execution_strategy", null=True),
    text("update_strategy"),
    document("definition"),
    moment("provisioned_at"),
    Column("paused", Boolean, nullable=False, server_default=false()),
    stamped("created_at"),
    moment("left_at"),
    moment("purged_at"),
    Column("preview", INT8RANGE),
    UniqueConstraint("org_id", "namespace", "dag", "name", "config_hash"),
    one_of("activation", "Source", "Reactive"),
    one_of("execution_strategy", "PerUpdate", "PerPartition"),
    one_of("update_strategy", "Append", "Replace"),
    CheckConstraint("(activation = 'Reactive') = (execution_strategy IS NOT NULL)", name="strategy_of_reactive"),
    Index(None, "purged_at", postgresql_where=sql("purged_at IS NOT NULL")),
)

dag_version_jobs = Table(
    "dag_version_jobs",
    state,
    Column("dag_version_id", Uuid, ForeignKey("dag_versions.id", ondelete="CASCADE"), primary_key=True),
    Column("job_id", Uuid, ForeignKey("jobs.id"), primary_key=True),
    org(),
    text("runtime"),
    Column("priority", SmallInteger, nullable=False),
    Column("max_attempts", Integer),
    Column("timeout_seconds", Integer),
    Column("heartbeat_timeout_seconds", Integer, nullable=False),
    Column("max_concurrency", Integer),
    Column("min_workers", Integer, nullable=False),
    Column("max_workers", Integer, nullable=False),
    Column("idle_timeout_seconds", Integer),
    document("placement"),
    document("definition", server_default="{}"),
    one_of("runtime", "Pod", "Dispatcher", "Lambda"),
    CheckConstraint("priority IN (0, 1)", name="priority"),
    CheckConstraint("max_attempts >= 1", name="max_attempts"),
    CheckConstraint("0 <= min_workers AND min_workers <= max_workers", name="workers"),
    Index(None, "job_id"),
)

job_inputs = Table(
    "job_inputs",
    state,
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    org(),
    Column("dataset_id", Uuid, ForeignKey("datasets.id"), nullable=False),
    Column("dataset_version_id", Uuid, ForeignKey("dataset_versions.id"), nullable=False),
    Column("is_trigger", Boolean, nullable=False),
    document("row_filter", null=True),
    Index(None, "dataset_version_id"),
    Index("job_inputs_trigger_idx", "dataset_version_id", "job_id", postgresql_where=sql("is_trigger")),
)
