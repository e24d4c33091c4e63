"""Whose turn is next, and who gets no place: turns go around those who ask."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceplane.query.admission.fair_queue import FairQueue, NoSlot


def entered(line: FairQueue[str], *tickets: str) -> None:
    """Tickets of callers named by their first letter, none of which gets a turn at once."""
    for ticket in tickets:
        assert not line.enter(ticket[0], ticket)


def served(line: FairQueue[str], running: str) -> list[str]:
    """The tickets in the order of their turns, one after another, where `running` has the only one."""
    order = []
    while (ticket := line.end(running)) is not None:
        order.append(ticket)
        running = ticket[0]
    assert (line.running, line.waiting) == (0, 0)
    return order


def test_turns_go_around_the_askers_and_keep_the_order_of_each() -> None:
    line: FairQueue[str] = FairQueue(1, 32)
    assert line.enter("a", "a0")
    entered(line, "a1", "a2", "a3", "b1", "b2", "c1")
    assert served(line, "a") == ["b1", "c1", "a1", "b2", "a2", "a3"]


def test_many_statements_of_one_delay_anothers_first_by_one_for_each_turn() -> None:
    line: FairQueue[str] = FairQueue(2, 32)
    assert [line.enter("a", ticket) for ticket in ("a0", "a1")] == [True, True]
    entered(line, *[f"a{n}" for n in range(2, 18)])
    entered(line, "b1")
    assert line.end("a") == "b1"


def test_who_has_a_query_running_comes_after_those_who_have_none() -> None:
    line: FairQueue[str] = FairQueue(2, 32)
    assert [line.enter(ticket[0], ticket) for ticket in ("a0", "b0")] == [True, True]
    entered(line, "a1", "b1", "c1", "d1")
    assert [line.end("b"), line.end("c"), line.end("d"), line.end("b")] == ["c1", "d1", "b1", "a1"]


def test_one_who_comes_again_and_again_does_not_overtake_who_waits() -> None:
    line: FairQueue[str] = FairQueue(1, 32)
    assert line.enter("a", "a0")
    entered(line, "b1", "c1", "b2")
    assert line.end("a") == "b1"
    entered(line, "a1")
    assert line.end("b") == "c1"
    entered(line, "d1")
    assert [line.end("c"), line.end("a"), line.end("b"), line.end("d")] == ["a1", "b2", "d1", None]


@pytest.mark.parametrize(("places", "of_one"), [(1, 1), (2, 1), (3, 1), (8, 4), (32, 16)])
def test_one_asker_has_half_of_the_places_and_at_least_one(places: int, of_one: int) -> None:
    line: FairQueue[str] = FairQueue(1, places)
    assert line.enter("a", "a")
    entered(line, *["a"] * of_one)
    with pytest.raises(NoSlot, match="wait already"):
        line.enter("a", "a")
    entered(line, *[chr(ord("b") + n) for n in range(places - of_one)])
    with pytest.raises(NoSlot, match=f"^{places} queries wait already; try again later"):
        line.enter("z", "z")
    assert line.waiting == places


def test_without_places_a_free_turn_is_given_and_nobody_waits() -> None:
    line: FairQueue[str] = FairQueue(1, 0)
    assert line.enter("a", "a1")
    with pytest.raises(NoSlot):
        line.enter("b", "b1")
    assert line.end("a") is None
    assert line.enter("b", "b1")


def test_a_place_that_is_given_up_is_anothers() -> None:
    line: FairQueue[str] = FairQueue(1, 2)
    assert line.enter("a", "a0")
    entered(line, "a1", "b1")
    line.leave("a", "a1")
    entered(line, "a2")
    line.leave("b", "b1")
    assert served(line, "a") == ["a2"]


def test_nothing_is_remembered_of_who_has_gone() -> None:
    line: FairQueue[str] = FairQueue(1, 4)
    for caller in "abcdef":
        assert line.enter(caller, caller)
        assert line.end(caller) is None
    assert not line._running
    assert not line._waiting


STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=60)


@given(st.integers(1, 3), st.integers(0, 8), STEPS)
def test_turns_and_places_are_never_exceeded_and_no_turn_is_idle(
    turns: int, places: int, steps: list[tuple[str, bool]]
) -> None:
    """Whatever comes (True) and ends; and nobody gets a turn before one who waits and has fewer."""
    line: FairQueue[str] = FairQueue(turns, places)
    running: Counter[str] = Counter()
    for caller, comes in steps:
        if comes:
            try:
                running[caller] += line.enter(caller, caller)
            except NoSlot:
                assert line.running == turns
        elif running[caller]:
            running[caller] -= 1
            waiting = set(line._waiting)
            following = line.end(caller)
            assert (following is None) == (not waiting)
            if following is not None:
                assert running[following] == min(running[one] for one in waiting)
                running[following] += 1
        assert line.running == running.total() <= turns
        assert line.waiting <= places
        assert line.running == turns or not line.waiting
