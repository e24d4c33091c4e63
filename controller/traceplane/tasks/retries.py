"""When a failed task is tried again.   (pure)

Exponential backoff with jitter, so that tasks which failed together do not come back together:
`min(max, base * 2^(failures - 1)) * (0.5 to 1.5)`. What counts is failures **in a row**: a source that ran for a
day and then lost its provider is not punished for every restart it ever had, so a run that held longer than the
longest delay starts the count anew. Postgres computes it (`store.statements.transitions`), where the count and
the time that the attempt ran are at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_DOUBLINGS = 29
"""2^29 times any base is past every limit; bounds the power for a source that fails for weeks."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """First and longest delay, in seconds."""

    base_seconds: float
    max_seconds: float

    def parameters(self) -> dict[str, float]:
        """As the statements take it."""
        return {"retry_base": self.base_seconds, "retry_max": self.max_seconds}
