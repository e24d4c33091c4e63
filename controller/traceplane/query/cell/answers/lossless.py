"""Rows from DuckDB to Arrow without a loss.

DuckDB hands some types to Arrow in another form: a HUGEINT beyond 38 digits becomes a decimal that is none, a
TIMETZ loses its zone, a BIT becomes bytes. A column whose type has such a leaf, at any depth, is cast by DuckDB
first: to the same type with VARCHAR at these leaves, and with DECIMAL(38, 0) for HUGEINT, which is what a sum of
whole numbers is. A BIGNUM is digits, and its field says that they are a 256-bit integer's. Fields of an unnamed
struct get names (`v1`, `v2`, …), which readers of Arrow and Parquet need.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa
from duckdb import DuckDBPyRelation
from duckdb.sqltypes import DuckDBPyType

BATCH_ROWS = 2048

_CARRIED = {
    *("boolean", "tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint"),
    *("float", "double", "decimal", "varchar", "blob", "uuid", "enum", "geometry"),
    *("date", "time", "timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone"),
}
"""Leaves that Arrow carries as they are. A type that a later DuckDB brings is text until it is named here."""
_CAST = {"hugeint": "DECIMAL(38, 0)"}
"""Leaves that Arrow carries as another type than text, but for values that do not fit it."""
UINT256 = {"trace.type": "UInt256"}
"""Metadata of the field of a BIGNUM, as datasets have it: whether it is one, or a sum or difference beyond, is not
known before its rows are."""
_NESTED = {"list", "array", "map", "struct", "union"}


class TooManyDigits(ValueError):
    """A HUGEINT that no decimal of Arrow or Parquet holds. Its text speaks of the statement only."""


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def parts(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """What a nested type is made of, (name, type) each; nothing for others. An unnamed struct has empty names."""
    if kind.id not in _NESTED:
        return []
    children = kind.children[1:] if kind.id == "union" else kind.children  # the first of a union is its tag
    return [(name, part) for name, part in children if isinstance(part, DuckDBPyType)]  # an array has its size too


def contains(kind: DuckDBPyType, leaf: str) -> bool:
    """Whether `kind` is or has a type whose id is `leaf`."""
    return kind.id == leaf or any(contains(part, leaf) for _, part in parts(kind))


def cast(kind: DuckDBPyType) -> str | None:
    """The type, in SQL, that Arrow carries instead of `kind`; None where it carries `kind` itself."""
    return None if _is_carried(kind) else _sql_type(kind)


def read(relation: DuckDBPyRelation, names: Sequence[str]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The rows of `relation`, its columns called `names`, its types cast to what Arrow carries exactly. Both may
    raise TooManyDigits."""
    types = relation.types
    casts = [cast(kind) for kind in types]
    if not any(casts) and list(names) == relation.columns:
        reader = relation.to_arrow_reader(BATCH_ROWS)
        return reader.schema, iter(reader)
    # By position: DuckDB compares names without case, and two columns of a result may have the same one.
    columns = (
        f"CAST(#{place} AS {target}) AS c{place}" if target else f"#{place} AS c{place}"
        for place, target in enumerate(casts, 1)
    )
    wide = [name for name, kind in zip(names, types, strict=True) if contains(kind, "hugeint")]
    with _digits_of(wide):
        reader = relation.project(", ".join(columns)).to_arrow_reader(BATCH_ROWS)
    schema = pa.schema(map(_field, reader.schema, names, types))
    return schema, _renamed(reader, schema, wide)


def _field(field: pa.Field, name: str, kind: DuckDBPyType) -> pa.Field:
    named = field.with_name(name)
    return named.with_metadata(UINT256) if kind.id == "bignum" else named


@contextmanager
def _digits_of(columns: list[str]) -> Iterator[None]:
    """Say of DuckDB's error which of `columns` is too wide and what to do."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if not columns or "to DECIMAL(38,0)" not in str(error):
            raise
        named = " or ".join(f'"{name[:200]}"' for name in columns[:5])
        text = f"column {named} is of type HUGEINT and holds a number of more than 38 digits: cast it to VARCHAR"
        raise TooManyDigits(text) from None


def _renamed(batches: Iterable[pa.RecordBatch], schema: pa.Schema, wide: list[str]) -> Iterator[pa.RecordBatch]:
    with _digits_of(wide):
        for batch in batches:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _is_carried(kind: DuckDBPyType) -> bool:
    """Whether Arrow carries all of `kind`, so that it needs no cast."""
    if kind.id not in _NESTED:
        return kind.id in _CARRIED
    return all(_is_carried(part) and (name or kind.id != "struct") for name, part in parts(kind))


def _sql_type(kind: DuckDBPyType) -> str:
    """`kind` in SQL, with another type for the leaves that Arrow does not carry and a name for every field."""
    if _is_carried(kind):
        return str(kind)
    inner = [_sql_type(part) for _, part in parts(kind)]
    match kind.id:
        case "list":
            return f"{inner[0]}[]"
        case "array":
            return f"{inner[0]}[{kind.children[1][1]}]"
        case "map":
            return f"MAP({inner[0]}, {inner[1]})"
        case "struct" | "union":
            names = [name or f"v{place}" for place, (name, _) in enumerate(parts(kind), 1)]
            members = ", ".join(f"{quoted(name)} {text}" for name, text in zip(names, inner, strict=True))
            return f"{kind.id.upper()}({members})"
    return _CAST.get(kind.id, "VARCHAR")
