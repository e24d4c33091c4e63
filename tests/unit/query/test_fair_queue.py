"""Which caller gets the next free slot, and which gets no place: slots are shared among callers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceplane.query.admission.fair_queue import FairQueue, NoSlot


def entered(queue: FairQueue[str], *tickets: str) -> None:
    """Tickets of callers named by their first letter, none of which gets a slot at once."""
    for ticket in tickets:
        assert not queue.enter(ticket[0], ticket)


def served(queue: FairQueue[str], running: str) -> list[str]:
    """The tickets in the order in which they get the only slot, where `running` has it first."""
    order = []
    while (ticket := queue.release(running)) is not None:
        order.append(ticket)
        running = ticket[0]
    assert (queue.running, queue.waiting) == (0, 0)
    return order


def test_callers_are_served_in_turn_and_each_in_its_order() -> None:
    queue: FairQueue[str] = FairQueue(1, 32)
    assert queue.enter("a", "a0")
    entered(queue, "a1", "a2", "a3", "b1", "b2", "c1")
    assert served(queue, "a") == ["b1", "c1", "a1", "b2", "a2", "a3"]


def test_many_statements_of_one_delay_anothers_first_by_one_for_each_slot() -> None:
    queue: FairQueue[str] = FairQueue(2, 32)
    assert [queue.enter("a", ticket) for ticket in ("a0", "a1")] == [True, True]
    entered(queue, *[f"a{n}" for n in range(2, 18)])
    entered(queue, "b1")
    assert queue.release("a") == "b1"


def test_a_caller_with_a_query_running_comes_after_those_with_none() -> None:
    queue: FairQueue[str] = FairQueue(2, 32)
    assert [queue.enter(ticket[0], ticket) for ticket in ("a0", "b0")] == [True, True]
    entered(queue, "a1", "b1", "c1", "d1")
    assert [queue.release("b"), queue.release("c"), queue.release("d"), queue.release("b")] == [
        "c1",
        "d1",
        "b1",
        "a1",
    ]


def test_a_caller_that_comes_again_and_again_overtakes_none_that_waits() -> None:
    queue: FairQueue[str] = FairQueue(1, 32)
    assert queue.enter("a", "a0")
    entered(queue, "b1", "c1", "b2")
    assert queue.release("a") == "b1"
    entered(queue, "a1")
    assert queue.release("b") == "c1"
    entered(queue, "d1")
    assert [queue.release("c"), queue.release("a"), queue.release("b"), queue.release("d")] == [
        "a1",
        "b2",
        "d1",
        None,
    ]


@pytest.mark.parametrize(("places", "of_one"), [(1, 1), (2, 1), (3, 1), (8, 4), (32, 16)])
def test_one_caller_has_half_of_the_places_and_at_least_one(places: int, of_one: int) -> None:
    queue: FairQueue[str] = FairQueue(1, places)
    assert queue.enter("a", "a")
    entered(queue, *["a"] * of_one)
    with pytest.raises(NoSlot, match="waiting"):
        queue.enter("a", "a")
    entered(queue, *[chr(ord("b") + n) for n in range(places - of_one)])
    with pytest.raises(NoSlot, match=rf"\({places} queries are waiting\); try again later"):
        queue.enter("z", "z")
    assert queue.waiting == places


def test_without_places_a_free_slot_is_given_and_nobody_waits() -> None:
    queue: FairQueue[str] = FairQueue(1, 0)
    assert queue.enter("a", "a1")
    with pytest.raises(NoSlot):
        queue.enter("b", "b1")
    assert queue.release("a") is None
    assert queue.enter("b", "b1")


def test_a_place_that_is_given_up_is_anothers() -> None:
    queue: FairQueue[str] = FairQueue(1, 2)
    assert queue.enter("a", "a0")
    entered(queue, "a1", "b1")
    queue.withdraw("a", "a1")
    entered(queue, "a2")
    queue.withdraw("b", "b1")
    assert served(queue, "a") == ["a2"]


def test_nothing_is_kept_of_callers_without_queries() -> None:
    queue: FairQueue[str] = FairQueue(1, 4)
    for caller in "abcdef":
        assert queue.enter(caller, caller)
        assert queue.release(caller) is None
    assert not queue._running
    assert not queue._waiting


STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=60)


@given(st.integers(1, 3), st.integers(0, 8), STEPS)
def test_slots_and_places_are_never_exceeded_and_no_slot_is_idle(
    slots: int, places: int, steps: list[tuple[str, bool]]
) -> None:
    """Whatever comes (True) and ends; and no caller gets a slot before one that waits and has fewer."""
    queue: FairQueue[str] = FairQueue(slots, places)
    running: Counter[str] = Counter()
    for caller, comes in steps:
        if comes:
            try:
                running[caller] += queue.enter(caller, caller)
            except NoSlot:
                assert queue.running == slots
        elif running[caller]:
            running[caller] -= 1
            waiting = set(queue._waiting)
            following = queue.release(caller)
            assert (following is None) == (not waiting)
            if following is not None:
                assert running[following] == min(running[one] for one in waiting)
                running[following] += 1
        assert queue.running == running.total() <= slots
        assert queue.waiting <= places
        assert queue.running == slots or not queue.waiting
