"""A CSV file looked at before DuckDB reads it: header, delimiter, and that every record is whole.

DuckDB drops what follows a quote that is never closed, without a word. So the records are counted here by the
rules of RFC 4180, line by line, and a file that DuckDB counts otherwise is refused.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from traceplane.query.reading.messages import BadContent, SourceFile

DELIMITERS = ",;\t|"
MAX_FIELD_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CsvShape:
    """What a file says of itself; `records` are those below the header."""

    titles: list[str]
    delimiter: str
    records: int


def shape(path: str, file: SourceFile, max_rows: int) -> CsvShape:
    """The shape of a file. Raises BadContent."""
    csv.field_size_limit(MAX_FIELD_BYTES)
    with _text(path, file) as lines:
        first = lines.readline()
        if not first.strip():
            raise _bad(file, 1, "no header; the first line names the columns")
        delimiter = max(DELIMITERS, key=first.count)
        records = csv.reader(_from(first, lines), delimiter=delimiter, strict=True)
        try:
            titles = next(records)
            return CsvShape(titles, delimiter, _count(records, titles, file, max_rows))
        except csv.Error as error:
            why = "a quote that is not closed" if "unexpected end" in str(error) else str(error)
            raise _bad(file, records.line_num, f"{why}; correct it") from error


def _count(records: Iterator[list[str]], titles: list[str], file: SourceFile, max_rows: int) -> int:
    """How many records there are. Raises BadContent for one of another length."""
    count = 0
    for record in records:
        if not record and len(titles) > 1:
            continue  # an empty line; in a file of one column it is a record without a value
        if len(record) not in (len(titles), 0):
            line: int = records.line_num  # type: ignore[attr-defined]  # of csv's reader, which has no name as a type
            raise _bad(file, line, f"{len(record)} fields, where the header has {len(titles)}; correct it")
        count += 1
        if count > max_rows:
            raise BadContent("TooLarge", f"more than {max_rows} rows; raise TRACE_EXTERNAL_MAX_ROWS")
    return count


def _from(first: str, lines: io.TextIOWrapper) -> Iterator[str]:
    yield first
    yield from lines


@contextmanager
def _text(path: str, file: SourceFile) -> Iterator[io.TextIOWrapper]:
    """The file as text. Raises BadContent where it is none."""
    try:
        with _binary(path, file) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as lines:
            yield lines
    except UnicodeDecodeError as error:
        with _binary(path, file) as again:
            number = next(number for number, line in enumerate(again, 1) if not _decodes(line))
        raise _bad(file, number, "not UTF-8; write it in UTF-8") from error
    except (OSError, EOFError) as error:
        raise BadContent(
            "Unreadable", f"{file.name}: no whole gzip file; correct it, or name it without .gz"
        ) from error


def _binary(path: str, file: SourceFile) -> io.BufferedReader | gzip.GzipFile:
    return gzip.open(path) if file.gzip else open(path, "rb")


def _decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _bad(file: SourceFile, line: int, why: str) -> BadContent:
    return BadContent("Unreadable", f"{file.name}, line {line}: {why}")
