"""What the query service answers, as types, for the OpenAPI document and the tests that hold answers to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec


class Column(msgspec.Struct):
    """A column with its DuckDB type."""

    name: str
    type: str


class Output(msgspec.Struct):
    """The Parquet file of an exported answer. `url` needs no token, and is good until `url_expires_at`."""

    location: str
    format: Literal["parquet"]
    bytes: int
    sha256: str
    url: str
    url_expires_at: datetime


class Answer(msgspec.Struct):
    """An answer as JSON. With `output` it was exported, and `rows` is empty.

    `versions` are the dataset versions it was read from; `as_of` is a token that repeats it on exactly them, null
    where it read nothing or too many ranges to name.
    """

    query_id: UUID
    columns: list[Column]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    duration_ms: float
    bytes_scanned: int
    versions: list[dict[str, Any]]
    as_of: str | None
    output: Output | None = None


class KnownAnswer(msgspec.Struct):
    """What is known of an answer that was given. `output` is null where it was not exported, its file was deleted,
    or the caller may no longer read what it was read from."""

    id: UUID
    sql_sha256: str
    format: str
    row_count: int
    truncated: bool
    bytes: int
    bytes_scanned: int
    duration_ms: float
    columns: list[Column]
    versions: list[dict[str, Any]]
    as_of: str | None
    created_at: datetime
    exported: bool
    output: Output | None


class BatchQuery(msgspec.Struct):
    """A batch query without an answer: not yet, or never."""

    id: UUID
    state: Literal["Queued", "Running", "Canceled"]
    sql_sha256: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
