"""What an attempt asks of the dispatcher, whichever way it reaches it.

`traceplane_sdk.client.TaskApi` is the port over HTTP. Every implementation raises the same three errors:
`StaleLease` where another attempt owns the task, `CallRefused` where repeating the call cannot help, and
`DispatcherUnavailable` after it tried for `patience` seconds. Methods block, and are called from the threads of
an attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from traceplane_sdk import wire


class TaskPort(Protocol):
    """The calls of one attempt. `token` is its capability token; each call is safe to repeat."""

    def heartbeat(self, leases: Sequence[wire.Renewal], token: str, patience: float) -> wire.HeartbeatResponse:
        """Renew leases. A lost one is answered without an expiry, not by StaleLease."""

    def events(self, request: wire.EventsRequest, token: str) -> wire.EventsResponse:
        """Report events while the task runs."""

    def credentials(self, fence: wire.Fence, token: str) -> wire.CredentialsResponse:
        """Object-store credentials limited to the token's prefixes."""

    def complete(self, completion: wire.Completion, token: str, patience: float) -> wire.CompletionState:
        """End the attempt."""
