"""Answers as rows of JSON and of CSV, which lose nothing.

Rendered in the cell, so that a large answer costs the broker no time, and malformed values no safety.

| DuckDB type | JSON |
|---|---|
| BOOLEAN, integers up to 64 bits | true/false, number (exact: read it with a parser that keeps 64 bits) |
| HUGEINT, such as a sum of integers | number, of 38 digits at most |
| UHUGEINT, BIGNUM, DECIMAL, a 256-bit integer | string of digits |
| FLOAT, DOUBLE | number; `"NaN"`, `"Infinity"`, `"-Infinity"` |
| VARCHAR, UUID, ENUM, INTERVAL, BIT, VARIANT | string |
| BLOB | string, `0x` and lower-case hex |
| DATE, TIME, TIMESTAMP | string, ISO 8601; with `Z` where the type has a time zone; `"infinity"`, `"-infinity"` |
| TIMETZ | string, as DuckDB writes it |
| LIST, ARRAY | array |
| STRUCT, MAP | object, an array where its fields have no names; array of `[key, value]` |
| UNION | the value of its member |

CSV holds the same values: a field is empty for NULL and `""` for an empty text, nested values are JSON. All of it
holds at any depth. Types
DuckDB hands over in a lossy form are cast to VARCHAR by DuckDB itself first (`lossless`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
from duckdb.sqltypes import DuckDBPyType

from traceplane.query.cell.answers import values


@dataclass(frozen=True, slots=True)
class Rendered:
    """`body` is JSON arrays joined by commas, or CSV lines; or an Arrow stream or Parquet file, see `columnar`."""

    body: bytes
    rows: int
    truncated: bool


def render(
    form: str,
    columns: list[tuple[str, DuckDBPyType]],
    batches: Iterable[pa.RecordBatch],
    *,
    max_rows: int,
    max_bytes: int,
) -> Rendered:
    """At most `max_rows` rows in at most `max_bytes`; `truncated` says whether rows are missing."""
    types = [kind for _, kind in columns]
    parts: list[bytes] = []
    count = size = 0
    if form == "csv":
        parts.append(_csv([[name for name, _ in columns]]))
        size = len(parts[0])
    for batch in batches:
        rows = list(_rows(batch, types))
        kept = rows[: max_rows - count]
        text = _encoded(form, kept)
        if size + len(text) > max_bytes:
            kept, text = _fitting(form, kept, max_bytes - size)
        if kept:
            parts.append(text)
            count += len(kept)
            size += len(text) + 1  # the comma between two parts of JSON
        if len(kept) < len(rows):
            return Rendered(_joined(form, parts), count, True)
    return Rendered(_joined(form, parts), count, False)


def _rows(batch: pa.RecordBatch, types: list[DuckDBPyType]) -> Iterator[tuple[Any, ...]]:
    if batch.num_columns == 0:
        return iter([()] * batch.num_rows)  # zip of nothing would have no rows
    return zip(*(values.of(column, kind) for column, kind in zip(batch.columns, types, strict=True)), strict=True)


def _encoded(form: str, rows: list[tuple[Any, ...]]) -> bytes:
    return _csv(rows) if form == "csv" else orjson.dumps(rows)[1:-1]


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    lines = (",".join(map(_field, row)) + "\r\n" for row in rows)  # RFC 4180
    return "".join(lines).encode("utf-8", "replace")


def _field(value: Any) -> str:
    """As Postgres writes it: nothing for NULL, and quotes around an empty text, and where a reader needs them."""
    if value is None:
        return ""
    # Else a number, true or false, or the JSON of a nested value.
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    # A line of `\.` alone ends the rows for Postgres.
    if text in ("", "\\.") or any(character in text for character in '",\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _fitting(form: str, rows: list[tuple[Any, ...]], room: int) -> tuple[list[tuple[Any, ...]], bytes]:
    """As many of `rows` as their text fits `room`, found by halving: few encodings however large the rows are."""
    count = bisect_right(range(1, len(rows) + 1), room, key=lambda count: len(_encoded(form, rows[:count])))
    return rows[:count], _encoded(form, rows[:count])


def _joined(form: str, parts: list[bytes]) -> bytes:
    return (b"" if form == "csv" else b",").join(parts)
