"""The messages between the process that checks statements and the one that started it, in frames of `wire`."""

from __future__ import annotations

import msgspec

from traceplane.query.gate.statement import Lists


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a task makes of its author's statement: values for parameters, the answer's columns and their order.

    `columns` are (name, DuckDB type); each is cast to its type, and what else the statement gives is left out.
    """

    parameters: tuple[tuple[str, int], ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    order: tuple[str, ...] = ()


class Table(msgspec.Struct, frozen=True):
    """A relation to bind a statement to, empty: `names` are (schema or "", table), `columns` (name, type), `hexes`
    the names of those of Hex."""

    names: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str], ...]
    hexes: tuple[str, ...] = ()


class Statement(msgspec.Struct, frozen=True, tag=True):
    """A statement to check, as its author wrote it. With `tables` it is bound to them as well."""

    sql: str
    shape: Shape | None = None
    tables: tuple[Table, ...] | None = None


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The process of this id is warm and confined."""

    process: int


class Passed(msgspec.Struct, frozen=True, tag=True):
    """The statement may run, as the text `sql`; `relations` are (schema, table, position, read), the rest as in
    `Admitted`."""

    sql: str
    relations: list[tuple[str | None, str, int | None, bool]]
    lists: Lists
    runs: str
    last: bool = False
    """Whether the process ends after this reply."""


class Rejected(msgspec.Struct, frozen=True, tag=True):
    """The statement is refused; the fields are those of `Refusal`."""

    code: str
    message: str
    position: int | None
    name: str | None
    last: bool = False
