"""The settings by subject: unit, default, reason; each belongs to one part, which several processes may share.

A field `lease_seconds` is set by `TRACE_LEASE_SECONDS`. Values that are secrets are read from files (`*_file`),
anew each time, because a mounted Secret is refreshed while an environment variable is not; the plain form beside
it is for tests and local runs. `docs/reference/settings.md` is generated from the descriptions below.
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from pydantic import Field, Json, field_validator
from pydantic_core import PydanticCustomError

from traceplane.settings.part import Part, is_url, read_dsn, read_secret
from traceplane.settings.workerpods import WorkerPods


class Process(Part):
    """Every process has these."""

    org_id: UUID = Field(
        UUID("00000000-0000-7000-8000-000000000001"), description="The one organisation of this installation."
    )
    namespace: str = Field(
        "default", description="Kubernetes namespace of the installation, where queries look that name none."
    )
    crash_at: str | None = Field(
        None, description="Crash point `name[:n]` for failure drills; never in production."
    )
    log_level: str = Field("info", description="debug, info, warning or error.")
    listen_host: str = Field(
        "::",
        description="Address the HTTP servers bind; `::` is every one of IPv6 and IPv4, or of IPv4 where there is "
        "no IPv6.",
    )


class Tracing(Part):
    """Traces. Where they go is said by OpenTelemetry's own variables, which its exporter reads."""

    tracing: bool = Field(
        False,
        description="Export OpenTelemetry traces by OTLP over HTTP, to where OTEL_EXPORTER_OTLP_ENDPOINT says; the "
        "other variables OTEL_EXPORTER_OTLP_* count, too.",
    )
    tracing_sample_ratio: float = Field(
        1.0, ge=0, le=1, description="Part of all traces that is recorded; what a caller's `traceparent` says wins."
    )


class OpenLineage(Part):
    """Where run events go."""

    openlineage_url: str | None = Field(
        None,
        description="Base URL of an OpenLineage receiver: run events are sent to /api/v1/lineage below it. None: "
        "none are sent.",
    )
    openlineage_api_key_file: Path | None = Field(
        None,
        description="File with the receiver's API key, sent as a bearer token; may be missing. `ca.crt` beside it "
        "has the CA certificates that the receiver's is checked with.",
    )

    @field_validator("openlineage_url")
    @classmethod
    def _receiver(cls, value: str | None) -> str | None:
        if value is not None and (not is_url(value) or {"@", "?", "#"} & set(value)):
            raise PydanticCustomError("url", "write https://host or http://host:port, without a user or a query")
        return value

    def read_openlineage_key(self) -> str | None:
        """The API key as its file says now; None without one. Raises InvalidSettings."""
        file = self.openlineage_api_key_file
        if file is None or not file.exists():
            return None
        return read_secret("openlineage_api_key", file, None) or None


class StateDatabase(Part):
    """The state database."""

    state_dsn_file: Path | None = Field(
        None,
        description="File that holds the state DSN; wins over the plain form. `ca.crt` beside it has the CA "
        "certificates that the server's is checked with.",
    )
    state_dsn: str | None = Field(None, description="libpq URI of the state database.")
    pool_size: int = Field(8, ge=1, le=64, description="Pooled connections per process and database.")

    def read_state_dsn(self) -> str:
        """The DSN as its file says now, or the plain form. Raises InvalidSettings."""
        return read_dsn("state_dsn", self.state_dsn_file, self.state_dsn)


class DataDatabase(Part):
    """The data database."""

    data_dsn_file: Path | None = Field(
        None, description="File that holds the data DSN; wins over the plain form. `ca.crt` counts as above."
    )
    data_dsn: str | None = Field(None, description="libpq URI of the data database.")

    def read_data_dsn(self) -> str:
        """The DSN as its file says now, or the plain form. Raises InvalidSettings."""
        return read_dsn("data_dsn", self.data_dsn_file, self.data_dsn)


class Migration(Part):
    """What only `run migrate` takes."""

    migrate_lock_seconds: float = Field(120, gt=0, description="Longest wait for another process's migration.")
    first_admin: str | None = Field(
        None, description="`issuer|subject` of the first admin, made by `run migrate` where no admin exists."
    )


class External(Part):
    """What external assets may be read from, and how much of it."""

    external_buckets: str = Field(
        "",
        pattern=r"^([a-z0-9][-a-z0-9.]{1,61}[a-z0-9]( +|$))*$",
        description="Buckets that `spec.external.uri` of an Asset may name, separated by spaces. Empty: the bucket "
        "of cold data, outside of Trace's own folders in it.",
    )
    external_max_mb: int = Field(
        128,
        ge=1,
        le=1024,
        description="Largest content of an external asset, as its files lie and as it is stored.",
    )
    external_max_rows: int = Field(10_000_000, ge=1, description="Most rows of an external asset.")

    def allowed_buckets(self, own: str) -> tuple[str, ...]:
        """The buckets that may be read; `own` is that of cold data."""
        return tuple(dict.fromkeys(self.external_buckets.split() or [own]))


