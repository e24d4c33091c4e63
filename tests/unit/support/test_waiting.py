"""The helper with which every other test waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import waiting
from tests.support.waiting import until


def test_it_returns_the_first_true_value() -> None:
    looks: Iterator[str] = iter(["", "", "there"])
    assert until(lambda: next(looks), every=0) == "there"


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_it_names_the_condition_that_never_held(timeout: float) -> None:
    stored = {"é": 3}
    with pytest.raises(AssertionError, match=r'^not within \S+ s: stored\["é"\] == 4 and bool\(stored\)$'):
        until(lambda: stored["é"] == 4 and bool(stored), timeout=timeout, every=0)


def test_it_names_a_condition_of_several_lines() -> None:
    stored = [1, 2]
    with pytest.raises(AssertionError, match=r"s: len\(stored\) == 3 and stored\[0\] == 1$"):
        until(
            lambda: (
                len(stored) == 3
                and stored[0] == 1
            ),
            timeout=0,
            every=0,
        )  # fmt: skip


def test_it_names_what_it_was_told_the_last_value_and_the_detail() -> None:
    with pytest.raises(AssertionError) as failed:
        until(list, "rows come", timeout=0, every=0, detail=lambda: "the log")
    assert str(failed.value) == "not within 0 s: rows come (last seen: [])\nthe log"


def test_it_looks_once_more_when_the_look_before_took_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    paused: list[float] = []
    monkeypatch.setattr(waiting.time, "sleep", paused.append)

    def slow_at_first() -> bool:
        now[0] += 100
        return now[0] == 200

    assert until(slow_at_first, timeout=1, every=0)
    assert paused == [waiting.LONGEST_PAUSE_SECONDS]


def test_what_a_condition_raises_is_not_waited_for() -> None:
    with pytest.raises(ZeroDivisionError):
        until(lambda: 1 / 0)
