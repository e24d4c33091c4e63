"""Retries are bounded in time and spread by jitter."""

from __future__ import annotations

import pytest

from traceplane_sdk.errors import CallRefused, DispatcherUnavailable
from traceplane_sdk.patience import backoff, delays, retrying


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


def test_backoff_doubles_to_its_limit_however_often_a_caller_failed() -> None:
    waits = [backoff(failures, base=0.5, limit=3, jitter=lambda: 0.5) for failures in (0, 1, 2, 3, 4, 10**9)]
    assert waits == [0.5, 0.5, 1, 2, 3, 3]


def test_a_call_is_tried_again_only_while_the_dispatcher_is_away() -> None:
    answers = [DispatcherUnavailable("away"), CallRefused("BadRequest", "no")]

    def call() -> None:
        raise answers.pop(0)

    with pytest.raises(CallRefused):
        retrying(call, 30)
    assert answers == []


def test_a_call_fails_with_the_last_reason_once_patience_is_used_up() -> None:
    def call() -> None:
        raise DispatcherUnavailable("still away")

    with pytest.raises(DispatcherUnavailable, match="still away"):
        retrying(call, 0.01)
