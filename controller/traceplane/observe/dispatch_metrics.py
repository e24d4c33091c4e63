"""Metrics of the dispatcher, in Prometheus's base units with bounded labels: no task or worker names.

Counters count what this process did: they are summed over replicas. Gauges of queues, sources, assets, the outbox
and the relay are read from the databases by loops, so that every replica shows the same and a scrape costs no
query: of them the largest of all replicas is taken. DAGs and jobs are named within a bound (see `registry`).
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from traceplane.observe.registry import JobLabels, registry

REGISTRY = registry("dispatcher")
"""The dispatcher's own, so that tests and other processes do not mix with it."""

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAITS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200)

CLAIMED = Counter("trace_tasks_claimed_total", "Tasks leased to workers.", registry=REGISTRY)
SUPERSEDED = Counter("trace_tasks_superseded_total", "Tasks completed by a newer one's run.", registry=REGISTRY)
ATTEMPTS = Counter(
    "trace_task_attempts_total", "Attempts that ended.", ["dag", "job_name", "result"], registry=REGISTRY
)
STALE = Counter("trace_stale_fences_total", "Calls refused for a lost lease.", ["call"], registry=REGISTRY)
RETRIED = Counter("trace_tasks_retried_total", "Failed tasks queued again.", registry=REGISTRY)
ROUTED = Counter("trace_events_accepted_total", "Events accepted.", ["source"], registry=REGISTRY)
INVALIDATIONS = Counter("trace_invalidations_accepted_total", "Invalidations accepted.", registry=REGISTRY)
RELAY_REFUSED = Counter(
    "trace_relay_refused_total", "Rows of the source outbox that state cannot accept.", registry=REGISTRY
)
VIEWS = Gauge(
    "trace_views",
    "Views of the data database: current, behind their DAG's pointer, refused since the name is not Trace's.",
    ["state"],
    registry=REGISTRY,
)
OUTBOX = Counter("trace_outbox_total", "Outbox rows tried.", ["kind", "result"], registry=REGISTRY)
HOT_ROWS_DELETED = Counter("trace_hot_rows_deleted_total", "Hot rows swept after compaction.", registry=REGISTRY)
REFUSED = Counter(
    "trace_task_api_refused_total", "Calls of the task API refused, by stable code.", ["code"], registry=REGISTRY
)
DENIED = Counter(
    "trace_denied_total",
    "Calls of users and tasks refused for who made them, or for how often, by stable code.",
    ["code"],
    registry=REGISTRY,
)
REQUESTS = Histogram(
    "trace_task_api_seconds",
    "Time to answer a call.",
    ["call"],
    buckets=_LATENCY,
    registry=REGISTRY,
)
SCHEDULE_TO_START = Histogram(
    "trace_schedule_to_start_seconds",
    "Time in the queue of the first task of each claim.",
    ["dag", "job_name"],
    buckets=_WAITS,
    registry=REGISTRY,
)
LOOP_PASSES = Counter("trace_loop_passes_total", "Passes of a loop.", ["loop", "result"], registry=REGISTRY)
LOOP_SECONDS = Histogram(
    "trace_loop_seconds", "Time of one pass of a loop.", ["loop"], buckets=_LATENCY, registry=REGISTRY
)

LONG_POLLS = Gauge("trace_long_polls", "Claims that wait for work.", registry=REGISTRY)
TASKS = Gauge("trace_tasks", "Tasks by state; Retrying is Failed with a retry due.", ["state"], registry=REGISTRY)
OLDEST_QUEUED = Gauge("trace_queue_oldest_seconds", "Age of the oldest queued task.", registry=REGISTRY)
NEXT_EXPIRY = Gauge(
    "trace_lease_next_expiry_seconds", "Time until the next lease ends; negative if one is late.", registry=REGISTRY
)
OUTBOX_PENDING = Gauge("trace_outbox_pending", "Outbox rows that wait, due ones only.", registry=REGISTRY)
OUTBOX_OLDEST = Gauge("trace_outbox_oldest_seconds", "How long the oldest due outbox row waits.", registry=REGISTRY)
OUTBOX_FAILED = Gauge("trace_outbox_failed", "Outbox rows given up.", registry=REGISTRY)
OUTBOX_FAILED_LATELY = Gauge(
    "trace_outbox_failed_last_hour", "Outbox rows given up within the last hour.", registry=REGISTRY
)
RELAY_PENDING = Gauge("trace_relay_pending", "Rows of the source outbox not relayed yet.", registry=REGISTRY)
RELAY_OLDEST = Gauge("trace_relay_oldest_seconds", "Age of the oldest of them.", registry=REGISTRY)

