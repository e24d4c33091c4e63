"""The pause between polls that a client is told, against the rate limit."""

from __future__ import annotations

import pytest

from traceplane.query.broker.limits import pause_of
from traceplane.settings import Settings
from traceplane.web.rates import RateLimit


@pytest.mark.parametrize("rate", [0.5, 1, 7, 10, 59, 60, 61, 6000])
def test_a_client_that_polls_as_it_is_told_is_never_refused(rate: float) -> None:
    pause, now = pause_of(Settings.model_construct(query_rate_per_minute=rate)), 0.0
    limit = RateLimit(rate, lambda: now)
    for _ in range(1000):
        limit.take("alice")
        now += pause
    assert pause - 1 < 60 / rate <= pause, "and not much less often than allowed"
