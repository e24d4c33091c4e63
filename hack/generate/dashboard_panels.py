"""What the two Grafana dashboards show: one for those who operate Trace, one for those who use its data.

In the expressions, `$here` stands for the namespace that the dashboard is set to, `$dags` and `$assets` for that
and for the DAGs or assets chosen. The rules of docs/howto/prometheus.md hold: `max` of what the dispatcher read
from the databases, `rate` and then `sum` of counters.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """An expression, and how its series are named: labels in `{{...}}`, or words."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A graph of up to four queries, or with `now` their newest values alone; its unit is one of Grafana's."""

    title: str
    text: str
    queries: tuple[Query, ...]
    unit: str = "short"
    now: bool = False


@dataclass(frozen=True)
class Dashboard:
    """Rows of panels by their titles, and the labels that a reader chooses by: variable to metric and label."""

    uid: str
    title: str
    text: str
    variables: dict[str, tuple[str, str]]
    rows: dict[str, tuple[Panel, ...]]


def _one(title: str, text: str, expr: str, legend: str, unit: str = "short", now: bool = False) -> Panel:
    return Panel(title, text, (Query(expr, legend),), unit, now)


def _slow(title: str, text: str, metric: str, by: str = "", scope: str = "$here") -> Panel:
    """The 95th percentile of a histogram of seconds."""
    labels = ", ".join(["le", *filter(None, [by])])
    name = ", ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",")) if by else "95 %"
    expr = f"histogram_quantile(0.95, sum by ({labels}) (rate({metric}_bucket{{{scope}}}[$__rate_interval])))"
    return _one(f"{title} (95 %)", text, expr, name, "s")


def _rate(title: str, text: str, metric: str, by: str, scope: str = "$here", unit: str = "short") -> Panel:
    name = ", ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return _one(title, text, f"sum by ({by}) (rate({metric}{{{scope}}}[$__rate_interval]))", name, unit)


def _job(title: str, text: str, metric: str, unit: str = "short", scope: str = "$here") -> Panel:
    return _one(title, text, f"max by (dag, job_name) ({metric}{{{scope}}})", "{{dag}}.{{job_name}}", unit)


