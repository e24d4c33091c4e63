"""What an operator's run may end with besides a result, and how a call to the dispatcher fails.

The runner maps the first kind to the wire: an `OperatorError` becomes the task's error, `Stopped` hands the task
back or ends it quietly, `StaleLease` means that another attempt owns the work and this one must write nothing more.
"""

from __future__ import annotations

from enum import StrEnum


class StopReason(StrEnum):
    """Why a run was asked to end early. Later members outrank earlier ones."""

    DRAINING = "Draining"
    CANCELED = "Canceled"
    LEASE_LOST = "LeaseLost"


class OperatorError(Exception):
    """A failure with a stable CamelCase `code`; `retryable` False says that no further attempt can help."""

    def __init__(self, code: str, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


class StaleLease(Exception):
    """The fence does not hold any more: a newer attempt exists. Nothing may be written or completed."""


class Stopped(Exception):
    """The run was asked to end and did, at a point where nothing is half done."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class CallRefused(Exception):
    """The dispatcher refused a call; repeating it unchanged cannot help. `code` is the problem's stable code.

    `final`: for what the call says, so that another attempt would be refused as well. Not so where the caller's
    identity was refused, which another token mends, or where something else than the dispatcher answered.
    """

    def __init__(self, code: str, detail: str, *, final: bool = True) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.final = final


class DispatcherUnavailable(Exception):
    """The dispatcher did not answer within the caller's patience."""
