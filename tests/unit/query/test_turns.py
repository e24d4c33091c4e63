"""Whose turn it is."""

from __future__ import annotations

from traceplane.query.files.turns import Turns


def all_of(turns: Turns[str]) -> str:
    return "".join(iter(turns.next, None))


def test_askers_take_turns_each_in_their_own_order() -> None:
    turns = Turns[str]()
    turns.add("many", "abcd")
    turns.add("none", "")
    assert turns.next() == "a"
    turns.add("two", "xy")
    turns.add("one", "z")
    assert all_of(turns) == "bxzcyd"


def test_who_left_has_no_turn() -> None:
    turns = Turns[str]()
    turns.add("stays", "abc")
    turns.add("leaves", "xyz")
    turns.leave("leaves")
    turns.leave("never came")
    assert all_of(turns) == "abc"
