"""The task port of attempts that run in the dispatcher itself: calls to the parts that the task API calls.

Bodies are checked as the HTTP API checks them, tokens are verified, and errors come out as the HTTP client raises
them, so that an attempt cannot tell the difference. An attempt calls from threads of its own; the parts live on the
event loop, and each call runs there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
import structlog

from traceplane.dispatch.accept import Acceptance
from traceplane.dispatch.complete import Completions
from traceplane.dispatch.leases import Leases
from traceplane.errors import (
    Forbidden,
    GiveUp,
    NotFound,
    Overloaded,
    Refused,
    Stale,
    TraceError,
    Unauthenticated,
    Unavailable,
)
from traceplane.identity.capability import Capabilities, TaskToken
from traceplane_sdk import wire
from traceplane_sdk.errors import CallRefused, DispatcherUnavailable, StaleLease
from traceplane_sdk.patience import retrying

CALL_SECONDS = 10.0
"""How long one try may take, as in the HTTP client."""
PATIENCE_SECONDS = 30.0
"""How long a call is tried again that names no time."""

Body = TypeVar("Body", bound=msgspec.Struct)
Answer = TypeVar("Answer")

log = structlog.get_logger()


class InProcessPort:
    """A `runtime.port.TaskPort`. Thread-safe; never called from the event loop, which it would wait for."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        capabilities: Capabilities,
        leases: Leases,
        completions: Completions,
        acceptance: Acceptance,
    ) -> None:
        self._loop = loop
        self._capabilities = capabilities
        self._leases = leases
        self._completions = completions
        self._acceptance = acceptance
        self.fatal: GiveUp | None = None
        """What no call will get past: the process must end. An attempt cannot end it, so the runtime looks here."""

    def heartbeat(self, leases: Sequence[wire.Renewal], token: str, patience: float) -> wire.HeartbeatResponse:
        """Renew leases."""
        body = _checked(wire.HeartbeatRequest(list(leases)))
        states = self._call(lambda task: self._leases.heartbeat(task, body.leases), token, patience)
        return wire.HeartbeatResponse(states)

    def events(self, request: wire.EventsRequest, token: str) -> wire.EventsResponse:
        """Report events while the task runs."""
        body = _checked(request)
        return self._call(lambda task: self._acceptance.report(task, body), token)

    def credentials(self, fence: wire.Fence, token: str) -> wire.CredentialsResponse:
        """Object-store credentials limited to the token's prefixes."""
        body = _checked(wire.CredentialsRequest(fence))
        return self._call(lambda task: self._leases.credentials(task, body.fence), token)

    def complete(self, completion: wire.Completion, token: str, patience: float) -> wire.CompletionState:
        """End the attempt."""
        body = _checked(wire.CompleteRequest([completion]))
        state = self._call(lambda task: self._completions.complete(task, body.completions), token, patience)[0]
        if not state.accepted:
            raise StaleLease(f"another attempt owns task {state.task_id}")
        return state

    def _call(
        self, call: Callable[[TaskToken], Awaitable[Answer]], token: str, patience: float = PATIENCE_SECONDS
    ) -> Answer:
        async def on_loop() -> Answer:
            return await call(self._capabilities.verify(token))

        def once() -> Answer:
            call_on_loop = on_loop()
            try:
                future = asyncio.run_coroutine_threadsafe(call_on_loop, self._loop)
            except RuntimeError as error:  # the loop is closed: the process ends
                call_on_loop.close()
                raise DispatcherUnavailable("the dispatcher is shutting down") from error
            try:
                return future.result(CALL_SECONDS)
            except Exception as error:  # the boundary between the dispatcher's errors and those of an attempt
                future.cancel()
                raise self._translated(error) from error

        return retrying(once, patience)

    def _translated(self, error: Exception) -> Exception:
        """The error of an attempt that stands for one of the dispatcher's."""
        if isinstance(error, Stale):
            return StaleLease(error.message)
        if isinstance(error, Refused):
            identity = isinstance(error, Unauthenticated | Forbidden | NotFound)
            return CallRefused(error.code, error.message, final=not identity)
        if isinstance(error, GiveUp):
            self.fatal = error
        elif not isinstance(error, (Unavailable, Overloaded, TimeoutError)):
            # The HTTP client would see a 500 and try again; as there, only the log has the text.
            log.error("unexpected error in a call of a task", exc_info=error)
        return DispatcherUnavailable(error.code if isinstance(error, TraceError) else type(error).__name__)


def _checked(body: Body) -> Body:
    """`body` as the HTTP API would decode it. Raises CallRefused for what that refuses."""
    try:
        encoded = msgspec.json.encode(body)
        if len(encoded) > wire.MAX_BODY_BYTES:
            raise CallRefused(
                "BodyTooLarge", f"body: at most {wire.MAX_BODY_BYTES} bytes; send fewer items at once"
            )
        return msgspec.json.decode(encoded, type=type(body))
    except msgspec.ValidationError as error:
        raise CallRefused("InvalidBody", f"body: {error}") from error
