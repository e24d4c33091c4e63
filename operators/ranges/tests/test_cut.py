"""Pieces of a range: every value in exactly one, at the same places whatever is cut."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from operators.ranges.cut import cut, pieces

values = st.integers(-5_000, 5_000)
sizes = st.integers(1, 300)


@settings(deadline=None)  # some examples are large, and the machine may be busy
@given(values, st.integers(0, 2_000), sizes)
def test_every_value_is_in_exactly_one_piece(start: int, length: int, size: int) -> None:
    made = list(cut(start, start + length, size))
    assert [value for one in made for value in range(one.start, one.end + 1)] == list(
        range(start, start + length + 1)
    )
    assert len(made) == pieces(start, start + length, size)
    assert all(one.key == f"{one.start}-{one.end}" for one in made)


@settings(deadline=None)  # some examples are large, and the machine may be busy
@given(values, st.integers(0, 2_000), sizes)
def test_pieces_meet_at_multiples_of_their_size(start: int, length: int, size: int) -> None:
    made = list(cut(start, start + length, size))
    assert all(later.start % size == 0 == (earlier.end + 1 - later.start) for earlier, later in pairwise(made))
    assert all(one.end - one.start < size for one in made)


@settings(deadline=None)  # some examples are large, and the machine may be busy
@given(values, st.lists(st.integers(1, 400), min_size=1, max_size=8), sizes, st.randoms())
def test_neighbours_in_any_order_give_pieces_that_do_not_overlap(
    start: int, lengths: list[int], size: int, order: Random
) -> None:
    wholes = []
    for length in lengths:
        wholes.append((start, start + length - 1))
        start += length
    order.shuffle(wholes)
    made = [one for whole in wholes for one in cut(*whole, size)]
    covered = sorted(value for one in made for value in range(one.start, one.end + 1))
    assert covered == list(range(min(wholes)[0], max(wholes)[1] + 1))
    assert len({one.key for one in made}) == len(made)


@settings(deadline=None)  # some examples are large, and the machine may be busy
@given(values, st.integers(0, 2_000), st.integers(1, 40), st.integers(1, 40))
def test_cutting_twice_is_cutting_once_where_one_size_divides_the_other(
    start: int, length: int, size: int, times: int
) -> None:
    twice = [two for one in cut(start, start + length, size * times) for two in cut(one.start, one.end, size)]
    assert twice == list(cut(start, start + length, size))


def test_an_empty_range_has_no_piece() -> None:
    assert list(cut(5, 4, 10)) == []
    assert pieces(5, 4, 10) == 0
