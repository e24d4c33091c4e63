"""COPY text: what is encoded is what Postgres would read back, and chunks are bounded."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceplane_sdk import wire
from traceplane_sdk.columns import FORMS, ColumnType
from traceplane_sdk.copyrows import encode_rows
from traceplane_sdk.errors import OperatorError

_UNESCAPE = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


def _columns(*types: str) -> list[wire.ColumnDef]:
    return [wire.ColumnDef(f"c{i}", kind, nullable=True) for i, kind in enumerate(types)]


def _read_back(text: str) -> list[list[str | None]]:
    """COPY's text format, undone: https://www.postgresql.org/docs/current/sql-copy.html."""
    rows = []
    for line in text.removesuffix("\n").split("\n"):
        rows.append([None if field == "\\N" else _unescape(field) for field in line.split("\t")])
    return rows


def _unescape(field: str) -> str:
    out, characters = [], iter(field)
    for character in characters:
        out.append(_UNESCAPE[next(characters)] if character == "\\" else character)
    return "".join(out)


@given(st.text(st.sampled_from("0xaf\t\n\r\\N.")))
def test_no_value_can_add_a_column_or_a_row_whatever_its_type_says(value: str) -> None:
    encoded = "".join(encode_rows(_columns("Hex", "Text", "Json"), [(value, value, value)]))
    assert _read_back(encoded) == [[value, value, json.dumps(value)]]


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.integers(0, 2**256 - 1)), min_size=1))
def test_text_and_wide_integers_survive(rows: list[tuple[str | None, int | None]]) -> None:
    encoded = "".join(encode_rows(_columns("Text", "UInt256"), rows))
    expected: list[list[Any]] = [[a, None if b is None else str(b)] for a, b in rows]
    assert _read_back(encoded) == expected


@given(st.lists(st.none() | st.sampled_from([0, 1, 2, 2**256 - 1]), min_size=1))
def test_numbers_that_repeat_survive(numbers: list[int | None]) -> None:
    encoded = "".join(encode_rows(_columns("UInt256"), [(number,) for number in numbers]))
    assert _read_back(encoded) == [[None if number is None else str(number)] for number in numbers]


@pytest.mark.parametrize("other", [True, 1.0, -1, 2**256])
def test_a_number_that_is_none_is_refused_also_among_those_that_are_equal_to_it(other: Any) -> None:
    with pytest.raises(OperatorError, match="column c0"):
        list(encode_rows(_columns("UInt256"), [(1,)] * 9 + [(other,)]))


def test_lists_survive_empty_or_not() -> None:
    encoded = "".join(encode_rows(_columns("Json"), [([],), ([[]],), ({},), (None,)]))
    assert _read_back(encoded) == [["[]"], ["[[]]"], ["{}"], [None]]


def test_times_are_exact_seconds_in_utc() -> None:
    assert list(encode_rows(_columns("Timestamp"), [(1_700_000_000,)])) == ["2023-11-14T22:13:20+00:00\n"]


def test_a_long_copy_comes_in_bounded_pieces() -> None:
    chunks = list(encode_rows(_columns("Text"), [("x" * 300_000,)] * 10))
    assert len(chunks) == 3
    assert sum(map(len, chunks)) == 10 * 300_001


_REFUSED: dict[str, list[Any]] = {
    "Int32": ["7", "7\t999", 7.0, True, 2**31, -(2**31) - 1],
    "Int64": ["7", "7\n1\t2", 7.0, False, 2**63, -(2**63) - 1],
    "UInt256": ["7", 7.0, True, -1, 2**256],
    "Float64": ["0.5", "nan\t1", True, 10**400],
    "Hex": [7, b"0x", True],
    "Text": [7, b"text", ["text"]],
    "Bool": ["t", 1, 0],
    "Timestamp": ["2026-01-01", 1.5, True, 10**15, datetime(2026, 1, 1)],
    "Json": [float("nan"), {1, 2}, datetime(2026, 1, 1, tzinfo=UTC)],
}


def test_every_type_says_what_it_refuses() -> None:
    assert set(_REFUSED) == set(FORMS)


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, values in _REFUSED.items() for value in values]
)
def test_a_value_that_its_column_is_not_made_of_is_refused_by_the_columns_name(kind: str, value: Any) -> None:
    with pytest.raises(OperatorError, match=f"column c1 .{kind}.") as refused:
        list(encode_rows(_columns("Int64", kind), [(1, value)]))
    assert refused.value.code == "BadValue"
    assert "999" not in refused.value.message, "a hostile value is not repeated"


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(list(ColumnType)), _ANYTHING)
def test_any_value_at_all_is_one_field_of_one_row_or_refused(kind: ColumnType, value: Any) -> None:
    with contextlib.suppress(OperatorError):
        encoded = "".join(encode_rows(_columns(kind, "Int64"), [(value, 5)]))
        ((_, last),) = _read_back(encoded)
        assert last == "5"


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(OperatorError, match="other than 2 values for 2 columns"):
        list(encode_rows(_columns("Int64", "Int64"), [(1,)]))
