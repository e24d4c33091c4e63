"""Whose query it is, and what stands for its statement where the statement itself may not stand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from uuid import UUID

from traceplane.kit import spans
from traceplane_sdk import tracing
from traceplane_sdk.tracing import TraceContext


def hash_of(sql: str) -> str:
    """The SHA-256 of a statement, in hex."""
    return hashlib.sha256(sql.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, or an attempt of a task of a job, with one query of theirs."""

    query: UUID
    sql: str
    user: UUID | None = None
    task: UUID | None = None
    attempt: int | None = None
    job: UUID | None = None
    trace: TraceContext = field(default_factory=lambda: spans.below(tracing.current() or spans.started()))
    """The span of the query."""

    @property
    def holder(self) -> UUID | None:
        """Whose slots the query counts against: the user's, or the job's, which has as many tasks as it likes."""
        return self.user if self.job is None else self.job
