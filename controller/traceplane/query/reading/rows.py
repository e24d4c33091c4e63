"""The rows of a set of files: their types found or checked, then the rows themselves.

Each file is read more than once and never kept: to find types, to find the first value that does not fit, and to
hand the rows over. So memory does not grow with the files, and nothing is handed over before all of it is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb

from traceplane.query.reading.formats import Opened, opened
from traceplane.query.reading.messages import BadContent, Read, ReadColumn, SourceFile
from traceplane.query.reading.types import CANDIDATES, name, value

BATCH_ROWS = 8192
MAX_SHOWN = 80
"""Characters of a value in an error."""

_ADVICE = ("Possible", "*", "file =", "Try setting", "LINE ", "^")
_LINE = re.compile(r"\b[Ll]ine:? (\d+)")


def look(connection: duckdb.DuckDBPyConnection, folder: str, wanted: Read) -> tuple[list[Opened], list[ReadColumn]]:
    """The files and the columns that their rows will have. Raises BadContent."""
    files = []
    for file in wanted.files:
        with _speaking_of(file, folder):
            files.append(opened(connection, folder, file, wanted))
    if wanted.columns is None:
        _alike(files)
        columns = _found(connection, folder, files)
    else:
        columns = wanted.columns
        for one in files:
            if lacks := [column.name for column in columns if column.name not in one.columns]:
                has = ", ".join(one.columns)
                raise BadContent("BadColumn", f"{one.file.name} has no column {lacks[0]}; it has {has}"[:1000])
    _check(connection, folder, files, columns, wanted)
    return files, columns


def batches(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Opened], columns: Sequence[ReadColumn], wanted: Read
) -> Iterator[Any]:
    """Arrow batches of all rows."""
    for file in files:
        made = ", ".join(
            f"{value(column.type, file.columns[column.name].of(column.type), wanted.forms)} AS {name(column.name)}"
            for column in columns
        )
        yield from connection.sql(f"SELECT {made} FROM {file.relation}").to_arrow_reader(BATCH_ROWS)


def _alike(files: Sequence[Opened]) -> None:
    """Refuse files of different columns: which of them is meant is for a person to say."""
    first = files[0]
    for file in files[1:]:
        if file.file.format == "json":
            continue  # a key that no line has is no difference
        if differing := sorted(file.columns.keys() ^ first.columns.keys()):
            raise BadContent(
                "BadColumn",
                f"{file.file.name} and {first.file.name} differ in the column {differing[0]}; give all files the "
                "same columns, or declare in spec.schema those that are wanted",
            )


def _found(connection: duckdb.DuckDBPyConnection, folder: str, files: Sequence[Opened]) -> list[ReadColumn]:
    """The narrowest type of each column that every value of every file fits."""
    names = list(dict.fromkeys(column for file in files for column in file.columns))
    fitting: dict[str, set[str]] = {column: set(CANDIDATES) | {"Int32"} for column in names}
    for file in files:
        with _speaking_of(file.file, folder):
            for column, kinds in _kinds(connection, file).items():
                if kinds is not None:
                    fitting[column] &= kinds
    found = []
    for column in names:
        order = ("Bool", "Int32", *CANDIDATES[1:])
        # Of a column without any value everything is true; then it is text.
        right = [kind for kind in order if kind in fitting[column]]
        chosen = "Text" if len(right) > len(CANDIDATES) else next(iter(right), None)
        if chosen is None:
            why = next((f.columns[column].unknown for f in files if column in f.columns), "")
            reason = why or "its values have no common type; declare one in spec.schema"
            raise BadContent("BadColumn", f"column {column}: {reason}")
        found.append(ReadColumn(column, chosen, True))
    return found


def _kinds(connection: duckdb.DuckDBPyConnection, file: Opened) -> dict[str, set[str] | None]:
    """Types that every value of each column fits; None where the column has no value."""
    asked = [
        (column, kind, condition)
        for column, field in file.columns.items()
        for kind, condition in field.kinds.items()
    ]
    counted = ", ".join(f"count({field.text})" for field in file.columns.values())
    tests = ", ".join(
        f"count(*) FILTER (WHERE {file.columns[column].text} IS NOT NULL AND NOT coalesce({condition}, false))"
        for column, _, condition in asked
    )
    row = connection.execute(f"SELECT {counted}{', ' if tests else ''}{tests} FROM {file.relation}").fetchone()
    assert row is not None  # an aggregate has one
    counts, misfits = row[: len(file.columns)], row[len(file.columns) :]
    kinds: dict[str, set[str] | None] = {
        # Of a column without a value every type would be right, unless the file itself says one.
        column: set() if count or file.file.format == "parquet" else None
        for (column, field), count in zip(file.columns.items(), counts, strict=True)
    }
    for (column, kind, _), misfit in zip(asked, misfits, strict=True):
        fitting = kinds[column]
        if fitting is not None and not misfit:
            fitting |= _wider(kind) if file.file.format == "parquet" else {kind}
    return kinds


def _wider(kind: str) -> set[str]:
    """The types that hold every value of one that a file says it has."""
    wider = {"Int32": {"Int32", "Int64", "Float64"}, "UInt256": {"UInt256"}}
    return wider.get(kind, {kind})


def _check(
    connection: duckdb.DuckDBPyConnection,
    folder: str,
    files: Sequence[Opened],
    columns: Sequence[ReadColumn],
    wanted: Read,
) -> None:
    """Refuse the first value that does not fit its column, and too few or too many rows."""
    total = 0
    for file in files:
        with _speaking_of(file.file, folder):
            total += _checked(connection, file, columns, wanted)
        if total > wanted.max_rows:
            raise BadContent("TooLarge", f"more than {wanted.max_rows} rows; raise TRACE_EXTERNAL_MAX_ROWS")
    if not total:
        raise BadContent("Empty", "no rows; a file set without a row is not published")


def _checked(
    connection: duckdb.DuckDBPyConnection, file: Opened, columns: Sequence[ReadColumn], wanted: Read
) -> int:
    """How many rows the file has. Raises BadContent for a value that does not fit."""
    wrong = []
    for number, column in enumerate(columns):
        raw = file.columns[column.name].of(column.type)
        misfit = f"{raw} IS NOT NULL AND ({value(column.type, raw, wanted.forms)}) IS NULL"
        missing = "" if column.nullable else f" OR {raw} IS NULL"
        wrong.append(f"WHEN {misfit}{missing} THEN {number}")
    row = connection.execute(
        f"SELECT count(*), min_by(n, n) FILTER (WHERE wrong IS NOT NULL), min_by(wrong, n) FROM ("
        f"SELECT row_number() OVER () AS n, CASE {' '.join(wrong)} END AS wrong FROM {file.relation})"
    ).fetchone()
    assert row is not None  # an aggregate has one
    count, first, number = row
    if file.records is not None and file.records != count:
        raise BadContent(
            "Unreadable",
            f"{file.file.name}: {file.records} records, of which {count} are read; quote as RFC 4180 says",
        )
    if first is None:
        return int(count)
    column = columns[number]
    raw = file.columns[column.name].of(column.type)
    text = connection.execute(
        f"SELECT raw FROM (SELECT row_number() OVER () AS n, {raw} AS raw FROM {file.relation}) WHERE n = {first}"
    ).fetchone()
    place = f"{file.file.name}, row {first}, column {column.name}"
    if text is None or text[0] is None:
        raise BadContent("BadValue", f"{place}: no value; give it one, or declare the column nullable")
    raise BadContent(
        "BadValue", f"{place}: {text[0][:MAX_SHOWN]!r} is no {column.type}; correct it, or declare another type"
    )


@contextmanager
def _speaking_of(file: SourceFile, folder: str) -> Iterator[None]:
    """Turns an error of DuckDB about one file into words about it."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise BadContent("TooLarge", f"{file.name}: its rows take too much memory; split the file") from None
    except duckdb.Error as error:
        raise BadContent("Unreadable", _words(str(error), file, f"{folder.rstrip('/')}/{file.path}")) from None


def _words(text: str, file: SourceFile, path: str) -> str:
    place = file.name
    if (line := _LINE.search(text)) is not None:
        place += f", line {line[1]}"
    # What DuckDB advises are its own options, which nobody can set here; its first words say what is wrong.
    lines = [one.strip() for one in text.split("\n") if one.strip()]
    kept = [one for one in lines[:5] if not one.startswith(_ADVICE)]
    said = re.sub(f"""["']?[^"' ]*{re.escape(path)}["']?""", file.name, " ".join(kept))
    return f"{place}: {said[:600]}; correct the file"
