"""Job: one node of a DAG, inline in the DAG or an object of its own with `spec.dag`.

Fields without a default here take the DAG's `spec.defaults` or the platform's when the graph is assembled; a
default in the schema would hide the DAG's. Fields that Trace does not act upon yet are in the schema, because
they are part of the resource, and are refused by rules, because a field must never be accepted and ignored.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, WithJsonSchema

from traceplane.kinds.fields import (
    LABEL,
    LABEL_VALUE,
    MAX_COLUMNS,
    MAX_INPUTS,
    MAX_INT32,
    MAX_OUTPUTS,
    AssetName,
    ColumnName,
    Count,
    Duration,
    FreeForm,
    IdleTimeout,
    Label,
    OperatorName,
    OutputName,
    Priority,
    Quantity,
    QueueDepth,
    Seconds,
    Text,
)
from traceplane.kinds.job_rules import (
    INPUT_FROM,
    JOB_RULES,
    SCALING_RULES,
    SOURCE_RULES,
    TOLERATION_RULES,
)
from traceplane.kinds.meta import AGE, Column, Conditions, Failures, ObservedGeneration, Resource, condition_column
from traceplane.kinds.rules import INVALID, ListSet, Model, Rule

LabelValue = Annotated[str, Field(pattern=LABEL_VALUE, max_length=63)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
Quantities = Annotated[dict[str, Quantity], Field(max_length=16)]


class InputFrom(Model):
    """Where an input comes from: an output of a job of the same DAG, or an asset."""

    rules: ClassVar[tuple[Rule, ...]] = INPUT_FROM

    job: Label | None = Field(None, description="Job of the same DAG.")
    output: OutputName | None = Field(None, description="Name of one of that job's outputs.")
    asset: AssetName | None = Field(
        None,
        description="Published asset, of this DAG or another. Of another it is the version that readers get "
        "now: when that changes, the jobs behind it are rebuilt beside the running ones.",
    )
    namespace: Label | None = Field(
        None,
        description="Namespace of the asset, which lists this one in readNamespaces; its own where left out.",
    )


class Input(Model):
    """An edge into the job."""

    from_: InputFrom = Field(alias="from", description="The dataset to read.")
    trigger: bool = Field(True, description="False: read and pinned, but new data does not start the job.")
    where: Annotated[
        dict[str, Any] | None,
        Field(max_length=16),
        WithJsonSchema({"type": "object", "maxProperties": 16, "x-kubernetes-preserve-unknown-fields": True}),
    ] = Field(
        None,
        description="Column to constant or list of constants: the job reads the rows in which every one of these "
        "columns equals one of its constants. At most 256 constants.",
    )


class Source(Model):
    """How a source job is started."""

    rules: ClassVar[tuple[Rule, ...]] = SOURCE_RULES

    kind: Literal["AlwaysOn", "Cron", "Webhook", "Manual"] = Field(description="Only AlwaysOn is supported yet.")
    schedule: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="Cron: five fields: minute, hour, day of month, month, day of week."
    )
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, description="Cron: IANA time zone; UTC where left out."
    )
    path: Label | None = Field(None, description="Webhook: last part of the address.")
    secret_ref: ObjectName | None = Field(None, description="Webhook: name of the Secret with the HMAC key.")


class Bootstrap(Model):
    """What happens before the first run on a new dataset version."""

    reset_outputs: bool = Field(False, description="Empty the outputs first. True is not supported yet.")


class Udf(Model):
    """Untrusted user code. Not supported yet."""

    bundle: Label = Field(description="Name of a Bundle.")
    entrypoint: Annotated[str, Field(min_length=1, max_length=256)] = Field(description="Function to call.")


class Scaling(Model):
    """Bounds of the job's parallel work."""

    rules: ClassVar[tuple[Rule, ...]] = SCALING_RULES

    min_workers: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        None, description="Worker pods kept when there is no work; 0 where left out."
    )
    max_workers: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Most worker pods at once; 1 where left out."
    )
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="Most tasks at once, over all workers; unlimited where left out."
    )


class Resources(Model):
    """Requests and limits of the worker container."""

    requests: Quantities | None = Field(None, description="Where left out, cpu 100m and memory 256Mi.")
    limits: Quantities | None = Field(None, description="Where left out, cpu 1 and memory 2Gi.")


