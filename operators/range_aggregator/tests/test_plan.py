"""Ranges: every value in exactly one, whatever order cursors come in."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from operators.range_aggregator.plan import complete_ranges


@given(
    first=st.integers(0, 10_000),
    size=st.integers(1, 500),
    depth=st.integers(0, 200),
    cursors=st.lists(st.integers(0, 12_000), max_size=30),
    limit=st.integers(1, 7),
)
def test_every_final_value_is_in_exactly_one_range_in_any_order_of_cursors(
    first: int, size: int, depth: int, cursors: list[int], limit: int
) -> None:
    next_start, emitted = first, []
    for upto in cursors:
        for one in complete_ranges(next_start, upto - depth, upto, size, limit):
            assert one.end <= upto - depth, "a range that is not final"
            emitted.append(one)
            next_start = one.end + 1
    values = [value for one in emitted for value in range(one.start, one.end + 1)]
    assert values == list(range(first, first + len(values)))


@given(st.integers(0, 5000), st.integers(1, 300), st.integers(0, 5000))
def test_ranges_end_at_multiples_of_their_size(first: int, size: int, upto: int) -> None:
    ranges = complete_ranges(first, upto, upto, size, 10_000)
    assert all((one.end + 1) % size == 0 for one in ranges)
    assert all(low.end + 1 == high.start for low, high in pairwise(ranges))


@given(st.integers(0, 5000), st.integers(1, 300), st.integers(0, 5000), st.integers(0, 300))
def test_nothing_final_is_left_out_but_an_unfinished_range(first: int, size: int, upto: int, depth: int) -> None:
    ranges = complete_ranges(first, upto - depth, upto, size, 10_000)
    next_start = ranges[-1].end + 1 if ranges else first
    assert (next_start // size + 1) * size - 1 > upto - depth


def test_one_block_short_of_final_emits_nothing() -> None:
    assert complete_ranges(0, 98, 98, 100, 9) == []
    assert [one.key for one in complete_ranges(0, 99, 99, 100, 9)] == ["0-99"]


@given(st.integers(0, 500), st.integers(1, 300), st.integers(0, 5000), st.integers(0, 5000))
def test_a_run_that_ends_short_of_what_is_final_completes_the_range_that_it_ends_in(
    first: int, size: int, final: int, upto: int
) -> None:
    ranges = complete_ranges(first, final, upto, size, 10_000)
    assert ranges == [one for one in complete_ranges(first, final, final, size, 10_000) if one.start <= upto]
