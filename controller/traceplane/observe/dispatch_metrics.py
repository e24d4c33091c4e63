"""Metrics of the dispatcher, in Prometheus's base units with bounded labels: no job, task or worker names.

Counters count what this process did. Gauges of the queue, the outbox and the relay are read from the databases
by the `gauges` loop, so that every replica shows the same backlog and a scrape costs no query.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
"""The dispatcher's own, so that tests and other processes do not mix with it."""

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAITS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200)

CLAIMED = Counter("trace_tasks_claimed_total", "Tasks leased to workers.", registry=REGISTRY)
SUPERSEDED = Counter("trace_tasks_superseded_total", "Tasks completed by a newer one's run.", registry=REGISTRY)
ATTEMPTS = Counter("trace_task_attempts_total", "Attempts that ended.", ["result"], registry=REGISTRY)
STALE = Counter("trace_stale_fences_total", "Calls refused for a lost lease.", ["call"], registry=REGISTRY)
RETRIED = Counter("trace_tasks_retried_total", "Failed tasks queued again.", registry=REGISTRY)
ROUTED = Counter("trace_events_accepted_total", "Events accepted.", ["source"], registry=REGISTRY)
INVALIDATIONS = Counter("trace_invalidations_accepted_total", "Invalidations accepted.", registry=REGISTRY)
RELAY_REFUSED = Counter(
    "trace_relay_refused_total", "Rows of the source outbox that state cannot accept.", registry=REGISTRY
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
RELAY_PENDING = Gauge("trace_relay_pending", "Rows of the source outbox not relayed yet.", registry=REGISTRY)
RELAY_OLDEST = Gauge("trace_relay_oldest_seconds", "Age of the oldest of them.", registry=REGISTRY)
