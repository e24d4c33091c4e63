"""The formats: which columns a file has, and each of them as text.

A CSV file has a header, and one of four delimiters, which the header shows (`csv_text`). Nothing else about it is
guessed: DuckDB's own detection takes a row of the wrong length for a reason to begin below it. A line of JSON is an
object. Parquet says its own types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from traceplane.query.reading.csv_text import shape
from traceplane.query.reading.messages import BadContent, Read, SourceFile, plain_name
from traceplane.query.reading.types import CANDIDATES, fits, name, quoted

MAX_COLUMNS = 256
MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_OBJECT_BYTES = 2 * 1024 * 1024

_NUMBERS = frozenset({"UBIGINT", "BIGINT", "HUGEINT", "UHUGEINT", "DOUBLE"})
_PARQUET = {
    "BOOLEAN": "Bool",
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT"), "Int32"),
    **dict.fromkeys(("UINTEGER", "BIGINT"), "Int64"),
    **dict.fromkeys(("UBIGINT", "HUGEINT", "UHUGEINT"), "UInt256"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "Float64"),
    **dict.fromkeys(("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "Timestamp"),
    "TIMESTAMP WITH TIME ZONE": "Timestamp",
    **dict.fromkeys(("VARCHAR", "UUID", "TIME", "ENUM"), "Text"),
    "BLOB": "Hex",
    "JSON": "Json",
}


@dataclass(frozen=True, slots=True)
class Opened:
    """A file with its columns, by the names that they get; `relation` is what to read FROM."""

    file: SourceFile
    relation: str
    columns: Mapping[str, Field]
    records: int | None
    """How many rows it has, where that is known."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column: as text, as JSON text, and what may be a type of it beyond doubt."""

    text: str
    json: str
    kinds: Mapping[str, str]
    """Condition of each type that it may have, on one value that is there."""
    unknown: str = ""
    """Why no type can be found; empty where one can."""

    def of(self, kind: str) -> str:
        """The text that a value of `kind` is made of."""
        return self.json if kind == "Json" else self.text


def opened(
    connection: duckdb.DuckDBPyConnection,
    folder: str,
    file: SourceFile,
    wanted: Read,
) -> Opened:
    """The file, looked at but for its rows. Raises BadContent, duckdb.Error."""
    path = str(Path(folder, file.path))
    records = None
    if file.format == "csv":
        relation, found, records = _csv(path, file, wanted)
    elif file.format == "json":
        relation, found = _json(connection, path, file, wanted.forms)
    else:
        relation, found = _parquet(connection, path)
    if len(found) > MAX_COLUMNS:
        raise BadContent("TooManyColumns", f"{file.name} has {len(found)} columns; at most {MAX_COLUMNS}")
    return Opened(file, relation, _named(file, found), records)


def _named(file: SourceFile, found: Mapping[str, Field]) -> dict[str, Field]:
    """The columns by their names in SQL. Raises BadContent where one has none, or two have the same."""
    named: dict[str, Field] = {}
    for title, field in found.items():
        plain = plain_name(title)
        if plain is None:
            raise BadContent("BadColumn", f"{file.name}: column {title[:80]!r} has no name in SQL; rename it")
        if plain in named:
            raise BadContent("BadColumn", f"{file.name}: two columns are called {plain}; rename one")
        named[plain] = field
    return named


def _csv(path: str, file: SourceFile, wanted: Read) -> tuple[str, dict[str, Field], int]:
    found = shape(path, file, wanted.max_rows)
    titles = found.titles
    if len(set(titles)) != len(titles):
        twice = next(title for title in titles if titles.count(title) > 1)
        raise BadContent("BadColumn", f"{file.name}: two columns are called {twice[:80]!r}; rename one")
    columns = ", ".join(f"{quoted(title)}: 'VARCHAR'" for title in titles)
    options = (
        f"auto_detect = false, header = true, delim = {quoted(found.delimiter)}, quote = '\"', escape = '\"', "
        f"strict_mode = true, allow_quoted_nulls = {str(wanted.quoted_nulls).lower()}, "
        f"max_line_size = {MAX_LINE_BYTES}, "
        f"compression = '{'gzip' if file.gzip else 'none'}', parallel = false"
    )
    fields = {}
    for title in titles:
        raw = name(title)
        conditions = {kind: fits(kind, raw, wanted.forms) for kind in CANDIDATES if kind != "Json"}
        fields[title] = Field(raw, raw, conditions)
    return f"read_csv({quoted(path)}, {options}, columns = {{{columns}}})", fields, found.records


