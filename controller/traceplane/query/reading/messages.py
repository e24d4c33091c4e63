"""What travels between the process that reads foreign files and the one that started it."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

_NAME = re.compile("[a-z_][a-z0-9_]{0,62}")


def plain_name(title: str) -> str | None:
    """The name that a column gets in SQL, such as close_price for `Close Price`; None where it can get none."""
    plain = re.sub("[^a-z0-9_]+", "_", title.strip().lower()).strip("_")
    plain = f"_{plain}" if plain[:1].isdigit() else plain
    return plain if _NAME.fullmatch(plain) else None


class BadContent(Exception):
    """The files cannot be published; the text says file, line or row, and remedy."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class SourceFile(msgspec.Struct, frozen=True, array_like=True):
    """A file: `path` is its name in the folder of the process, `name` what people call it."""

    path: str
    name: str
    format: Literal["csv", "json", "parquet"]
    gzip: bool


class ReadColumn(msgspec.Struct, frozen=True, array_like=True):
    """A column as it is asked for, or as it was found; `type` is a column type of the platform."""

    name: str
    type: str
    nullable: bool


class Read(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Read `files` in order. Without `columns` their types are found in the rows."""

    files: list[SourceFile]
    columns: list[ReadColumn] | None
    forms: dict[str, str]
    """The regular expression of each type whose values are text of a strict form."""
    quoted_nulls: bool
    """Whether `""` in a CSV file is no value, as DuckDB reads it; else it is an empty text."""
    max_rows: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The process is confined and waits for `Read`."""


class Found(msgspec.Struct, frozen=True, tag=True):
    """What the rows that follow consist of."""

    columns: list[ReadColumn]


class Rows(msgspec.Struct, frozen=True, tag=True):
    """The next rows, as an Arrow IPC stream."""

    data: bytes


class End(msgspec.Struct, frozen=True, tag=True):
    """That was all: `rows` of them."""

    rows: int


class Bad(msgspec.Struct, frozen=True, tag=True):
    """The files cannot be read, and why: file, line or row, and remedy."""

    code: str
    message: str


FromReader = Found | Rows | End | Bad
