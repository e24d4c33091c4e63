"""A minute's worth at once, then a steady rate, for each user alone."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from traceplane.web import rates
from traceplane.web.rates import RateLimit, RateLimited


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(limit: RateLimit, user: UUID, times: int) -> int:
    """How many of `times` requests were allowed."""
    allowed = 0
    for _ in range(times):
        try:
            limit.take(user)
        except RateLimited:
            continue
        allowed += 1
    return allowed


def test_a_minutes_worth_at_once_and_then_a_steady_rate():
    clock, user = Clock(), uuid4()
    limit = RateLimit(10, clock)
    assert taken(limit, user, 15) == 10
    clock.now += 6
    assert taken(limit, user, 5) == 1
    clock.now += 3600
    assert taken(limit, user, 15) == 10, "no more is saved up than a minute's worth"


def test_a_refusal_says_when_to_come_back_and_that_is_true():
    clock, user = Clock(), uuid4()
    limit = RateLimit(10, clock)
    taken(limit, user, 10)
    clock.now += 2
    with pytest.raises(RateLimited, match="10 requests a minute") as refused:
        limit.take(user)
    assert refused.value.retry_after == 4
    clock.now += refused.value.retry_after
    limit.take(user)


def test_a_refusal_names_who_asked_for_the_log_alone():
    limit = RateLimit(1, Clock())
    limit.take("j")
    with pytest.raises(RateLimited) as refused:
        limit.take("j", caller="job j")
    assert refused.value.caller == "job j"
    assert "job j" not in refused.value.message


def test_a_rate_below_one_a_minute_still_lets_one_through():
    clock, user = Clock(), uuid4()
    limit = RateLimit(0.5, clock)
    assert taken(limit, user, 3) == 1
    clock.now += 120
    assert taken(limit, user, 3) == 1


def test_users_do_not_count_for_each_other_and_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rates, "REMEMBERED", 2)
    clock = Clock()
    limit = RateLimit(1, clock)
    users = [uuid4() for _ in range(3)]
    assert [taken(limit, user, 2) for user in users] == [1, 1, 1]
    assert len(limit._buckets) == 2
    assert taken(limit, users[2], 1) == 0