class Toleration(Model):
    """A Kubernetes toleration."""

    rules: ClassVar[tuple[Rule, ...]] = TOLERATION_RULES

    key: Annotated[str, Field(max_length=317)] | None = Field(
        None, description="Key of the taint; every key where left out, with operator Exists."
    )
    operator: Literal["Exists", "Equal"] | None = Field(
        None, description="Exists takes any value of the taint; Equal, which is the default, takes this one."
    )
    value: Annotated[str, Field(max_length=63)] | None = Field(None, description="Value of the taint, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; every effect where left out."
    )
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = Field(
        None, description="NoExecute only: how long a pod stays on a node with the taint; for ever where left out."
    )


class TopologySpread(Model):
    """Spreads the pods of the job over the nodes, zones or what else a node's label says."""

    topology_key: Annotated[str, Field(min_length=1, max_length=317)] = Field(description="Label of nodes.")
    max_skew: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="Most pods that one may have beyond another."
    )
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(
        "ScheduleAnyway", description="Whether a pod waits or runs where it cannot be spread so."
    )


UserId = Annotated[int, Field(ge=1, le=MAX_INT32)]


class Pod(Model):
    """What else the worker pods of a job carry. What the platform stands on is not among it."""

    labels: Annotated[dict[str, LabelValue], Field(max_length=16)] | None = Field(
        None, description="Added to the pods: plain keys, and with a prefix those of workers.jobKeys of the chart."
    )
    annotations: Annotated[dict[str, Text], Field(max_length=16)] | None = Field(
        None, description="Added to the pods: plain keys, and with a prefix those of workers.jobKeys of the chart."
    )
    image_pull_secrets: Annotated[list[ObjectName], Field(max_length=8), ListSet()] | None = Field(
        None, description="Secrets of registries, beside those of the chart."
    )
    priority_class_name: ObjectName | None = Field(
        None, description="One of workers.jobPriorityClasses of the chart."
    )
    topology_spread: Annotated[list[TopologySpread], Field(max_length=4)] | None = Field(
        None, description="How the pods are spread; instead of the chart's."
    )
    run_as_user: UserId | None = Field(None, description="User id, never 0; the chart's where left out.")
    run_as_group: UserId | None = Field(None, description="Group id, never 0; the chart's where left out.")
    fs_group: UserId | None = Field(None, description="Group of volumes, never 0; the chart's where left out.")


class JobTemplate(Model):
    """What a job is, wherever it is written."""

    rules: ClassVar[tuple[Rule, ...]] = JOB_RULES

    activation: Literal["Source", "Reactive"] = Field(
        description="Emits events by itself, or runs because of events."
    )
    runtime: Literal["Pod", "Lambda", "Dispatcher"] = Field(
        description="Where it runs. Lambda is not supported yet."
    )
    operator: OperatorName = Field(description="Name of the operator that does the work.")
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        None, description="Image that speaks the operator contract. Not supported yet."
    )
    outputs: Annotated[list[OutputName], Field(min_length=1, max_length=MAX_OUTPUTS), ListSet()] = Field(
        description="Names of the outputs; the position is the output index."
    )
    inputs: Annotated[list[Input], Field(min_length=1, max_length=MAX_INPUTS)] | None = Field(
        None, description="Reactive only: what the job reads; at least one input triggers."
    )
    execution_strategy: Literal["PerUpdate", "PerPartition"] | None = Field(
        None, description="Reactive only: one run over everything past the cursor, or one task a partition."
    )
    update_strategy: Literal["Append", "Replace"] = Field(
        description="Append adds rows by uniqueKey; Replace rewrites the scope of a run."
    )
    unique_key: Annotated[list[ColumnName], Field(min_length=1, max_length=MAX_COLUMNS), ListSet()] | None = Field(
        None, description="Columns that identify a row; required for Append."
    )
    scope_column: ColumnName | None = Field(
        None, description="Output column that ranges speak of; the operator's own where left out."
    )
    rebuild_token: Annotated[str, Field(max_length=256)] | None = Field(
        None, description="Any text; changing it rebuilds the job."
    )
    source: Source | None = Field(None, description="Source only: how it is started.")
    bootstrap: Bootstrap | None = Field(None, description="What happens before the first run.")
    udf: Udf | None = Field(None, description="Untrusted user code. Not supported yet.")
    secrets: Annotated[list[ObjectName], Field(max_length=16), ListSet()] | None = Field(
        None, description="Secrets for trusted pods. Not supported yet."
    )
    scaling: Scaling | None = Field(None, description="Reactive only: bounds of parallel work.")
    priority: Priority | None = Field(None, description="Bulk is claimed last.")
    max_queue_depth: QueueDepth | None = Field(None, description="Backpressure. Not supported yet.")
    max_queue_age: Duration | None = Field(None, description="Backpressure. Not supported yet.")
    timeout_seconds: Seconds | None = Field(
        None, description="Reactive only: longest attempt; 1800 in pods and 300 in the dispatcher where left out."
    )
    heartbeat_timeout_seconds: Seconds | None = Field(
        None, description="An attempt that does not heartbeat for this long has failed."
    )
    max_attempts: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="Reactive only: attempts before a task is dead."
    )
    idle_timeout: IdleTimeout | None = Field(
        None, description='How long an idle worker pod stays: 5m where left out, "0" leaves at once, never stays.'
    )
    resources: Resources | None = Field(None, description="Requests and limits of worker pods.")
    node_selector: Annotated[dict[str, LabelValue], Field(max_length=32)] | None = Field(
        None, description="Labels of the nodes that worker pods may run on."
    )
    tolerations: Annotated[list[Toleration], Field(max_length=32)] | None = Field(
        None, description="Taints that worker pods tolerate."
    )
    service_account_name: ObjectName | None = Field(
        None,
        description="Service account of worker pods, one of workers.jobServiceAccounts of the chart. Its token is "
        "not mounted.",
    )
    pod: Pod | None = Field(None, description="What else worker pods carry.")
    paused: bool = Field(False, description="True stops dispatch of this job.")
    config: FreeForm = Field(default_factory=dict, description="Checked against the operator's own config model.")