OPERATION = Dashboard(
    "trace-operation",
    "Trace: operation",
    "Whether the processes of Trace do their work: reconcile, queues, outbox, stores.",
    {},
    {
        "Processes": (
            _one("Processes", "That are scraped.", "count by (process) (trace_build_info{$here})", "{{process}}",
                 now=True),
            # Those of the plain rule file have no namespace.
            _one("Alerts", "That fire. The runbooks say what to do.",
                 'count(ALERTS{namespace=~"$namespace|", alertname=~"Trace.*", alertstate="firing"}) or vector(0)',
                 "firing", now=True),
            _one("Stores", "1: the store answers every dispatcher.", "min by (store) (trace_store_up{$here})",
                 "{{store}}", now=True),
            _one("Leader", "The controllers that hold the Lease: 1.", "sum(trace_controller_leader{$here})",
                 "leaders", now=True),
            _one("CPU", "Cores in use.", "sum by (pod) (rate(process_cpu_seconds_total{$here}[$__rate_interval]))",
                 "{{pod}}"),
            _one("Memory", "Of the processes, by pod.", "sum by (pod) (process_resident_memory_bytes{$here})",
                 "{{pod}}", "bytes"),
            _one("Certificates and tokens", "Time until the first of a kind ends.",
                 "min by (credential) (trace_credential_expiry_timestamp_seconds{$here}) - time()",
                 "{{credential}}", "s"),
        ),
        "Reconcile": (
            _rate("Reconciles", "A second, by kind and result.", "trace_reconcile_total", "kind, result"),
            _slow("Time of a reconcile", "By kind.", "trace_reconcile_duration_seconds", "kind"),
            _one("Lag", "Age of the oldest change that is not brought about.",
                 "max by (kind) (trace_reconcile_lag_seconds{$here})", "{{kind}}", "s"),
            _one("Objects that wait", "Or are worked on.", "sum(trace_reconcile_queue_depth{$here})", "objects"),
            _one("Errors of the API server", "Calls a second that it refused or did not answer.",
                 "sum(rate(trace_kubernetes_api_errors_total{$here}[$__rate_interval])) or vector(0)", "errors"),
            _one("Silence of watches", "Time since each was last answered.",
                 "max by (resource) (trace_watch_age_seconds{$here})", "{{resource}}", "s"),
            _one("Worker pods", "Wanted, there, and of these pending and ready.",
                 "sum by (state) (trace_worker_pods{$here})", "{{state}}"),
            _slow("Start of a worker pod", "From its creation until it is ready.", "trace_worker_pod_start_seconds",
                  "dag, job_name"),
        ),
        "Queues": (
            _one("Tasks", "By state.", "max by (state) (trace_tasks{$here})", "{{state}}"),
            _job("Oldest queued task", "Of each job.", "trace_job_queue_oldest_seconds", "s"),
            _slow("Time in the queue", "Of the first task of each claim.", "trace_schedule_to_start_seconds",
                  "dag, job_name"),
            _rate("Attempts that ended", "A second, by result.", "trace_task_attempts_total", "result"),
            Panel("Claims", "Tasks leased to workers a second, and workers that wait for one.", (
                Query("sum(rate(trace_tasks_claimed_total{$here}[$__rate_interval]))", "claimed a second"),
                Query("sum(trace_long_polls{$here})", "workers that wait"))),
            Panel("Late", "Leases that their workers do not renew, and seconds that a due retry waits.", (
                Query("sum(max by (dag, job_name) (trace_job_leases_near_expiry{$here}))", "leases near their end"),
                Query("max(trace_retry_overdue_seconds{$here})", "retry overdue (s)"))),
            _slow("Calls of the task API", "Time to answer.", "trace_task_api_seconds", "call"),
            _one("Tasks that are dead", "They failed in all of their attempts, and somebody has to look at them.",
                 'sum by (dag, job_name) (max by (dag, job_name, state) (trace_job_tasks{$here, state="Dead"}))',
                 "{{dag}}.{{job_name}}"),
        ),
        "Outbox": (
            Panel("Rows that wait", "Of the outbox and of what sources wrote.", (
                Query("max(trace_outbox_pending{$here})", "outbox"),
                Query("max(trace_relay_pending{$here})", "relay"))),
            Panel("Age of the oldest row", "Of either.", (
                Query("max(trace_outbox_oldest_seconds{$here})", "outbox"),
                Query("max(trace_relay_oldest_seconds{$here})", "relay")), "s"),
            _rate("Rows that were tried", "A second, by kind and result.", "trace_outbox_total", "kind, result"),
            _one("Given up in the last hour", "Effects that did not take place.",
                 "max(trace_outbox_failed_last_hour{$here})", "rows"),
            _slow("Passes of loops", "Time of one.", "trace_loop_seconds", "loop"),
            _rate("Results of passes", "A second, by result.", "trace_loop_passes_total", "result"),
        ),
        "Stores": (
            _one("Stores that answer", "1: every dispatcher has an answer.",
                 "min by (store) (trace_store_up{$here})", "{{store}}"),
            _rate("Rows swept", "Hot rows a second that were deleted after compaction.",
                  "trace_hot_rows_deleted_total", "namespace"),
            _one("Files held by the query service", "Cold files that need not be fetched again.",
                 "sum by (pod) (trace_query_cache_bytes{$here})", "{{pod}}", "bytes"),
        ),
    },
)  # fmt: skip