class Addresses(Part):
    """Where the services are."""

    dispatcher_url: str = Field("http://trace-dispatcher:8080", description="Where workers find the task API.")
    query_url: str = Field("http://trace-query:8082", description="Where workers find the query service.")


class Metrics(Part):
    """Health and metrics of a process that serves nothing else."""

    metrics_port: int = Field(9090, description="Health and metrics of the controller and of workers.")


class MetricNames(Part):
    """How much metrics name."""

    metrics_names: int = Field(
        50,
        ge=1,
        le=1000,
        description="DAG and job pairs that a metric names, and published assets: the largest. The rest is summed "
        "as `_other`.",
    )


class Attempts(Part):
    """Leases and retries: defaults of the operations page."""

    lease_seconds: float = Field(120, gt=0, description="How long a claim holds without a heartbeat.")
    heartbeat_seconds: float = Field(30, gt=0, description="How often a worker renews its lease.")
    retry_base_seconds: float = Field(30, gt=0, description="First retry delay.")
    retry_max_seconds: float = Field(600, gt=0, description="Longest retry delay.")


class Dispatch(Part):
    """What only the dispatcher takes."""

    task_port: int = Field(8080, description="Task API, health and metrics of the dispatcher.")
    poll_seconds: float = Field(5, gt=0, description="Net under lost wake-ups, for every loop and long poll.")
    outbox_max_attempts: int = Field(20, ge=1, description="Deliveries of one outbox row before it is Failed.")
    outbox_base_seconds: float = Field(1, gt=0, description="First outbox retry delay.")
    outbox_max_seconds: float = Field(300, gt=0, description="Longest outbox retry delay.")
    outbox_retention_seconds: float = Field(
        7 * 86_400, gt=0, description="How long outbox rows stay after their effect, in either database."
    )
    views_role: str = Field(
        "trace_views",
        pattern=r"^([a-z_][a-z0-9_]{0,62})?$",
        description="Postgres role that may read the views of hot assets in the data database, where it exists. "
        "Empty: no views are made.",
    )
    query_retention_seconds: float = Field(
        30 * 86_400, ge=3600, description="How long results of queries stay, with the files they were exported to."
    )
    audit_retention_seconds: float = Field(
        2 * 365 * 86_400, ge=86_400, description="How long accesses to personal data stay on record."
    )
    event_retention_seconds: float = Field(
        30 * 86_400,
        ge=3600,
        description="How long events of cursors stay, with the finished tasks they caused. Longer than any event "
        "can be repeated: its id is a dedupe key only while its row exists.",
    )
    capability_slack_seconds: float = Field(300, ge=0, description="Capability token outlives the timeout by this.")
    capability_max_seconds: float = Field(86400, gt=0, description="Longest life of a capability token.")
    capability_key_file: Path | None = Field(None, description="PEM (EC P-256) that signs capability tokens.")
    capability_previous_key_file: Path | None = Field(
        None, description="PEM that still verifies, during a rotation; may be missing, and come and go."
    )


class Capability(Part):
    """What verifies a capability token."""

    capability_issuer: str = Field("trace", description="`iss` of capability tokens.")


class WorkerToken(Part):
    """The proof of a worker."""

    worker_token_file: Path | None = Field(None, description="Worker token; one a line, two during rotation.")


class Users(Part):
    """Who issues tokens of users."""

    oidc_issuer: str | None = Field(None, description="Issuer of user tokens; None means the cluster's own.")
    oidc_other_issuers: str = Field(
        "",
        description="Further issuers, separated by spaces. Each publishes its keys by discovery, and its tokens "
        "carry the same audience.",
    )
    oidc_audience: str = Field("trace", description="Audience that user tokens must carry.")
    oidc_jwks_url: str | None = Field(None, description="JWKS address where it differs from discovery's.")
    oidc_ca_file: Path | None = Field(None, description="CA that the issuer's certificate is checked against.")
    oidc_bearer_file: Path | None = Field(None, description="Token sent to the issuer, where it wants one.")
    jwks_min_refresh_seconds: float = Field(60, gt=0, description="At most one JWKS fetch in this time.")


class LongestQuery(Part):
    """For whom data that nobody finds any more stays a while."""

    longest_query_seconds: float = Field(
        330,
        gt=0,
        description="Hot rows that moved, and data that was purged, stay this long: no running query misses them.",
    )


class UserApi(LongestQuery):
    """What only the user API takes."""

    user_port: int = Field(8081, description="User API.")
    user_rate_per_minute: float = Field(
        100, gt=0, description="Requests of one user to the user API in a minute, as many at once; per process."
    )


