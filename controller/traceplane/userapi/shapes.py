"""What the user API answers, as types: the OpenAPI document is generated from them, and tests hold answers to them.

Times are RFC 3339, block ranges inclusive. A page's `next_cursor` is given back as `?cursor=`; null ends the list.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

import msgspec

Item = TypeVar("Item")

Status = Literal["Queued", "Running", "Completed", "Failed", "Canceled"]


class Page(msgspec.Struct, Generic[Item]):
    """Some of a list, in order."""

    items: list[Item]
    next_cursor: str | None


class Dag(msgspec.Struct):
    """A living DAG; `jobs` counts those of its active version. Versions are named `v3-1f0c9a2e`."""

    namespace: str
    name: str
    active_version: str | None
    staged_version: str | None
    spec_hash: str | None
    updated_at: datetime
    jobs: int


class DagVersion(msgspec.Struct):
    """One immutable definition of a DAG. `activated_at`: when it became active last; null: it never was, or its
    data was purged (`purged_at`), and it can only be built anew."""

    id: UUID
    name: str
    spec_hash: str
    created_at: datetime
    activated_at: datetime | None
    purged_at: datetime | None
    active: bool
    staged: bool


class ScopeRange(msgspec.Struct):
    """Values of a scope column; both ends are inclusive."""

    start: int
    end: int


class DagJob(msgspec.Struct):
    """A job of the active version, with what is live in its queue."""

    name: str
    id: UUID
    operator: str
    activation: str
    runtime: str
    execution_strategy: str | None
    update_strategy: str
    config_hash: str
    paused: bool
    provisioned: bool
    max_workers: int
    max_concurrency: int | None
    queued: int
    running: int
    retrying: int
    oldest_queued_at: datetime | None


class Report(msgspec.Struct):
    """What a running source said of itself: `position` is the last value written, `head` the last one known."""

    healthy: bool
    message: str
    position: int | None
    head: int | None


class Task(msgspec.Struct):
    """One task. `result` is that of its last attempt, `error` what it died of, `report` a running source's last."""

    id: UUID
    job: str
    job_id: UUID
    status: Status
    attempt: int
    max_attempts: int | None
    cause: str
    scope: dict[str, Any]
    worker_id: str | None
    queued_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    next_retry_at: datetime | None
    finished_at: datetime | None
    result: str | None
    error: dict[str, Any] | None
    report: Report | None


class OneTask(Task):
    """A task with its DAG. `cancel_requested`: its next heartbeat tells it to stop."""

    dag: str
    cancel_requested: bool


class AssetColumn(msgspec.Struct):
    """A column: `type` is the one that its operator declared, `sql_type` the one that a statement sees, null where
    this release does not know the type."""

    name: str
    type: str
    sql_type: str | None
    nullable: bool
    pii: bool
    description: str


class Asset(msgspec.Struct):
    """A published asset that the caller may read. `unverified`: rules that its rows were not checked against."""

    namespace: str
    name: str
    storage: Literal["Postgres", "S3", "Federated"]
    description: str
    read_roles: list[str]
    federation: dict[str, Any] | None
    dataset: UUID | None
    version: UUID | None
    columns: list[AssetColumn] | None
    scope_column: str | None
    cold_version: UUID | None
    provisioned: bool
    unverified: list[str]


class External(msgspec.Struct):
    """What an external asset is read from, and how its last refresh went. `content` is the SHA-256 of what was
    read; `version` is what readers get, null before anything was read."""

    source: str | None
    content: str | None
    version: str | None
    refreshed_at: datetime | None
    status: str | None
    error: dict[str, Any] | None


class Refresh(msgspec.Struct):
    """A refresh of an external asset. `version`, `rows` and `bytes` are what readers get now. What it came to, once
    it is Completed: `result`, and the version `before` it; null where a later one has completed since."""

    asset: str
    namespace: str
    task: UUID
    status: str
    error: dict[str, Any] | None
    next_retry_at: datetime | None
    result: Literal["Updated", "Unchanged", "Restored", "Held"] | None
    before: str | None
    version: str | None
    source: str | None
    content: str | None
    rows: int
    bytes: int


class AssetPreview(ScopeRange):
    """The staged version of the asset's DAG, and the range that it has of the asset for now."""

    version: str


