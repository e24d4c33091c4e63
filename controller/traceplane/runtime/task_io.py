"""The `TaskIO` of one attempt, made of its port and its host.

Files are read anew each time they are asked for, because a mounted Secret changes while the process lives.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from traceplane.kit import crash, spans
from traceplane.runtime.heartbeat import Lease
from traceplane.runtime.host import Host
from traceplane.runtime.port import TaskPort
from traceplane_sdk import crashpoints, tracing, wire
from traceplane_sdk.context import Log, Report, TaskIO
from traceplane_sdk.control import Control
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.queries import QueryAnswer, QueryService

MAX_PROVIDERS = 32
Ask = Callable[[str, Path, float | None, wire.AnswerShape | None], QueryAnswer]
_SCHEMES = ("http://", "https://", "ws://", "wss://")
_POOL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")

# The SDK knows nothing of how a process is ended, so the process that runs it declares its crash points.
for _point in crashpoints.ALL:
    crash.declare(_point)


def task_io(
    port: TaskPort,
    host: Host,
    lease: Lease,
    control: Control,
    log: Log,
    directory: Path | None,
    report: Callable[[Report], None],
) -> TaskIO:
    """Everything one attempt may reach."""

    def emit(
        events: Sequence[wire.Event], invalidations: Sequence[wire.Invalidation], identity: str
    ) -> wire.EventsResponse:
        request = wire.EventsRequest(
            fence=lease.fence, id=identity, events=list(events), invalidations=list(invalidations)
        )
        return port.events(request, lease.token)

    query = None
    if host.query_url is not None:
        query = traced(QueryService(host.query_url, lambda: (lease.fence, lease.token), control).ask, lease.fence)
    return TaskIO(
        data_dsn=host.data_dsn,
        credentials=lambda: port.credentials(lease.fence, lease.token),
        query=query,
        rpc_urls=lambda pool: provider_urls(host.rpc_dir, pool),
        control=control,
        log=log,
        emit=emit,
        scratch=directory,
        crash_point=crash.point,
        measure=host.measure,
        report=report,
    )


def traced(ask: Ask, fence: wire.Fence) -> Ask:
    """`ask` with a span below the run around each query, from whatever thread of the operator."""
    run = spans.of_task(fence.task_id, fence.attempt, "run")

    def asked(
        sql: str, path: Path, seconds: float | None = None, shape: wire.AnswerShape | None = None
    ) -> QueryAnswer:
        with (
            spans.spanned("query", run, kind=spans.CLIENT) as span,
            tracing.entered(span.context),
        ):
            return ask(sql, path, seconds, shape)

    return asked


def provider_urls(rpc_dir: Path | None, pool: str) -> Sequence[str]:
    """The provider URLs mounted for an rpcPool. OperatorError where none are; URLs hold keys and are not shown."""
    if rpc_dir is None:
        raise OperatorError("NoProvider", f"rpcPool {pool!r}: this process has no provider URLs", retryable=False)
    path = rpc_dir / pool / "urls"
    if not _POOL.match(pool):  # it comes from a manifest and becomes part of a path
        raise OperatorError("NoProvider", f"{pool!r} is not a valid name of an rpcPool", retryable=False)
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except OSError as error:
        raise OperatorError("NoProvider", f"rpcPool {pool!r}: cannot read {path}: {error.strerror}") from error
    urls = [line for line in lines if line and not line.startswith("#")][:MAX_PROVIDERS]
    if not all(url.startswith(_SCHEMES) for url in urls) or not any(url.startswith("http") for url in urls):
        raise OperatorError(
            "NoProvider",
            f"rpcPool {pool!r}: {path} must hold one URL a line, http(s) ones and, for new heads, ws(s) ones",
        )
    return urls


@contextmanager
def scratch(parent: Path | None) -> Iterator[Path | None]:
    """A directory of this attempt's own below `parent`, removed afterwards; None where there is no parent."""
    if parent is None:
        yield None
        return
    path = parent / uuid4().hex
    path.mkdir(parents=True, mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
