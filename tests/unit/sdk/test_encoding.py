"""COPY text: what is encoded is what Postgres would read back, and chunks are bounded."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from traceplane_sdk import wire
from traceplane_sdk.hot import encode_rows

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


def test_times_are_exact_seconds_in_utc() -> None:
    assert list(encode_rows(_columns("Timestamp"), [(1_700_000_000,)])) == ["2023-11-14T22:13:20+00:00\n"]


def test_a_long_copy_comes_in_bounded_pieces() -> None:
    chunks = list(encode_rows(_columns("Text"), [("x" * 300_000,)] * 10))
    assert len(chunks) == 3
    assert sum(map(len, chunks)) == 10 * 300_001
