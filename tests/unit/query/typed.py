"""Random values of every type, at any depth: as SQL, and as each form of an answer must give them to its reader.

The value is made first, so that what is expected of a form comes neither from the service nor from DuckDB.
"""

from __future__ import annotations

import datetime
import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from tests.unit.query.answers import TEXTS, literal

LOOKALIKES = [
    *(text for text in TEXTS if text is not None),
    *(
        "1e5",
        "0x1f",
        "yes",
        "no",
        "true",
        "2020-01-01",
        "NaN",
        "Infinity",
        "1.0",
        "-0",
        "\t",
        "\x1b[2J",
        "\x85",
        "漢字",
    ),
    *("e\u0301", '"', "a\rb", "\n", "\r\n", "\\.\n", "a\n\\.\nb", "[1, 2]", "{}", "\ufeff", "x" * 3000),
]
TEXT = st.sampled_from(LOOKALIKES) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)


def same(value: Any) -> Any:
    """What a form gives as it is."""
    return value


@dataclass(frozen=True)
class Kind:
    """A type: its name in SQL, a value as SQL, and what JSON, CSV and Arrow give back, as that value."""

    sql: str
    values: st.SearchStrategy[Any]
    literal: Callable[[Any], str]
    json: Callable[[Any], Any] = same
    csv: Callable[[str], Any] | None = None
    arrow: Callable[[Any], Any] = same
    postgres: str = ""

    def written(self, value: Any) -> str:
        """A value as an expression of this type."""
        return f"(CASE WHEN true THEN {'NULL' if value is None else self.literal(value)} END)::{self.sql}"

    def of_json(self, value: Any) -> Any:
        return None if value is None else self.json(value)

    def of_csv(self, text: str | None) -> Any:
        if text is None:
            return None
        return self.csv(text) if self.csv else self.json(json.loads(text))

    def of_arrow(self, value: Any) -> Any:
        return None if value is None else self.arrow(value)


def _texts(sql: str, values: Any, read: Callable[[str], Any], arrow: Any = same, postgres: str = "") -> Kind:
    """A type that is written as text."""
    return Kind(sql, values, lambda value: literal(str(value)), read, read, arrow, postgres)


def _integers(sql: str, low: int, high: int, postgres: str = "", arrow: Any = same) -> Kind:
    return Kind(sql, st.integers(low, high), lambda value: f"'{value}'", _whole, int, arrow, postgres)


def _whole(value: Any) -> int:
    assert type(value) is int, value  # json.loads would give a float for what has a fraction
    return value


def _float(value: Any) -> float:
    assert isinstance(value, float) or value in ("NaN", "Infinity", "-Infinity"), value
    return float(value)


def _single(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _instant(text: str) -> datetime.datetime:
    assert text.endswith("Z")
    return datetime.datetime.fromisoformat(text)


_MOMENTS = st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31))
_LEAVES = [
    Kind("BOOLEAN", st.booleans(), str, csv={"true": True, "false": False}.__getitem__, postgres="bool"),
    _integers("TINYINT", -(2**7), 2**7 - 1, "smallint"),
    _integers("BIGINT", -(2**63), 2**63 - 1, "bigint"),
    _integers("UBIGINT", 0, 2**64 - 1, "numeric"),
    _integers("HUGEINT", -(10**38) + 1, 10**38 - 1, "numeric", int),
    _texts("UHUGEINT", st.integers(0, 2**128 - 1), int, int, "numeric"),
    _texts(
        "DECIMAL(30, 4)",
        st.integers(-(10**29), 10**29).map(lambda n: Decimal(n).scaleb(-4)),
        Decimal,
        same,
        "numeric",
    ),
    Kind("DOUBLE", st.floats(), lambda value: f"'{value!r}'", _float, float, same, "float8"),
    Kind("FLOAT", st.floats(width=32), lambda value: f"'{value!r}'", _float, lambda text: _single(float(text))),
    Kind("VARCHAR", TEXT, literal, csv=same, postgres="text"),
    Kind(
        "BLOB",
        st.binary(max_size=6),
        lambda value: f"unhex('{value.hex()}')",
        _blob := lambda t: bytes.fromhex(t[2:]),
        _blob,
    ),
    _texts("UUID", st.uuids(), UUID, lambda value: value if isinstance(value, UUID) else UUID(value), "uuid"),
    _texts("DATE", st.dates(), datetime.date.fromisoformat, same, "date"),
    _texts("TIME", st.times(), datetime.time.fromisoformat, same, "time"),
    _texts("TIMESTAMP", _MOMENTS, datetime.datetime.fromisoformat, same, "timestamp"),
    _texts("TIMESTAMPTZ", _MOMENTS.map(lambda at: at.replace(tzinfo=datetime.UTC)), _instant, same, "timestamptz"),
    Kind("ENUM('p', '', 'NULL')", st.sampled_from(["p", "", "NULL"]), literal, csv=same),
    Kind("BIT", st.text("01", min_size=1, max_size=20), literal, csv=same),
]
LEAVES = st.sampled_from(_LEAVES)
IN_POSTGRES = [kind for kind in _LEAVES if kind.postgres]


