"""Which slices a run answers for: whole, final, and none that begins past where the run ends."""

from __future__ import annotations

from typing import Any

from operators.query.slices import ranges
from traceplane_sdk import wire

SOURCE: dict[str, Any] = {
    "position": 0,
    "name": "blocks",
    "dataset": "d",
    "version": "v",
    "storage": "Postgres",
    "location": "hot.d_1",
    "columns": [],
    "scope_column": "block_number",
    "sort_by": [],
    "finality_depth": 5,
    "first_value": 3,
}


def keys(position: int | None, final: int | None = None, **cursor: Any) -> list[str]:
    source = wire.TaskInput(**SOURCE, final=final, cursor=wire.CursorSpan(None, **cursor))
    return [one.key for one in ranges(source, position, 10)]


def test_slices_are_answered_for_once_they_are_final() -> None:
    assert keys(None, upto=34) == ["3-9", "10-19", "20-29"]
    assert keys(None, upto=33) == ["3-9", "10-19"]
    assert keys(9, upto=40, final=19) == ["10-19"]


def test_a_run_that_ends_short_of_what_is_there_answers_for_the_slice_that_it_ends_in() -> None:
    assert keys(None, upto=12, reach=34) == ["3-9", "10-19"]
    assert keys(None, upto=12, reach=34, final=29) == ["3-9", "10-19"]
    assert keys(None, upto=12, reach=23) == ["3-9"], "which is not final yet"
    assert keys(19, upto=12, reach=34) == []