LINEAGE_EVENTS = Counter(
    "trace_openlineage_events_total",
    "OpenLineage run events: sent, refused by the receiver for good, or failed and to be tried again.",
    ["result"],
    registry=REGISTRY,
)
LINEAGE_OLDEST = Gauge(
    "trace_openlineage_oldest_unsent_seconds",
    "How long ago the attempt ended whose events are to be sent next; 0: none waits.",
    registry=REGISTRY,
)

RETRY_OVERDUE = Gauge(
    "trace_retry_overdue_seconds", "How long the retry that is due longest waits to be queued.", registry=REGISTRY
)
STORE_UP = Gauge(
    "trace_store_up",
    "1 where a store answered the dispatcher at its last look, 0 where not: state, data, objects.",
    ["store"],
    registry=REGISTRY,
)

_JOB = ["dag", "job_name"]
JOB_TASKS = Gauge(
    "trace_job_tasks",
    "Tasks of a job's running generations by state; Retrying is Failed with a retry due.",
    [*_JOB, "state"],
    registry=REGISTRY,
)
JOB_OLDEST = Gauge(
    "trace_job_queue_oldest_seconds", "Age of the job's oldest queued task; 0: none.", _JOB, registry=REGISTRY
)
JOB_NEAR_EXPIRY = Gauge(
    "trace_job_leases_near_expiry",
    "Running tasks whose lease has less than a third of its time left: their worker does not renew it.",
    _JOB,
    registry=REGISTRY,
)
SOURCE_RUNNING = Gauge(
    "trace_job_source_running", "1 while a source's run holds its lease. Not while paused.", _JOB, registry=REGISTRY
)
SOURCE_HEALTHY = Gauge(
    "trace_job_source_healthy", "1 while a source runs and says that it goes on.", _JOB, registry=REGISTRY
)
SOURCE_LAG = Gauge(
    "trace_job_source_lag_blocks",
    "How far a running source is behind the head that it knows, by its last report.",
    _JOB,
    registry=REGISTRY,
)
SOURCE_DEEP_REORG = Gauge(
    "trace_job_source_reorg_below_finality",
    "1 where a source stopped because its chain replaced a block that was final.",
    _JOB,
    registry=REGISTRY,
)

_ASSET = ["asset"]
ASSET_COMMITTED = Gauge(
    "trace_asset_last_commit_timestamp_seconds",
    "When rows of a published asset were last committed, in seconds since 1970; before the first, "
    "when its table or folder was made.",
    _ASSET,
    registry=REGISTRY,
)
ASSET_ROWS = Gauge(
    "trace_asset_rows",
    "Rows of a published asset: those of its partitions; of a hot table, Postgres's estimate.",
    _ASSET,
    registry=REGISTRY,
)
ASSET_BYTES = Gauge(
    "trace_asset_size_bytes",
    "Bytes of a published asset: of its files; of a hot table, with its indexes.",
    _ASSET,
    registry=REGISTRY,
)

NAMED = JobLabels(ATTEMPTS, SCHEDULE_TO_START)


def attempts_ended(dag: str, job: str, result: str, count: int = 1) -> None:
    """Attempts of a job ended with a result."""
    ATTEMPTS.labels(*NAMED.of(dag, job), result).inc(count)


def started(dag: str, job: str, waited_seconds: float) -> None:
    """A claim took tasks of a job, the first of which had waited so long."""
    SCHEDULE_TO_START.labels(*NAMED.of(dag, job)).observe(max(0.0, waited_seconds))
