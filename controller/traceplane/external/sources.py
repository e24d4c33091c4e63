"""The bytes of a source, brought to a folder and hashed on the way: each is read once.

The hash covers names and bytes in the order of names; of a table, its rows in a stable order. What is too large is
given up at the bound, not after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from traceplane.drivers.objects import StoredObject
from traceplane.drivers.source_objects import SourceObjects
from traceplane.errors import NotFound, Refused, TooLarge
from traceplane.query.reading.messages import ReadColumn, SourceFile, plain_name
from traceplane.store import source_tables
from traceplane.versions.external_sources import Files, Table, format_of

MAX_FILES = 1000
MAX_LISTED = 100_000
"""Objects that are looked at to find those of a set."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A source in a folder. `columns` are those that it says it has itself, if it does."""

    files: Sequence[SourceFile]
    content: str
    columns: Sequence[ReadColumn] | None = None
    quoted_nulls: bool = True


class _Folder:
    """Writes files and their hash; `check` is called between pieces, and ends a run that is to end."""

    def __init__(self, path: Path, most: int, check: Callable[[], None]) -> None:
        self._path = path
        self._left = most
        self._most = most
        self._check = check
        self._hash = hashlib.sha256()

    def add(self, number: int, title: str, pieces: Iterator[bytes]) -> int:
        """Write the next file. Raises TooLarge."""
        own, size = hashlib.sha256(), 0
        with (self._path / str(number)).open("wb") as file:
            for piece in pieces:
                self._check()
                self._left -= len(piece)
                if self._left < 0:
                    raise TooLarge(
                        f"{title}: the content has over {self._most >> 20} MiB; make several assets of it or raise "
                        "TRACE_EXTERNAL_MAX_MB"
                    )
                own.update(piece)
                size += len(piece)
                file.write(piece)
        self._hash.update(f"{title}\0{size}\0".encode() + own.digest())
        return size

    @property
    def content(self) -> str:
        """The hash of all files so far, in hex."""
        return self._hash.hexdigest()


def files(objects: SourceObjects, wanted: Files, path: Path, *, most: int, check: Callable[[], None]) -> Fetched:
    """The objects of a file set. Raises Refused, Unavailable."""
    found = _listed(objects, wanted)
    folder = _Folder(path, most, check)
    sources = []
    for number, stored in enumerate(found):
        form = format_of(stored.key)
        assert form is not None  # it was looked at when the objects were listed
        folder.add(number, stored.key, objects.stream(stored.key))
        sources.append(SourceFile(str(number), stored.key, *form))
    return Fetched(sources, folder.content)


def _listed(objects: SourceObjects, wanted: Files) -> list[StoredObject]:
    """The objects of the set by name. Raises Refused."""
    found = []
    for number, stored in enumerate(objects.list(wanted.prefix)):
        if number >= MAX_LISTED:
            raise TooLarge(f"over {MAX_LISTED} objects below {wanted.prefix}; name a folder with fewer")
        if wanted.has(stored.key):
            found.append(stored)
    if not found:
        raise NotFound(
            f"no object of bucket {wanted.bucket} is meant by spec.external.uri; put one there", code="Empty"
        )
    if len(found) > MAX_FILES:
        raise TooLarge(f"{len(found)} files; at most {MAX_FILES}: join some, or name fewer")
    forms = {stored.key: format_of(stored.key) for stored in found}
    for key, form in forms.items():
        if form is None:
            raise Refused(
                f"{key}: not a format that is read; name it .csv, .tsv, .json, .jsonl, .ndjson or .parquet (text "
                "may end in .gz), or move it away",
                code="BadFormat",
            )
    if len({form[0] for form in forms.values() if form}) > 1:
        raise Refused("the files are of several formats; make an asset of each", code="BadFormat")
    return sorted(found, key=lambda stored: stored.key)


def table(
    connection: source_tables.Session,
    wanted: Table,
    path: Path,
    *,
    declared: Sequence[ReadColumn] | None,
    most: int,
    most_rows: int,
    check: Callable[[], None],
) -> Fetched:
    """The rows of a table. Raises Refused, Unavailable."""
    columns = source_tables.columns(connection, str(wanted))
    for column in columns:
        if plain_name(column.name) is None:
            raise Refused(f"table {wanted}: column {column.name!r} has no name in SQL; rename it", code="BadColumn")
        if column.type is None and declared is None:
            raise Refused(
                f"table {wanted}: column {column.name} is {column.postgres}, which no type here holds exactly; "
                "declare the columns in spec.schema, this one as Float64 or Text",
                code="BadColumn",
            )
    names = [column.name for column in columns]
    folder = _Folder(path, most, check)
    size = folder.add(
        0, str(wanted), source_tables.rows(connection, (wanted.schema, wanted.name), names, most=most_rows + 1)
    )
    if not size:
        raise Refused(f"table {wanted} has no columns", code="Empty")
    own = [ReadColumn(plain_name(c.name) or "", c.type or "", c.nullable) for c in columns]
    return Fetched(
        [SourceFile("0", str(wanted), "csv", False)],
        folder.content,
        None if declared is not None else own,
        quoted_nulls=False,
    )