DATA = Dashboard(
    "trace-data",
    "Trace: data",
    "How far and how fresh the data is, and how it is asked for: heads, lag, assets, reorgs, queries.",
    {"dag": ("trace_job_tasks", "dag"), "asset": ("trace_asset_rows", "asset")},
    {
        "Heads": (
            _job("Blocks behind the head", "Of each source.", "trace_job_source_lag_blocks", scope="$dags"),
            Panel("Heads", "The newest block that a provider named, and the newest that is stored.", (
                Query("max by (dag, job_name) (trace_source_head_block{$dags})", "{{dag}}.{{job_name}} head"),
                Query("max by (dag, job_name) (trace_source_cursor_block{$dags})", "{{dag}}.{{job_name}} stored"))),
            Panel("Sources", "1: it runs, it gets on.", (
                Query("max by (dag, job_name) (trace_job_source_running{$dags})", "{{dag}}.{{job_name}} runs"),
                Query("max by (dag, job_name) (trace_job_source_healthy{$dags})", "{{dag}}.{{job_name}} gets on"))),
            _one("Blocks a second", "That are stored.",
                 "sum by (dag, job_name) (deriv(trace_source_cursor_block{$dags}[$__rate_interval]))",
                 "{{dag}}.{{job_name}}"),
            _one("Time of providers", "That each takes to answer, on average.",
                 "max by (dag, job_name, provider) (trace_source_provider_latency_seconds{$dags})",
                 "{{dag}}.{{job_name}} {{provider}}", "s"),
            _one("Heads of providers", "One behind the others lags.",
                 "max by (dag, job_name, provider) (trace_source_provider_head_block{$dags})",
                 "{{dag}}.{{job_name}} {{provider}}"),
        ),
        "Reorgs": (
            _job("Reorgs", "Applied since the run of each source began.", "trace_source_reorgs", scope="$dags"),
            _job("Depth of the last reorg", "Stored blocks that it replaced.", "trace_source_reorg_depth_blocks",
                 scope="$dags"),
            _job("Chains replaced below finality", "1: the source stopped, and somebody has to look.",
                 "trace_job_source_reorg_below_finality", scope="$dags"),
        ),
        "Assets": (
            _one("Freshness", "Time since rows of each asset were last committed.",
                 "time() - max by (asset) (trace_asset_last_commit_timestamp_seconds{$assets})", "{{asset}}", "s"),
            _one("Rows", "Of each asset; of a hot table, an estimate.",
                 "max by (asset) (trace_asset_rows{$assets})", "{{asset}}"),
            _one("Size", "Of the files, or of the hot table.", "max by (asset) (trace_asset_size_bytes{$assets})",
                 "{{asset}}", "bytes"),
        ),
        "Work": (
            _one("Tasks", "By state.",
                 "sum by (dag, job_name, state) (max by (dag, job_name, state) (trace_job_tasks{$dags}))",
                 "{{dag}}.{{job_name}} {{state}}"),
            _job("Oldest queued task", "Of each job.", "trace_job_queue_oldest_seconds", "s", scope="$dags"),
            _rate("Attempts that ended", "A second, by result.", "trace_task_attempts_total",
                  "dag, job_name, result", scope="$dags"),
        ),
        "Queries": (
            _rate("Queries", "A second, by result.", "trace_query_seconds_count", "code"),
            _slow("Time of a query", "By result.", "trace_query_seconds", "code"),
            Panel("Slots", "Queries that run, that wait, and batch queries that wait or run.", (
                Query("sum(trace_query_running{$here})", "running"),
                Query("sum(trace_query_waiting{$here})", "waiting"),
                Query("max(trace_query_batches{$here})", "batches"))),
            _one("Rows answered", "A second.",
                 "sum(rate(trace_query_rows_total{$here}[$__rate_interval]))", "rows"),
            _one("Bytes read", "Of files and hot rows, a second.",
                 "sum(rate(trace_query_scanned_bytes_total{$here}[$__rate_interval]))", "read", "Bps"),
        ),
    },
)  # fmt: skip

DASHBOARDS = {"trace-operation.json": OPERATION, "trace-data.json": DATA}