def _list(inner: Kind) -> Kind:
    def written(values: list[Any]) -> str:
        return f"[{', '.join(map(inner.written, values))}]"

    def each(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda values: [read(value) for value in values]

    values = st.lists(st.none() | inner.values, max_size=3)
    return Kind(f"{inner.sql}[]", values, written, each(inner.of_json), arrow=each(inner.of_arrow))


def _map(key: Kind, inner: Kind) -> Kind:
    def written(pairs: Sequence[tuple[Any, Any]]) -> str:
        return f"MAP{{{', '.join(f'{key.written(name)}: {inner.written(value)}' for name, value in pairs)}}}"

    def pairs_of(of_key: Any, of_value: Any) -> Callable[[Any], Any]:
        return lambda pairs: [(of_key(name), of_value(value)) for name, value in pairs]

    pairs = st.lists(st.tuples(key.values, st.none() | inner.values), max_size=3, unique_by=lambda pair: pair[0])
    of_json = pairs_of(key.of_json, inner.of_json)
    return Kind(
        f"MAP({key.sql}, {inner.sql})", pairs, written, of_json, arrow=pairs_of(key.of_arrow, inner.of_arrow)
    )


def _struct(names: Sequence[str], inner: Sequence[Kind]) -> Kind:
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    fields = [f"{name} {kind.sql}" for name, kind in zip(quoted, inner, strict=False)]

    def written(values: tuple[Any, ...]) -> str:
        parts = zip(quoted, inner, values, strict=False)
        return f"{{{', '.join(f'{name}: {kind.written(value)}' for name, kind, value in parts)}}}"

    def tuple_of(how: str) -> Callable[[Any], Any]:
        return lambda found: tuple(
            getattr(kind, how)(found[name]) for name, kind in zip(names, inner, strict=False)
        )

    values = st.tuples(*(st.none() | kind.values for kind in inner))
    return Kind(f"STRUCT({', '.join(fields)})", values, written, tuple_of("of_json"), arrow=tuple_of("of_arrow"))


_KEYS = st.sampled_from([kind for kind in _LEAVES if kind.sql in ("VARCHAR", "BIGINT", "DATE", "HUGEINT")])
_NAMES = ("a", "yes", "1e5", 'q"')
KINDS: st.SearchStrategy[Kind] = st.recursive(
    LEAVES,
    lambda inner: (
        inner.map(_list)
        | st.tuples(_KEYS, inner).map(lambda pair: _map(*pair))
        | st.lists(inner, min_size=1, max_size=4).map(lambda kinds: _struct(_NAMES, kinds))
    ),
    max_leaves=4,
)


def alike(one: Any, other: Any) -> bool:
    """Whether two values are the same: NaN is itself, and no number is another type's."""
    if isinstance(one, (list, tuple)) and type(one) is type(other):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    return type(one) is type(other) and bool(one == other)
