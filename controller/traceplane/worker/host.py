"""What a worker pod is to its attempts, from its settings and mounted files."""

from __future__ import annotations

from traceplane.errors import InvalidSettings
from traceplane.runtime.host import Host, Times
from traceplane.settings import WorkerSettings
from traceplane.worker.health import Health


def host(settings: WorkerSettings, health: Health) -> Host:
    """The pod. Of its grace period, runs get a part to finish in, and a part remains to hand tasks back."""
    grace = settings.worker_grace_seconds
    return Host(
        worker_id=settings.worker_id,
        times=Times(
            heartbeat=settings.heartbeat_seconds,
            lease=settings.lease_seconds,
            finish=grace * 0.6,
            hand_back=grace * 0.85,
        ),
        data_dsn=settings.read_data_dsn,
        rpc_dir=settings.rpc_dir,
        query_url=settings.query_url,
        scratch_dir=settings.scratch_dir,
        measure=health.measure,
        beat=health.beat,
    )


def worker_token(settings: WorkerSettings) -> str:
    """The first token of the worker token file; the second, during rotation, is for the server."""
    path = settings.worker_token_file
    if path is None:
        raise InvalidSettings("set TRACE_WORKER_TOKEN_FILE: the token that proves a worker to the dispatcher")
    try:
        lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise InvalidSettings(f"TRACE_WORKER_TOKEN_FILE: cannot read {path}: {error.strerror}") from error
    if not lines:
        raise InvalidSettings(f"TRACE_WORKER_TOKEN_FILE: {path} is empty")
    return lines[0]
