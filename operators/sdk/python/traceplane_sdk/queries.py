"""A task's queries to the query service: one SELECT over exactly the dataset versions its token lists.

The answer is a Parquet file on the task's scratch disk, so its size is bounded by that disk and by the service, not
by memory. An answer behind a pre-signed URL is fetched and its hash compared.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import msgspec

from traceplane_sdk import tracing, wire
from traceplane_sdk.client import TASK_HEADER
from traceplane_sdk.control import Control
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.patience import delays

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

ROUTE = "/v1/task/query"
SERVICE_SECONDS = 300.0
"""How long the service lets a task's query run where the task sets no limit."""
SLACK_SECONDS = 60.0
"""Beyond a query's own time: its wait for a slot, and the transfer of its answer."""
MAX_INLINE_BYTES = 256 * 1024 * 1024
"""Of an answer without a URL; the service's own bound is far below."""
MAX_DESCRIPTION_BYTES = 4 * 1024 * 1024
_UNAVAILABLE = frozenset({429, 500, 502, 503, 504})
_RETRYABLE = frozenset({401, 408, 409})
"""Refusals that another attempt may be spared: an expired token, a busy service, a relation that is not ready."""
_QUOTED = "\n\nLINE "
"""From here on DuckDB's messages quote the statement; a task's error goes into logs, which hold no SQL."""
_STOP_POLL_SECONDS = 0.5
"""How often a waiting run looks whether it is to stop."""


class Unavailable(Exception):
    """The service, or the store behind its URL, did not answer."""


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """Rows in a Parquet file; which dataset versions they were read from stands in its metadata."""

    path: Path
    rows: int

    def table(self) -> pa.Table:
        """All rows in memory; for large answers open `path` and read it by row groups."""
        import pyarrow.parquet as pq

        return pq.read_table(self.path)


class QueryService:
    """The service, for one attempt. `lease` gives its fence and its newest capability token."""

    def __init__(
        self,
        url: str,
        lease: Callable[[], tuple[wire.Fence, str]],
        control: Control,
        *,
        patience: float = 120.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/") + ROUTE
        self._lease = lease
        self._control = control
        self._patience = patience
        self._transport = transport

    def ask(
        self, sql: str, path: Path, seconds: float | None = None, shape: wire.AnswerShape | None = None
    ) -> QueryAnswer:
        """The answer to `sql` in a new file at `path`; `seconds` is the query's own time limit.

        Raises OperatorError with the service's code where it refuses, Stopped when the run is to end.
        """
        for delay in delays(self._patience):
            try:
                return asyncio.run(self._unless_stopped(self._ask(sql, path, seconds, shape)))
            except Unavailable as error:  # restarts of the service are bridged, within `patience`
                failure = str(error)
            self._control.wait(delay)
        raise OperatorError("QueryServiceUnavailable", failure)

    async def _unless_stopped(self, request: Coroutine[Any, Any, T]) -> T:
        """The result, or Stopped: operator code runs in a thread of its own, which cannot be interrupted."""
        task = asyncio.create_task(request)
        try:
            while not (await asyncio.wait({task}, timeout=_STOP_POLL_SECONDS))[0]:
                if self._control.reason is not None:
                    self._control.check()
            return task.result()
        finally:
            task.cancel()  # drops the connection, which ends the query

    async def _ask(
        self, sql: str, path: Path, seconds: float | None, shape: wire.AnswerShape | None
    ) -> QueryAnswer:
        fence, token = self._lease()
        body: dict[str, Any] = {"fence": msgspec.to_builtins(fence), "sql": sql, "format": "parquet"}
        if seconds is not None:
            body["timeout_seconds"] = seconds
        if shape is not None:
            body["shape"] = msgspec.to_builtins(shape)
        headers = {TASK_HEADER: token, **tracing.headers()}
        timeout = httpx.Timeout(10.0, read=(seconds or SERVICE_SECONDS) + SLACK_SECONDS)
        try:
            async with (
                httpx.AsyncClient(timeout=timeout, transport=self._transport) as http,
                http.stream("POST", self._url, json=body, headers=headers) as answer,
            ):
                if answer.status_code == 200:
                    await _save(answer, path, MAX_INLINE_BYTES)
                    return _inline(answer, path)
                described = await _read(answer)
                if answer.status_code != 303:
                    raise _refused(answer.status_code, described)
                return await self._exported(http, json.loads(described), path)
        except httpx.TransportError as error:
            raise Unavailable(f"{self._url}: {type(error).__name__}: {error}") from error

    async def _exported(self, http: httpx.AsyncClient, described: dict[str, Any], path: Path) -> QueryAnswer:
        output = described["output"]
        async with http.stream("GET", output["url"]) as answer:
            # second guard: an error's body has another hash. The URL is a credential: it is in no message.
            if answer.status_code != 200:
                raise Unavailable(f"the object store answered the query's URL with HTTP {answer.status_code}")
            sha256 = await _save(answer, path, output["bytes"])
        if sha256 != output["sha256"]:
            raise Unavailable("the answer's file has another hash than the query service named")
        if described["truncated"]:
            raise _cut()
        return QueryAnswer(path, described["row_count"])


def _inline(answer: httpx.Response, path: Path) -> QueryAnswer:
    if answer.headers.get("x-trace-truncated") != "false":
        raise _cut()
    return QueryAnswer(path, int(answer.headers["x-trace-row-count"]))


def _cut() -> OperatorError:
    """A task must not take part of an answer for the whole."""
    return OperatorError(
        "AnswerTooLarge", "the query service cut the answer off: select fewer rows", retryable=False
    )


async def _save(answer: httpx.Response, path: Path, limit: int) -> str:
    """Write a body to a file; returns its SHA-256 in hex."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        async for piece in answer.aiter_bytes():
            size += len(piece)
            if size > limit:
                raise OperatorError("AnswerTooLarge", f"the answer is larger than {limit} bytes", retryable=False)
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


async def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > MAX_DESCRIPTION_BYTES:
            raise OperatorError("AnswerTooLarge", f"the answer is larger than {MAX_DESCRIPTION_BYTES} bytes")
    return bytes(body)


def _refused(status: int, body: bytes) -> Exception:
    """What a problem answer (RFC 9457) means for the run."""
    try:
        problem = msgspec.json.decode(body, type=wire.Problem)
        code, detail = problem.code, problem.detail.partition(_QUOTED)[0]
    except msgspec.DecodeError:
        code, detail = "QueryRefused", body[:200].decode(errors="replace")
    if status in _UNAVAILABLE:
        return Unavailable(f"the query service answered HTTP {status}: {detail}")
    return OperatorError(code, detail, retryable=status in _RETRYABLE)