class InlineJob(JobTemplate):
    """A job inside a DAG."""

    name: Label = Field(description="Unique in the DAG.")


class JobSpec(JobTemplate):
    """A job as an object of its own."""

    dag: Label = Field(description="The DAG whose graph the job joins.")
    name: Label | None = Field(None, description="Name of the job in the DAG; metadata.name where left out.")


class JobStatus(Model):
    """What the controller last saw of the job."""

    observed_generation: ObservedGeneration = 0
    conditions: Conditions = Field(default_factory=list)
    job_id: Text | None = Field(None, description="Id of the job generation.")
    config_hash: Text | None = Field(None, description="Hash of all that decides the job's output.")
    workers: Count | None = Field(None, description="Pods that exist.")
    desired_workers: Count | None = Field(None, description="Pods wanted.")
    queued: Count | None = Field(None, description="Tasks that wait to be claimed.")
    running: Count | None = Field(None, description="Tasks that a worker runs.")
    retrying: Count | None = Field(None, description="Failed tasks that wait for a retry.")
    failed: Count | None = Field(None, description="Tasks that failed for good.")
    lag_seconds: Count | None = Field(None, description="Age of the oldest queued task.")
    cursor: int | None = Field(None, description="Newest value that the job has processed.")
    waiting: Text | None = Field(None, description="Why it does not get on, in one word; absent while it does.")
    failures: Failures = Field(default_factory=list)


class Job(Resource):
    """One node of a DAG."""

    plural: ClassVar[str] = "jobs"
    singular: ClassVar[str] = "job"
    short_names: ClassVar[tuple[str, ...]] = ("tjob",)
    selectable: ClassVar[tuple[str, ...]] = (".spec.dag",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("DAG", "string", ".spec.dag", "DAG that the job belongs to."),
        Column("Operator", "string", ".spec.operator", "What does the work."),
        Column("Runtime", "string", ".spec.runtime", "Where it runs."),
        condition_column("Ready", "Ready"),
        Column("Waiting", "string", ".status.waiting", "Why it does not get on."),
        Column("Workers", "integer", ".status.workers", "Pods that exist."),
        Column("Queued", "integer", ".status.queued", "Tasks that wait."),
        Column("Running", "integer", ".status.running", "Tasks that run."),
        Column("Failed", "integer", ".status.failed", "Tasks that failed for good."),
        Column("Lag", "integer", ".status.lagSeconds", "Seconds that the oldest queued task has waited."),
        AGE,
        condition_column("Message", "Ready", "message", wide=True),
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"has(self.spec.name) || self.metadata.name.matches('{LABEL}')",
            lambda job: job.spec.name is not None or bool(re.fullmatch(LABEL, job.metadata.name)),
            "metadata.name is the job's name in its DAG and must be a DNS-1123 label of at most 63 characters; "
            "choose another or set spec.name",
            "metadata.name",
            INVALID,
        ),
    )

    spec: JobSpec
    status: JobStatus | None = None

    @property
    def job_name(self) -> str:
        """The name of the node in its DAG."""
        return self.spec.name or self.metadata.name
