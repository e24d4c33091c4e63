"""From Arrow to text that loses nothing.

Runs in the cell, so that a large answer costs the broker no time and malformed values no safety.

| DuckDB type | JSON |
|---|---|
| BOOLEAN, integers up to 64 bits | true/false, number (exact: read it with a parser that keeps 64 bits) |
| HUGEINT, UHUGEINT, BIGNUM, DECIMAL, a 256-bit integer | string of digits |
| FLOAT, DOUBLE | number; `"NaN"`, `"Infinity"`, `"-Infinity"` |
| VARCHAR, UUID, ENUM, INTERVAL, BIT | string |
| BLOB | string, `0x` and lower-case hex |
| DATE, TIME, TIMESTAMP | string, ISO 8601; with `Z` where the type has a time zone |
| LIST, ARRAY | array |
| STRUCT, MAP | object; array of `[key, value]` |

CSV holds the same values: a field is empty for NULL, nested values are JSON. Types DuckDB hands over in a lossy
form are cast to VARCHAR by DuckDB itself first (`lossless`).
"""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import math
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import orjson
import pyarrow as pa

BATCH_ROWS = 2048

_BY_TEXT = ("HUGEINT", "UHUGEINT", "BIGNUM", "INTERVAL", "BIT", "UUID", "VARIANT", "TIME_NS", "TIME WITH TIME ZONE")
_PLAIN = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string)


@dataclass(frozen=True, slots=True)
class Rendered:
    """`body` is JSON arrays joined by commas, or CSV lines."""

    body: bytes
    rows: int
    truncated: bool


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def lossless(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """`relation` with columns of types that Arrow cannot carry exactly turned into text."""
    types = [str(kind) for kind in relation.types]
    if not any(kind in _BY_TEXT for kind in types) or len(set(relation.columns)) < len(relation.columns):
        return relation
    return relation.project(
        ", ".join(
            f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" if kind in _BY_TEXT else quoted(name)
            for name, kind in zip(relation.columns, types, strict=True)
        )
    )


def rows_as(
    form: str, names: list[str], batches: Iterable[pa.RecordBatch], *, max_rows: int, max_bytes: int
) -> Rendered:
    """Render at most `max_rows` rows in at most `max_bytes`; what is cut off is said by `truncated`."""
    parts: list[bytes] = []
    count = size = 0
    if form == "csv":
        parts.append(_csv([names]))
        size = len(parts[0])
    for batch in batches:
        rows = list(_rows(batch))
        kept = rows[: max_rows - count]
        text = _encoded(form, kept)
        if size + len(text) > max_bytes:
            kept, text = _fitting(form, kept, max_bytes - size)
        if kept:
            parts.append(text)
            count += len(kept)
            size += len(text) + 1
        if len(kept) < len(rows):
            return Rendered(_joined(form, parts), count, True)
    return Rendered(_joined(form, parts), count, False)


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    if batch.num_columns == 0:
        return iter([()] * batch.num_rows)
    return zip(*(_values(column) for column in batch.columns), strict=True)


def _values(column: pa.Array) -> list[Any]:
    kind = column.type
    if any(is_kind(kind) for is_kind in _PLAIN) or pa.types.is_null(kind):
        return list(column.to_pylist())
    if pa.types.is_timestamp(kind):
        return _timestamps(column)
    return [_value(value) for value in column.to_pylist()]


def _timestamps(column: pa.Array) -> list[Any]:
    """ISO 8601 with all digits of the unit; `Z` for instants. Rendered by Arrow: any year, nanoseconds too."""
    zone = "Z" if column.type.tz else ""
    naive = column.cast(pa.timestamp(column.type.unit))
    return [None if text is None else text.replace(" ", "T") + zone for text in naive.cast(pa.string()).to_pylist()]


def _value(value: Any) -> Any:
    """A Python value of Arrow's as JSON can hold it."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else str(value)
        case float():
            return _float(value)
        case decimal.Decimal():
            return format(value, "f")
        case bytes():
            return "0x" + value.hex()
        case datetime.datetime():
            return value.isoformat().replace("+00:00", "Z")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case uuid.UUID() | datetime.timedelta():
            return str(value)
        case dict():
            return {str(key): _value(item) for key, item in value.items()}
        case list() | tuple():
            return [_value(item) for item in value]
    return str(value)


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _encoded(form: str, rows: list[tuple[Any, ...]]) -> bytes:
    return _csv(rows) if form == "csv" else orjson.dumps(rows)[1:-1]


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    for row in rows:
        writer.writerow([_field(value) for value in row])
    return out.getvalue().encode("utf-8", "replace")


def _field(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return orjson.dumps(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _fitting(form: str, rows: list[tuple[Any, ...]], room: int) -> tuple[list[tuple[Any, ...]], bytes]:
    """As many of `rows` as their text fits `room`, found by halving: few encodings however large the rows are."""
    low, high, best = 0, len(rows), b""
    while low < high:
        middle = (low + high + 1) // 2
        text = _encoded(form, rows[:middle])
        if len(text) <= room:
            low, best = middle, text
        else:
            high = middle - 1
    return rows[:low], best


def _joined(form: str, parts: list[bytes]) -> bytes:
    return (b"" if form == "csv" else b",").join(parts)
