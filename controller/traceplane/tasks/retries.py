"""When a failed task is tried again.

Exponential backoff with jitter, so that tasks which failed together do not come back together. What counts is
failures **in a row**: a source that ran for a day and then lost its provider is not punished for every restart
it ever had, so a run that held longer than the longest delay starts the count anew.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_EXPONENT = 29
"""2^29 times any base is past every limit; bounds the power for a source that fails for weeks."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """First and longest delay, in seconds."""

    base_seconds: float
    max_seconds: float


def failures_in_row(previous: int, ran_seconds: float, policy: RetryPolicy) -> int:
    """The count after one more failure of a run that held for `ran_seconds`."""
    return 1 if ran_seconds > policy.max_seconds else previous + 1


def delay(failures: int, policy: RetryPolicy, jitter: float) -> float:
    """Seconds until the retry after the `failures`-th failure in a row; `jitter` in [0, 1) scales by 0.5 to 1.5."""
    exponent = min(failures - 1, MAX_EXPONENT)
    return float(min(policy.max_seconds, policy.base_seconds * 2**exponent) * (0.5 + jitter))


def is_dead(attempt: int, max_attempts: int | None, *, retryable: bool) -> bool:
    """Whether a failed attempt was the last one; None allows any number."""
    return not retryable or (max_attempts is not None and attempt >= max_attempts)
