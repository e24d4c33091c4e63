"""Retries are bounded in time and spread by jitter."""

from __future__ import annotations

from traceplane_sdk.patience import delays


def test_delays_double_to_a_limit_and_end() -> None:
    now = [0.0]
    seen = []
    for delay in delays(20, base=1, limit=4, clock=lambda: now[0], jitter=lambda: 0.5):
        seen.append(delay)
        now[0] += delay
    assert seen == [1, 2, 4, 4, 4, 4, 4]


def test_jitter_scales_by_half_to_one_and_a_half() -> None:
    assert next(delays(1, base=1, jitter=lambda: 0.0)) == 0.5
    assert next(delays(1, base=1, jitter=lambda: 1.0)) == 1.5
