"""Fork points and gaps, against the definition by brute force."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.block_follower.reorg import NoForkPoint, fork_point, missing_ranges, probes


def _chain(length: int, fork: int, branch: str) -> dict[int, str]:
    """A chain whose blocks after `fork` belong to `branch`."""
    return {number: f"{number}{branch if number > fork else ''}" for number in range(length)}


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 59))
def test_the_fork_point_is_the_last_block_in_common(stored: int, chain: int, fork: int) -> None:
    expected = min(stored - 1, chain - 1, fork)
    assert fork_point(_chain(stored, fork, "a"), _chain(chain, fork, "b")) == expected


def test_chains_without_a_common_block_have_no_fork_point() -> None:
    with pytest.raises(NoForkPoint):
        fork_point({3: "a"}, {3: "b"})
    with pytest.raises(NoForkPoint):
        fork_point({3: "a"}, {})


@given(st.integers(0, 500), st.integers(0, 500))
def test_probes_cover_every_height_once_from_the_tip_down(tip: int, lowest: int) -> None:
    heights = [number for low, high in probes(tip, lowest) for number in range(high, low - 1, -1)]
    assert heights == list(range(tip, lowest - 1, -1))


_ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8)).map(lambda r: (r[0], r[0] + r[1])), max_size=8)


@given(st.integers(0, 60), st.integers(0, 60), _ranges, _ranges)
def test_missing_ranges_are_neither_here_nor_elsewhere(
    start: int, end: int, held: list[tuple[int, int]], moved: list[tuple[int, int]]
) -> None:
    have = {number for low, high in held + moved for number in range(low, high + 1)}
    missing = missing_ranges(start, end, held, moved)
    assert [n for low, high in missing for n in range(low, high + 1)] == [
        n for n in range(start, end + 1) if n not in have
    ]
