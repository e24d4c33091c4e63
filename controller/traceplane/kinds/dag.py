"""DAG: a named graph of jobs, versioned by the hash of its content."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from traceplane.kinds.fields import (
    LABEL,
    MAX_JOBS,
    AssetName,
    Count,
    Duration,
    Label,
    OutputName,
    Priority,
    QueueDepth,
    ScopeValue,
    Seconds,
)
from traceplane.kinds.fields import Text as Line
from traceplane.kinds.job import InlineJob
from traceplane.kinds.job_rules import QUEUE_RULES
from traceplane.kinds.meta import (
    AGE,
    Column,
    Conditions,
    Failures,
    ObservedGeneration,
    Resource,
    TaskCounts,
    condition_column,
)
from traceplane.kinds.rules import ListMap, Model, Rule


class Defaults(Model):
    """What a job of this DAG takes where it says nothing itself."""

    rules: ClassVar[tuple[Rule, ...]] = QUEUE_RULES

    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(3, description="Attempts before a task is dead.")
    heartbeat_timeout_seconds: Seconds = Field(
        120, description="An attempt that does not heartbeat for this long has failed."
    )
    priority: Priority = Field("Normal", description="Bulk is claimed last.")
    max_queue_depth: QueueDepth | None = Field(None, description="Backpressure. Not supported yet.")
    max_queue_age: Duration | None = Field(None, description="Backpressure. Not supported yet.")


class PreviewRange(Model):
    """Values of the sources' scope column, such as block numbers; both ends are inclusive."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.start <= self.end",
            lambda range_: range_.start <= range_.end,
            "start may not lie after end; both are part of the range",
            "start",
        ),
    )

    start: ScopeValue = Field(description="First value.")
    end: ScopeValue = Field(description="Last value.")


class Preview(Model):
    """A sample of a new version, to be looked at before the rest is built."""

    range: PreviewRange = Field(description="What is built: every partition that touches it.")


class Rollout(Model):
    """How a new version takes over."""

    cutover: Literal["Auto", "Manual"] = Field(
        "Auto", description="Auto takes over as soon as the new version is ready; Manual waits for an approval."
    )
    preview: Preview | None = Field(
        None, description="A staged version is built over this only, and does not take over until it is removed."
    )


class PublishFrom(Model):
    """The dataset that is published."""

    job: Label = Field(description="Job of this DAG.")
    output: OutputName = Field(description="Name of one of its outputs.")


class Publish(Model):
    """An output under a public name."""

    asset: AssetName = Field(description="Name of the Asset; its table name has `_` for `-`.")
    from_: PublishFrom = Field(alias="from", description="The output to publish.")


class DAGSpec(Model):
    """The jobs and what they share."""

    defaults: Defaults = Field(
        default_factory=Defaults,
        description="Taken by jobs that say nothing themselves.",
        json_schema_extra={"default": {}},
    )
    rollout: Rollout = Field(
        default_factory=Rollout,
        description="How a new version takes over.",
        json_schema_extra={"default": {}},
    )
    jobs: Annotated[list[InlineJob], Field(max_length=MAX_JOBS), ListMap("name")] = Field(
        default_factory=list, description="The nodes; Job objects with spec.dag join them."
    )
    publish: Annotated[list[Publish], Field(max_length=MAX_JOBS), ListMap("asset")] = Field(
        default_factory=list, description="Outputs under public names."
    )


class DAGStatus(Model):
    """Counts and the last few failures: small whatever the size of the DAG."""

    observed_generation: ObservedGeneration = 0
    conditions: Conditions = Field(default_factory=list)
    active_version: Line | None = Field(None, description="The version that works and serves: `v3-1f0c9a2e`.")
    staged_version: Line | None = Field(None, description="The version that is built beside it.")
    progress: Line | None = Field(None, description="How much of the staged version is built: `37%`.")
    spec_hash: Line | None = Field(None, description="Hash of the active version.")
    jobs: Count | None = Field(None, description="Jobs of the active version.")
    jobs_ready: Count | None = Field(None, description="Jobs that are ready.")
    tasks: TaskCounts | None = Field(None, description="How many tasks are alive, by state.")
    failures: Failures = Field(default_factory=list)


class DAG(Resource):
    """A named graph of jobs."""

    plural: ClassVar[str] = "dags"
    singular: ClassVar[str] = "dag"
    columns: ClassVar[tuple[Column, ...]] = (
        condition_column("Valid", "Valid"),
        condition_column("Ready", "Ready"),
        condition_column("Reason", "Ready", "reason"),
        Column("Jobs", "integer", ".status.jobs", "Jobs of the active version."),
        Column("Queued", "integer", ".status.tasks.queued", "Tasks that wait."),
        Column("Running", "integer", ".status.tasks.running", "Tasks that run."),
        Column("Dead", "integer", ".status.tasks.dead", "Tasks that failed for good."),
        AGE,
        Column("Version", "string", ".status.activeVersion", "The version that works and serves."),
        Column("Staged", "string", ".status.stagedVersion", "The version that is built beside it.", wide=True),
        Column("Progress", "string", ".status.progress", "How much of the staged version is built."),
        condition_column("Message", "Ready", "message", wide=True),
        condition_column("Problems", "Valid", "message", wide=True),
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"self.metadata.name.matches('{LABEL}')",
            lambda dag: bool(re.fullmatch(LABEL, dag.metadata.name)),
            "metadata.name must be a DNS-1123 label of at most 63 characters: it becomes the label trace.dev/dag",
            "metadata.name",
        ),
    )

    spec: DAGSpec
    status: DAGStatus | None = None
