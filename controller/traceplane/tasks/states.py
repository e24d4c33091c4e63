"""The state machine of a task: every state, and every transition between two of them.   (pure)

::

    Queued  -- claim -->      Running     Running -- complete -->        Completed
    Queued  -- supersede -->  Completed   Running -- fail -->            Failed
    Queued  -- cancel -->     Canceled    Running -- release -->         Queued
    Failed  -- retry -->      Queued      Running -- stop -->            Canceled
    Failed  -- cancel -->     Canceled    Canceled -- reopen -->         Queued

A retry keeps the task's id and raises `attempt`. A task that failed is either *waiting* (`next_retry_at` is set)
or *dead* (`finished_at` is set): dead is final until a person reopens it.

The table below is the documentation, and it is proven: `tests/integration/dispatch/test_states.py` records every
change of state that the statements make on a real database and compares. The CHECK constraints of the table
`tasks` are the last guard: whatever is wrong above them, no row is Running without a lease or Queued with one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a task is in its life; `tasks.status`."""

    QUEUED = "Queued"
    """Waits to be claimed. Holds no lease and has no end."""

    RUNNING = "Running"
    """One worker holds the lease of the current attempt. It ends by a completion, a release, or the reaper."""

    COMPLETED = "Completed"
    """Done: its effects are facts. Final. Result `Superseded` where a newer task of the job did its work."""

    FAILED = "Failed"
    """The last attempt failed. Waiting for its retry, or dead: no attempt is left, or none could help."""

    CANCELED = "Canceled"
    """Not wanted any more, by a person, by a new version of its DAG, or with its DAG. A person may reopen it, and
    so does a version that comes back."""


class Result(StrEnum):
    """How one attempt ended; `task_attempts.result`."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    LEASE_EXPIRED = "LeaseExpired"
    """No heartbeat before the lease ended."""
    TIMED_OUT = "TimedOut"
    """The attempt ran longer than `timeoutSeconds`, heartbeats or not."""
    CANCELED = "Canceled"
    SUPERSEDED = "Superseded"
    """Of a task alone (`tasks.result`): it is completed without an attempt."""
    RELEASED = "Released"
    """Handed back by a worker that drains, or lost with a node: spends no attempt."""


class Cause(StrEnum):
    """Why a task exists; `tasks.cause`."""

    EVENT = "Event"
    """Upstream has new data: one task per dependent job generation and event."""
    SOURCE = "Source"
    """The run of an AlwaysOn source: one task for the life of its generation."""
    INVALIDATION = "Invalidation"
    MANUAL = "Manual"


class Strategy(StrEnum):
    """What one task of a reactive job covers; `jobs.execution_strategy`."""

    PER_UPDATE = "PerUpdate"
    """Everything past the job's cursor. One at a time: the newest is run and supersedes the older ones."""
    PER_PARTITION = "PerPartition"
    """One partition of the input that triggered it."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state. `reason` is the event that brings it about, in a sentence."""

    name: str
    source: State
    target: State
    reason: str


TRANSITIONS = (
    Transition("claim", State.QUEUED, State.RUNNING, "a worker claims it: a new attempt under a new lease"),
    Transition("supersede", State.QUEUED, State.COMPLETED, "a newer task of a PerUpdate job reads its part too"),
    Transition("complete", State.RUNNING, State.COMPLETED, "its completion is accepted"),
    Transition("fail", State.RUNNING, State.FAILED, "the attempt failed, timed out, or lost its lease or worker"),
    Transition("release", State.RUNNING, State.QUEUED, "its worker hands it back unspent, or a node was lost"),
    Transition("stop", State.RUNNING, State.CANCELED, "it was asked to stop and ended, or did not stop in time"),
    Transition("retry", State.FAILED, State.QUEUED, "its retry is due, or a person reopens a dead task"),
    Transition("cancel", State.QUEUED, State.CANCELED, "a person, a new version or a deletion cancels it"),
    Transition("cancel waiting", State.FAILED, State.CANCELED, "the same, while it waits for its retry"),
    Transition("reopen", State.CANCELED, State.QUEUED, "a person, or a version that is current again, wants it"),
)
"""Every transition there is. A completion that repeats an accepted one changes nothing and is none."""

FINAL = frozenset({State.COMPLETED, State.CANCELED})
"""States that no clock leads out of; Failed is final as well once the task is dead."""
