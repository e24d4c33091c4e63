"""What a worker lends to a run: the `TaskIO` of one attempt, built from settings and mounted files.

Files are read anew each time they are asked for, because a mounted Secret changes while the pod lives.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from traceplane.errors import InvalidSettings
from traceplane.kit import crash
from traceplane.settings import WorkerSettings
from traceplane.worker.health import Health
from traceplane.worker.heartbeat import Lease
from traceplane_sdk import crashpoints, wire
from traceplane_sdk.client import TaskApi
from traceplane_sdk.context import TaskIO
from traceplane_sdk.control import Control
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.queries import QueryService

MAX_PROVIDERS = 32
_POOL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")

for _point in crashpoints.ALL:
    crash.declare(_point)


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


def provider_urls(settings: WorkerSettings, pool: str) -> Sequence[str]:
    """The provider URLs mounted for an rpcPool. OperatorError where none are; URLs hold keys and are not shown."""
    path = settings.rpc_dir / pool / "urls"
    if not _POOL.match(pool):
        raise OperatorError("NoProvider", f"{pool!r} is no name of an rpcPool", retryable=False)
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except OSError as error:
        raise OperatorError("NoProvider", f"rpcPool {pool!r}: cannot read {path}: {error.strerror}") from error
    urls = [line for line in lines if line and not line.startswith("#")][:MAX_PROVIDERS]
    if not urls or not all(url.startswith(("http://", "https://")) for url in urls):
        raise OperatorError("NoProvider", f"rpcPool {pool!r}: {path} must hold one http(s) URL a line")
    return urls


@contextmanager
def scratch(settings: WorkerSettings) -> Iterator[Path]:
    """A directory of this attempt's own, gone afterwards."""
    path = settings.scratch_dir / uuid4().hex
    path.mkdir(parents=True, mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def task_io(
    settings: WorkerSettings,
    api: TaskApi,
    lease: Lease,
    control: Control,
    health: Health,
    log: Callable[[str, Mapping[str, Any]], None],
    directory: Path,
) -> TaskIO:
    """Everything one attempt may reach."""

    def emit(events: Sequence[wire.Event], invalidations: Sequence[wire.Invalidation]) -> int:
        request = wire.EventsRequest(
            fence=lease.fence, id=str(uuid4()), events=list(events), invalidations=list(invalidations)
        )
        return api.events(request, lease.token)

    queries = QueryService(settings.query_url, lambda: (lease.fence, lease.token), control)
    return TaskIO(
        data_dsn=lambda: settings.read_data_dsn(),
        credentials=lambda: api.credentials(lease.fence, lease.token),
        query=queries.ask,
        rpc_urls=lambda pool: provider_urls(settings, pool),
        control=control,
        log=log,
        emit=emit,
        scratch=directory,
        crash_point=crash.point,
        measure=health.measure,
    )
