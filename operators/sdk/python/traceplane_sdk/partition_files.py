"""The rows of one output and one partition as files: each is uploaded and removed before the next one begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from traceplane_sdk import wire
from traceplane_sdk.commit import PartitionCommit
from traceplane_sdk.parquet import ParquetFile, arrow_schema

MAX_FILE_BYTES = 1024**3
"""A file is closed beyond this size: it bounds the scratch disk and stays far below a single PUT's 5 GiB."""
MAX_FILE_ROWS = 10_000_000


class PartitionFiles:
    """Writes to `scratch`, and from there to the store. Tables come in the order of the output."""

    def __init__(self, commit: PartitionCommit, scratch: Path, *, max_rows: int = MAX_FILE_ROWS) -> None:
        self._commit = commit
        self._scratch = scratch
        self._max_rows = max_rows
        self._schema = arrow_schema(commit.output.columns)
        self._file: ParquetFile | None = None
        self._part = 0

    def write(self, table: Any) -> None:
        """Add a table of the output's schema as one row group."""
        file = self._file
        if file is not None and (file.rows + table.num_rows > self._max_rows or file.bytes >= MAX_FILE_BYTES):
            self._store(file, self._part)
            self._part += 1
        self._open().write(table)

    def seal(self) -> wire.CommittedOutput:
        """Upload what is left, then manifest and marker."""
        # A range without rows still gets a file, so that readers find its schema.
        self._store(self._open(), self._part or None)
        return self._commit.seal()

    def _open(self) -> ParquetFile:
        if self._file is None:
            path = self._scratch / f"{self._commit.output.name}_{self._part}.output.parquet"
            self._file = ParquetFile(path, self._schema, self._commit.output.sort_by)
        return self._file

    def _store(self, file: ParquetFile, part: int | None) -> None:
        file.close()
        self._file = None
        self._commit.add(file.path, self._commit.file_name(part), file.rows)
        file.path.unlink()
