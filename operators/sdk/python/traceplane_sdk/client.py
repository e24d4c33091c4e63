"""The worker's end of the task API.

Every call is safe to repeat: a claim whose answer was lost is a lease that expires, a heartbeat and a repeated
completion change nothing. So transport errors, 429 and 5xx are tried again with jitter for a bounded time, and a
dispatcher may restart under its workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import httpx
import msgspec

from traceplane_sdk import tracing, wire
from traceplane_sdk.errors import CallRefused, DispatcherUnavailable, StaleLease
from traceplane_sdk.patience import retrying

T = TypeVar("T")

WORKER_HEADER = "X-Trace-Worker-Token"
TASK_HEADER = "X-Trace-Task-Capability"
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_ABOUT_CONTENT = frozenset({400, 413, 422})
"""Statuses by which the dispatcher refuses a call for what it says."""
_RETRIED = frozenset({429, 500, 502, 503, 504})


class TaskApi:
    """Calls of one worker. Thread-safe: the heartbeat thread and the run share it.

    Calls raise StaleLease where the lease is lost, CallRefused, and DispatcherUnavailable.
    """

    def __init__(self, base_url: str, worker_token: Callable[[], str], *, timeout: float = 10.0) -> None:
        self._worker_token = worker_token
        self._timeout = timeout
        self._http = httpx.Client(base_url=base_url, limits=httpx.Limits(max_connections=8))

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def claim(self, request: wire.ClaimRequest) -> list[wire.ClaimedTask]:
        """One claim; waits up to the request's `wait_seconds`. Not repeated here: the caller loops anyway."""
        headers = {WORKER_HEADER: self._worker_token()}  # read for each claim: it is rotated while a worker lives
        timeout = request.wait_seconds + self._timeout
        answer = self._send("/internal/task-claim", request, headers, wire.ClaimResponse, timeout=timeout)
        return answer.tasks

    def heartbeat(self, leases: Sequence[wire.Renewal], token: str, patience: float) -> wire.HeartbeatResponse:
        """Renew leases; trying again for up to `patience` seconds."""
        body = wire.HeartbeatRequest(list(leases))
        return self._call("/v1/task/heartbeat", body, token, wire.HeartbeatResponse, patience)

    def events(self, request: wire.EventsRequest, token: str, patience: float = 30.0) -> wire.EventsResponse:
        """Report events while the task runs; `request.id` makes the repeat a no-op."""
        return self._call("/v1/task/events", request, token, wire.EventsResponse, patience)

    def credentials(self, fence: wire.Fence, token: str, patience: float = 30.0) -> wire.CredentialsResponse:
        """Object-store credentials limited to the token's prefixes."""
        return self._call(
            "/v1/task/credentials", wire.CredentialsRequest(fence), token, wire.CredentialsResponse, patience
        )

    def complete(self, completion: wire.Completion, token: str, patience: float) -> wire.CompletionState:
        """End an attempt. Raises StaleLease where another attempt owns the task."""
        body = wire.CompleteRequest([completion])
        answer = self._call("/v1/task/complete", body, token, wire.CompleteResponse, patience)
        state = answer.completions[0]
        if not state.accepted:
            raise StaleLease(f"another attempt owns task {state.task_id}")
        return state

    def _call(self, path: str, body: Any, token: str, answer: type[T], patience: float) -> T:
        headers = {TASK_HEADER: token}
        return retrying(lambda: self._send(path, body, headers, answer, timeout=self._timeout), patience)

    def _send(self, path: str, body: Any, headers: Mapping[str, str], answer: type[T], timeout: float) -> T:
        content = msgspec.json.encode(body)
        try:
            with self._http.stream(
                "POST",
                path,
                content=content,
                headers={**headers, **tracing.headers(), "Content-Type": "application/json"},
                timeout=timeout,
            ) as response:
                data = _bounded(response)
        except httpx.TransportError as error:
            raise DispatcherUnavailable(f"{path}: {type(error).__name__}: {error}") from error
        if response.status_code in _RETRIED:
            raise DispatcherUnavailable(f"{path}: HTTP {response.status_code}")
        if response.status_code == 409:  # never tried again: another attempt owns the task
            raise StaleLease(f"{path}: the lease is not held any more")
        if response.is_error:
            raise _problem(response.status_code, data)
        return msgspec.json.decode(data, type=answer)


def _bounded(response: httpx.Response) -> bytes:
    data = bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            raise CallRefused(
                "AnswerTooLarge", f"HTTP {response.status_code} with more than {MAX_ANSWER_BYTES} bytes"
            )
    return bytes(data)


def _problem(status: int, data: bytes) -> CallRefused:
    try:
        problem = msgspec.json.decode(data, type=wire.Problem)
    except msgspec.DecodeError:
        return CallRefused("Unexpected", f"HTTP {status}: {data[:200].decode(errors='replace')}", final=False)
    return CallRefused(problem.code, problem.detail, final=status in _ABOUT_CONTENT)
