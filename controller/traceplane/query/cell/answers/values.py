"""From Arrow's columns to values that JSON can hold.

Dates and times are written by Arrow, which knows any unit and years that Python does not. What is left is done
here: years beyond Arrow's (32767), infinities, which DuckDB keeps at the ends of the range, and the midnight that
ends a day. Nested columns are taken apart into their columns, so that a value reads the same at any depth.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa
from duckdb.sqltypes import DuckDBPyType

from traceplane.query.cell.answers import lossless

_PLAIN = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string, pa.types.is_null)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_SECONDS = 24 * 60 * 60
_CYCLE_YEARS = 400
_CYCLE_DAYS = 146_097
"""The calendar repeats itself after 400 years."""
_EPOCH = datetime.date(1970, 1, 1).toordinal() - 1


def of(column: pa.Array, kind: DuckDBPyType) -> list[Any]:
    """The values of `column`. `kind` is its type in DuckDB: only that says whether a struct has names."""
    found = column.type
    if kind.id == "hugeint":
        return _wholes(column)
    if any(is_kind(found) for is_kind in _PLAIN):
        return list(column.to_pylist())
    for is_kind, render in _LEAVES:
        if is_kind(found):
            return render(column)
    for is_kind, render_parts in _NESTED:
        if is_kind(found):
            return render_parts(column, lossless.parts(kind))
    return [None if value is None else str(value) for value in column.to_pylist()]


def _floats(column: pa.Array) -> list[Any]:
    return [value if value is None or math.isfinite(value) else _not_finite(value) for value in column.to_pylist()]


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _decimals(column: pa.Array) -> list[Any]:
    return [None if value is None else format(value, "f") for value in column.to_pylist()]


def _wholes(column: pa.Array) -> list[Any]:
    """Numbers, also beyond the 64 bits of orjson's."""
    return [
        None if value is None else int(value) if abs(value) < 2**63 else orjson.Fragment(str(int(value)))
        for value in column.to_pylist()
    ]


def _bytes(column: pa.Array) -> list[Any]:
    return [None if value is None else "0x" + value.hex() for value in column.to_pylist()]


def _times(column: pa.Array) -> list[Any]:
    texts = _texts(column, lambda _: "24:00:00")  # the only time beyond Arrow's range
    return [None if text is None else text.removesuffix(".000000") for text in texts]


def _dates(column: pa.Array) -> list[Any]:
    return _texts(column, lambda days: _infinite(days, 32) or _date(days))


def _timestamps(column: pa.Array) -> list[Any]:
    """ISO 8601 with all digits of the unit; `Z` for instants."""
    unit, zone = column.type.unit, "Z" if column.type.tz else ""
    texts = _texts(column.cast(pa.timestamp(unit)), lambda value: _infinite(value, 64) or _timestamp(value, unit))
    if unit == "ns":  # the only unit whose ends are years that Arrow writes
        ends = [_infinite(value, 64) if value is not None else "" for value in column.cast(pa.int64()).to_pylist()]
        texts = [end or text for end, text in zip(ends, texts, strict=True)]
    # Only the infinities end with a letter.
    return [text if text is None or text[-1] == "y" else text.replace(" ", "T") + zone for text in texts]


def _texts(column: pa.Array, out_of_range: Callable[[int], str]) -> list[str | None]:
    """What Arrow writes; `out_of_range` of the number where Arrow cannot write it."""
    texts: list[str | None] = column.cast(pa.string()).to_pylist()
    beyond = [
        row for row, text in enumerate(texts) if text is not None and text[0] == "<"
    ]  # "<value out of range: 1>"
    if beyond:
        numbers = column.view(pa.int32() if pa.types.is_date(column.type) else pa.int64())
        for row in beyond:
            texts[row] = out_of_range(numbers[row].as_py())
    return texts


def _infinite(value: int, bits: int) -> str:
    """The infinity that DuckDB keeps as `value`, or nothing."""
    if abs(value) != 2 ** (bits - 1) - 1:
        return ""
    return "infinity" if value > 0 else "-infinity"


def _date(days: int) -> str:
    """The day so many days after 1970-01-01, in any year."""
    cycles, rest = divmod(days + _EPOCH, _CYCLE_DAYS)
    day = datetime.date.fromordinal(rest + 1)
    year = day.year + cycles * _CYCLE_YEARS
    return f"{'-' if year < 0 else ''}{abs(year):04}-{day:%m-%d}"


def _timestamp(value: int, unit: str) -> str:
    seconds, fraction = divmod(value, _PER_SECOND[unit])
    days, seconds = divmod(seconds, _DAY_SECONDS)
    digits = len(str(_PER_SECOND[unit])) - 1
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{_date(days)} {clock}" + (f".{fraction:0{digits}}" if digits else "")


_Parts = list[tuple[str, DuckDBPyType]]


def _lists(column: pa.Array, parts: _Parts) -> list[Any]:
    items, ends = of(column.values, parts[0][1]), column.offsets.to_pylist()
    return [items[ends[row] : ends[row + 1]] if valid else None for row, valid in enumerate(_valid(column))]


def _arrays(column: pa.Array, parts: _Parts) -> list[Any]:
    items, size, start = of(column.values, parts[0][1]), column.type.list_size, column.offset
    return [
        items[row * size : row * size + size] if valid else None for row, valid in enumerate(_valid(column), start)
    ]


def _maps(column: pa.Array, parts: _Parts) -> list[Any]:
    (_, key), (_, item) = parts
    pairs = [list(pair) for pair in zip(of(column.keys, key), of(column.items, item), strict=True)]
    ends = column.offsets.to_pylist()
    return [pairs[ends[row] : ends[row + 1]] if valid else None for row, valid in enumerate(_valid(column))]


def _structs(column: pa.Array, parts: _Parts) -> list[Any]:
    """Objects; lists where the fields have no names."""
    fields = [of(field, kind) for field, (_, kind) in zip(column.flatten(), parts, strict=True)]
    names = [name for name, _ in parts]
    rows = zip(_valid(column), *fields, strict=True)
    if not all(names):
        return [list(row) if valid else None for valid, *row in rows]
    return [dict(zip(names, row, strict=True)) if valid else None for valid, *row in rows]


def _unions(column: pa.Array, parts: _Parts) -> list[Any]:
    members = [of(column.field(place), kind) for place, (_, kind) in enumerate(parts)]
    return [members[code][row] for row, code in enumerate(column.type_codes.to_pylist())]


def _valid(column: pa.Array) -> list[bool]:
    return list(column.is_valid().to_pylist())


_LEAVES: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], list[Any]]], ...] = (
    (pa.types.is_floating, _floats),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_date, _dates),
    (pa.types.is_time, _times),
    (pa.types.is_binary, _bytes),
)
_NESTED: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array, _Parts], list[Any]]], ...] = (
    (pa.types.is_list, _lists),
    (pa.types.is_fixed_size_list, _arrays),
    (pa.types.is_map, _maps),
    (pa.types.is_struct, _structs),
    (pa.types.is_union, _unions),
)
