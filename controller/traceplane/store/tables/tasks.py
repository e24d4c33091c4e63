"""The queue and its history: tasks, attempts, accepted events, the outbox, operators' own state.

`tasks` is the queue. Its check constraints are the last guard of the state machine (`tasks.states`): whatever code
is wrong above, a row cannot be Running without a lease, Queued with one, or Failed with neither a due retry nor an
end. Indexes are partial on the live statuses, so a finished task leaves them, and pages keep room (`fillfactor`)
for updates that touch no indexed column.

`lease_epochs` counts every claim ever made. A claim's number is the epoch under which its worker takes the
write fences in data, so a later attempt always outranks an earlier one.

`report` is what a running source said of itself last: `traceplane_sdk.wire.SourceReport`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Sequence,
    SmallInteger,
    Table,
    UniqueConstraint,
    Uuid,
    false,
    text,
    true,
)

from traceplane.store.tables.columns import big, document, identity, moment, one_of, org, stamped, state
from traceplane.store.tables.columns import text as words
from traceplane.tasks.states import Cause, Result, State

lease_epochs = Sequence("lease_epochs", metadata=state, data_type=BigInteger)

_LEASE = ("lease_token", "lease_epoch", "lease_expires_at", "claim_id", "worker_id")
_HELD = " AND ".join(f"{column} IS NOT NULL" for column in _LEASE)
_FREE = " AND ".join(f"{column} IS NULL" for column in _LEASE)

tasks = Table(
    "tasks",
    state,
    identity(),
    org(),
    words("namespace"),
    Column("job_id", Uuid, ForeignKey("jobs.id"), nullable=False),
    words("dedupe_key"),
    words("cause"),
    words("status", server_default="Queued"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("max_attempts", Integer),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    document("scope"),
    big("range_start", null=True),
    big("range_end", null=True),
    Column("event_id", Uuid),
    Column("invalidation_id", Uuid),
    stamped("queued_at"),
    Column("claim_id", Uuid),
    words("worker_id", null=True),
    Column("lease_token", Uuid),
    big("lease_epoch", null=True),
    moment("lease_expires_at"),
    moment("heartbeat_at"),
    moment("started_at"),
    moment("deadline_at"),
    moment("next_retry_at"),
    moment("finished_at"),
    document("error", null=True),
    document("outputs", null=True),
    words("result", null=True),
    Column("cancel_requested", Boolean, nullable=False, server_default=false()),
    document("report", null=True),
    UniqueConstraint("job_id", "dedupe_key"),
    one_of("cause", *Cause),
    one_of("status", *State),
    CheckConstraint("attempt >= 0 AND (max_attempts IS NULL OR max_attempts >= 1)", name="attempt"),
    CheckConstraint("priority IN (0, 1)", name="priority"),
    CheckConstraint(
        "(range_start IS NULL) = (range_end IS NULL) AND (range_start IS NULL OR range_start <= range_end)",
        name="range",
    ),
    CheckConstraint(
        f"status <> 'Running' OR (attempt >= 1 AND started_at IS NOT NULL AND {_HELD})", name="running_is_leased"
    ),
    CheckConstraint(
        f"status <> 'Queued' OR (next_retry_at IS NULL AND finished_at IS NULL AND {_FREE})",
        name="queued_is_free",
    ),
    CheckConstraint(
        "status NOT IN ('Completed', 'Canceled') OR (finished_at IS NOT NULL AND next_retry_at IS NULL)",
        name="terminal_has_end",
    ),
    CheckConstraint(
        "status <> 'Failed' OR (next_retry_at IS NULL) <> (finished_at IS NULL)", name="failed_retries_or_ends"
    ),
    CheckConstraint("status = 'Failed' OR next_retry_at IS NULL", name="retry_of_failed"),
    Index("tasks_queued_idx", "job_id", "priority", "queued_at", "id", postgresql_where=text("status = 'Queued'")),
    Index("tasks_lease_idx", "lease_expires_at", postgresql_where=text("status = 'Running'")),
    Index("tasks_canceled_idx", "job_id", postgresql_where=text("status = 'Canceled'")),
    Index("tasks_running_idx", "job_id", postgresql_where=text("status = 'Running'")),
    Index(
        "tasks_deadline_idx",
        "deadline_at",
        postgresql_where=text("status = 'Running' AND deadline_at IS NOT NULL"),
    ),
    Index(
        "tasks_retry_idx",
        "next_retry_at",
        postgresql_where=text("status = 'Failed' AND next_retry_at IS NOT NULL"),
    ),
    Index("tasks_failed_idx", "job_id", "finished_at", postgresql_where=text("status = 'Failed'")),
    postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02},
)

task_attempts = Table(
    "task_attempts",
    state,
    Column("task_id", Uuid, ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    org(),
    words("worker_id"),
    big("lease_epoch"),
    Column("lease_token", Uuid, nullable=False),
    moment("started_at", null=False),
    moment("finished_at", null=False),
    words("result"),
    document("error", null=True),
    one_of("result", *Result),
    Index("task_attempts_finished_idx", "finished_at"),
)

run_event_positions = Table(
    "run_event_positions",
    state,
    Column("org_id", Uuid, ForeignKey("orgs.id"), primary_key=True),
    moment("finished_at", null=False),
    Column("task_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    moment("announced_at", null=False),
    Column("holder", Uuid, nullable=False),
    moment("held_until", null=False),
)

relay_progress = Table(
    "relay_progress",
    state,
    Column("id", Boolean, primary_key=True, server_default=true()),
    moment("caught_up_at", null=False),
    CheckConstraint("id", name="one"),
)

outbox = Table(
    "outbox",
    state,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    org(),
    words("kind"),
    document("payload"),
    words("dedupe_key", null=True, unique=True),
    words("status", server_default="Pending"),
    stamped("available_at"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    words("last_error", null=True),
    stamped("created_at"),
    moment("finished_at"),
    one_of("kind", "provision_hot_table", "delete_hot_rows", "drop_hot_table", "delete_prefix", "move_views"),
    one_of("status", "Pending", "Done", "Failed"),
    CheckConstraint("(status = 'Pending') = (finished_at IS NULL)", name="end"),
    Index("outbox_due_idx", "available_at", "id", postgresql_where=text("status = 'Pending'")),
)

events = Table(
    "events",
    state,
    Column("id", Uuid, primary_key=True),
    org(),
    Column("dataset_id", Uuid, ForeignKey("datasets.id"), nullable=False),
    Column("dataset_version_id", Uuid, ForeignKey("dataset_versions.id"), nullable=False),
    words("kind"),
    big("cursor_value", null=True),
    words("partition_key", null=True),
    big("range_start", null=True),
    big("range_end", null=True),
    Column("producer_task_id", Uuid),
    stamped("created_at"),
    one_of("kind", "Cursor", "Partition"),
    CheckConstraint(
        "CASE kind WHEN 'Cursor' THEN cursor_value IS NOT NULL ELSE partition_key IS NOT NULL END", name="scope"
    ),
    CheckConstraint("range_start <= range_end", name="range"),
    Index(None, "dataset_version_id", "cursor_value"),
)

operator_state = Table(
    "operator_state",
    state,
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    words("key", primary_key=True),
    org(),
    document("value"),
    Column("task_id", Uuid),
    stamped("updated_at"),
)