class OneAsset(Asset):
    """An asset with how far it is. `sql_name` is its name in a statement. `cursor` is the newest value of the scope
    column that was announced, null where none was. `partitions`, `rows` and `bytes` are those of its cold files;
    rows of a hot table are not counted. `unique_key`: columns that identify a row; null without a version.
    `preview`: null unless a staged version is built over a sample range first."""

    sql_name: str
    cursor: int | None
    unique_key: list[str] | None
    partitions: int
    rows: int
    bytes: int
    preview: AssetPreview | None
    external: External | None
    """Null where a job makes it."""


class AssetVersion(msgspec.Struct):
    """One generation of a published dataset. `name`: the newest version of its DAG that has it. `kept`: how long
    `spec.retention` of its Assets keeps it."""

    id: UUID
    name: str | None
    dataset: UUID
    storage: Literal["Postgres", "S3"]
    config_hash: str
    schema_hash: str
    created_at: datetime
    active: bool
    kept: str


class Partition(msgspec.Struct):
    """A committed partition of a cold dataset."""

    key: str
    start: int | None
    end: int | None
    rows: int
    bytes: int
    location: str
    committed_at: datetime
    task_id: UUID
    attempt: int


class LineageVersion(msgspec.Struct):
    """A dataset version in the lineage of an asset, `distance` jobs away. `asset` is null where it is not published
    or the caller may not read it; `inputs` are the versions, of those shown, that its job reads."""

    version: UUID
    dataset: UUID
    namespace: str
    dag: str
    job: str
    output: str
    storage: Literal["Postgres", "S3"]
    asset: str | None
    side: Literal["Asset", "Upstream", "Downstream"]
    distance: int
    inputs: list[UUID]


class Lineage(msgspec.Struct):
    """An asset's own versions, what they are made from and what is made from them, the nearest first. `truncated`:
    there are more."""

    items: list[LineageVersion]
    truncated: bool


class RunInput(msgspec.Struct):
    """A dataset version that a run read; `start` and `end` where its range is known there too."""

    version: UUID
    namespace: str
    dag: str
    job: str
    output: str
    start: int | None
    end: int | None


class Run(msgspec.Struct):
    """A task and its attempt that made rows of a dataset version, `distance` jobs away from the asset. `partition`,
    `rows` and `bytes` are those of files; `dag_version` is the first that held the job as it was. `cause` is null
    where the task is forgotten, `finished_at` while it runs."""

    version: UUID
    namespace: str
    dag: str
    job: str
    output: str
    storage: Literal["Postgres", "S3"]
    partition: str | None
    start: int | None
    end: int | None
    rows: int | None
    bytes: int | None
    committed_at: datetime | None
    task_id: UUID | None
    attempt: int | None
    cause: str | None
    worker_id: str | None
    started_at: datetime | None
    finished_at: datetime | None
    operator: str
    config_hash: str
    dag_version: str | None
    inputs: list[RunInput]
    distance: int


class Runs(msgspec.Struct):
    """Who made rows of an asset, the nearest first. `truncated`: there are more."""

    items: list[Run]
    truncated: bool


class Wait(msgspec.Struct):
    """A job on the way from an asset back to its source, and why it has not made the value that was asked for, or
    what it does. `remedy` is empty where time is all it takes; `task_id` is the task that the message is about."""

    distance: int
    namespace: str
    dag: str
    job: str
    reason: Literal[
        "Done",
        "Inactive",
        "Provisioning",
        "Paused",
        "Queued",
        "Running",
        "Retrying",
        "Failed",
        "NotRunning",
        "Unhealthy",
        "Behind",
        "NotThereYet",
        "NotFinal",
        "WaitsForInput",
        "CaughtUp",
    ]
    message: str
    remedy: str
    task_id: UUID | None


class Explanation(msgspec.Struct):
    """The chain of waits of an asset, the nearest job first. `truncated`: there are more."""

    items: list[Wait]
    truncated: bool


class Version(msgspec.Struct):
    """A running release; `time` is its clock."""

    version: str
    api_version: str
    time: datetime


class Finding(msgspec.Struct):
    """Whether a part works. `remedy` is empty where it does."""

    name: str
    result: Literal["ok", "warning", "failed"]
    message: str
    remedy: str
