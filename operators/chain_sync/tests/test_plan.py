"""Ranges of a sync: every block in one of them, the same ones whatever head, lag and bound were on the way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from operators.chain_sync.plan import due, last_block


@settings(deadline=None)  # some examples are large, and the machine may be busy
@given(
    start=st.integers(0, 3_000),
    heads=st.lists(st.tuples(st.integers(0, 6_000), st.integers(0, 300), st.integers(0, 5)), max_size=40),
    size=st.integers(1, 500),
    length=st.none() | st.integers(0, 3_000),
)
def test_each_block_is_emitted_once_and_only_below_the_lag(
    start: int, heads: list[tuple[int, int, int]], size: int, length: int | None
) -> None:
    target = None if length is None else start + length
    next_start, emitted = start, []
    for head, lag, room in heads:
        ranges = due(next_start, last_block(head, lag, target), target, size, room)
        assert len(ranges) <= room
        assert all(one.end <= head - lag for one in ranges)
        emitted += ranges
        next_start = emitted[-1].end + 1 if emitted else start
    at_once = due(start, last_block(10_000, 0, target), target, size, len(emitted))
    assert emitted == at_once, "the same ranges as of a head that was there from the first"
    blocks = [block for one in emitted for block in range(one.start, one.end + 1)]
    assert blocks == list(range(start, start + len(blocks)))


@settings(deadline=None)  # some examples are large, and the machine may be busy
@given(st.integers(0, 2_000), st.integers(0, 2_000), st.integers(1, 300), st.integers(0, 100))
def test_up_to_a_target_no_block_is_left_out(start: int, length: int, size: int, lag: int) -> None:
    target = start + length
    ranges = due(start, last_block(target + lag, lag, target), target, size, 10_000)
    assert ranges[0].start == start
    assert ranges[-1].end == target
    assert due(target + 1, target, target, size, 10_000) == []


def test_a_range_that_the_head_cuts_short_waits() -> None:
    assert due(0, last_block(198, 0, None), None, 100, 9)[-1].key == "0-99"
    assert due(0, last_block(199, 0, None), None, 100, 9)[-1].key == "100-199"
    assert due(100, last_block(198, 0, 198), 198, 100, 9)[-1].key == "100-198"
    assert due(0, last_block(500, 0, None), None, 100, -3) == []