def _json(
    connection: duckdb.DuckDBPyConnection, path: str, file: SourceFile, forms: Mapping[str, str]
) -> tuple[str, dict[str, Field]]:
    options = (
        f"format = 'newline_delimited', compression = '{'gzip' if file.gzip else 'uncompressed'}', "
        f"maximum_object_size = {MAX_OBJECT_BYTES}"
    )
    lines = f"read_json({quoted(path)}, {options}, records = false, columns = {{'line': 'JSON'}})"
    other = connection.execute(
        f"SELECT n FROM (SELECT row_number() OVER () AS n, line FROM {lines})"
        " WHERE line IS NULL OR json_type(line) <> 'OBJECT' LIMIT 1"
    ).fetchone()
    if other is not None:
        raise BadContent("Unreadable", f"{file.name}, row {other[0]}: not a JSON object; write one a line")
    keys = connection.execute(
        f"SELECT DISTINCT unnest(json_keys(line)) AS key FROM {lines} LIMIT {MAX_COLUMNS + 1}"
    ).fetchall()
    fields = {}
    for (key,) in sorted(keys):
        # By position in a list of one name: the key may hold what a path gives a meaning.
        found = f"json_extract(line, {quoted('$.' + _path(key))})"
        scalar = f"({found} ->> '$')"
        kind = f"json_type({found})"
        there = f"CASE WHEN {kind} <> 'NULL' THEN {{}} END"
        text = there.format(scalar)
        numbers = "(" + ", ".join(quoted(one) for one in sorted(_NUMBERS)) + ")"
        conditions = {"Bool": f"{kind} = 'BOOLEAN'"}
        conditions |= {
            one: f"{kind} IN {numbers} AND {fits(one, scalar, forms)}" for one in ("Int64", "UInt256", "Float64")
        }
        conditions |= {
            one: f"{kind} = 'VARCHAR' AND {fits(one, scalar, forms)}" for one in ("Timestamp", "Hex", "Text")
        }
        conditions["Json"] = "true"
        fields[key] = Field(text, there.format(f"CAST({found} AS VARCHAR)"), conditions)
    return lines, fields


def _path(key: str) -> str:
    """A key in a JSON path."""
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _parquet(connection: duckdb.DuckDBPyConnection, path: str) -> tuple[str, dict[str, Field]]:
    relation = f"read_parquet({quoted(path)})"
    fields = {}
    for title, kind in connection.execute(
        f"SELECT column_name, column_type FROM (DESCRIBE FROM {relation})"
    ).fetchall():
        found, why = _of_parquet(kind)
        column = name(title)
        if kind == "BLOB":
            text = f"'0x' || lower(hex({column}))"
        elif kind == "FLOAT":
            text = f"CAST(CAST({column} AS DOUBLE) AS VARCHAR)"
        elif found == "Json" and kind != "JSON":
            text = f"CAST(to_json({column}) AS VARCHAR)"
        else:
            text = f"CAST({column} AS VARCHAR)"
        fields[title] = Field(text, text, {found: "true"} if found else {}, why)
    return relation, fields


def _of_parquet(kind: str) -> tuple[str, str]:
    """The type that holds every value of a type of Parquet's, or why there is none."""
    decimal = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    if decimal is not None:
        if int(decimal[2]):
            return "", f"{kind} has no type that holds it exactly; declare it in spec.schema as Float64 or Text"
        return ("Int64" if int(decimal[1]) <= 18 else "UInt256"), ""
    if kind.startswith("ENUM("):
        return "Text", ""
    if kind.endswith("]") or kind.startswith(("STRUCT(", "MAP(", "UNION(")):
        return "Json", ""
    found = _PARQUET.get(kind, "")
    return found, "" if found else f"type {kind} is not supported; declare it in spec.schema as Text"