class Query(Part):
    """What only the query service takes."""

    query_port: int = Field(8082, description="Query service.")
    query_rate_per_minute: float = Field(
        10, gt=0, description="Queries of one user in a minute, as many at once; per process."
    )
    query_task_rate_per_minute: float = Field(
        600, gt=0, description="Queries of all tasks of one job in a minute, as many at once; per process."
    )
    query_timeout_seconds: float = Field(60, gt=0, description="Longest interactive query of a user.")
    query_task_timeout_seconds: float = Field(300, gt=0, description="Longest query of a task.")
    query_export_max_mb: int = Field(
        1024,
        ge=1,
        le=4096,
        description="Largest Parquet file that an answer beyond the inline bounds is exported to.",
    )
    query_url_seconds: int = Field(
        3600, ge=60, le=604_800, description="How long the pre-signed URL of an export is good."
    )
    query_max_rows: int = Field(10_000, ge=1, description="Rows in an inline answer.")
    query_max_bytes: int = Field(10 * 1024 * 1024, ge=1024, description="Bytes in an inline answer.")
    query_memory_mb: int = Field(
        512, ge=64, description="Memory of one running query; one that takes over 128 MiB more is ended."
    )
    query_concurrency: int = Field(2, ge=1, description="Queries that run at once.")
    query_queue: int = Field(
        32,
        ge=0,
        description="Queries that wait, half of them of one user or job at most; one more becomes a batch query.",
    )
    query_batch_timeout_seconds: float = Field(3600, gt=0, description="Longest batch query.")
    query_batch_concurrency: int = Field(
        1, ge=0, description="Batch queries that run at once in one process, beside the others; 0: none here."
    )
    query_batch_memory_mb: int = Field(512, ge=64, description="The same, of one running batch query.")
    query_batch_queue: int = Field(
        100,
        ge=0,
        description="Batch queries that wait or run; one more is refused with 429. 0: no batch mode.",
    )
    query_batch_queue_per_user: int = Field(20, ge=1, description="The same, of one user.")
    query_accept_weaker_sandbox: bool = Field(
        False,
        description="Run untrusted SQL where the kernel has no Landlock or no seccomp filter: then DuckDB's own "
        "settings alone keep it from files and sockets. False: the query service does not start there.",
    )
    query_cache_dir: Path = Field(Path("/var/cache/trace"), description="Local cache of immutable Parquet.")
    query_cache_mb: int = Field(2048, ge=1, description="Bound of the files in that cache.")


class Controller(LongestQuery):
    """What only the controller takes."""

    watch_namespaces: str = Field(
        "",
        pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?( +|$))*$",
        description="Namespaces that the controller serves, separated by spaces. Empty: its own.",
    )
    reconcile_seconds: float = Field(15, gt=0, description="Full resync of every object: a watch can go silent.")
    lease_name: str = Field("trace-controller", description="coordination.k8s.io Lease that elects the controller.")
    leader_lease_seconds: float = Field(15, gt=0, description="Controller lease duration.")
    leader_renew_seconds: float = Field(5, gt=0, description="Controller lease renewal.")
    watch_stale_seconds: float = Field(120, gt=0, description="No event or bookmark for this long: liveness fails.")
    drain_seconds: float = Field(300, ge=0, description="Longest drain of a deleted DAG.")
    admission_port: int = Field(0, ge=0, le=65535, description="Port of the validating webhook; 0 serves none.")
    admission_certificate: Path = Field(
        Path("/etc/trace/admission"), description="Folder with `tls.crt` and `tls.key` of the validating webhook."
    )
    worker_image: str | None = Field(None, description="Image of worker pods.")
    worker_pull_policy: str = Field("IfNotPresent", description="imagePullPolicy of worker pods.")
    worker_secret: str = Field(
        "trace-worker", description="Secret with `token`, `dsn` and perhaps `ca.crt` for worker pods."
    )
    worker_pods: Json[WorkerPods] = Field(  # type: ignore[assignment]  # the default is parsed like a value
        "{}", description="JSON: what every worker pod gets beside its image; the chart's `workers`."
    )
    rpc_secret_prefix: str = Field(
        "rpcpool-", description="Secret of an rpcPool is this plus its name, key `urls`."
    )


class WorkerPod(Part):
    """What the controller gives to worker pods, and the worker knows itself by."""

    worker_grace_seconds: int = Field(60, ge=1, description="terminationGracePeriodSeconds of worker pods.")
    worker_id: str = Field("local", description="Name of this worker in leases; unique per process start.")


class Worker(Part):
    """What only a worker takes."""

    job_id: UUID | None = Field(None, description="Job generation that this worker serves.")
    claim_wait_seconds: float = Field(20, ge=0, le=60, description="Long poll of a warm worker.")
    idle_timeout_seconds: float | None = Field(300, ge=0, description="Exit when idle this long; None stays.")
    rpc_dir: Path = Field(Path("/etc/trace/rpc"), description="Folder with `<pool>/urls`, one provider URL a line.")
    scratch_dir: Path = Field(Path("/tmp/trace"), description="Scratch space of a worker.")  # noqa: S108
