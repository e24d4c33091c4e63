"""The errors that become of a cell's failure, and which callers may read their texts. Pure.

A message that DuckDB makes while it binds a statement speaks of the statement. One that it makes while it runs may
quote a value: the text that is no number, what `error()` was given, also a time zone that is "not implemented". So
every kind that is not known to speak of the statement is taken to quote a row.

A user who waits for the answer may read the rows and gets the whole text. Two others do not:

- a task, whose error stands in its DAG's tasks and in logs, before people without the relations' readRoles;
- the record of a batch query, which stays after the statement and its rows are deleted.
"""

from __future__ import annotations

from traceplane.errors import Refused, TooLarge, TraceError, Unavailable
from traceplane.query import wire
from traceplane.query.errors import QueryFailed

MAX_TEXT = 1000

_OF_THE_STATEMENT = frozenset(
    {"BinderException", "CatalogException", "ParserException", "SyntaxException", "Inexact", "NeverEqual"}
)
"""They could name values only as columns of a PIVOT over data, and the gate admits none."""
_OF_THE_CELL = frozenset({"TooLong", "NotInParquet", "TooManyDigits"})
"""Texts that the cell makes itself, of names and types."""
_QUOTED = "\n\nLINE "
"""From here on DuckDB's messages quote the statement."""


class ValueFailed(QueryFailed):
    """It failed while it ran, as DuckDB's class of error `kind`; the message may quote a row."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def failed(message: wire.Failed) -> TraceError:
    """The error for a caller that may read the relations."""
    text, kind = message.message[:MAX_TEXT], message.kind[:64]  # from a cell, which may send anything
    if kind == "HotRows":
        return Unavailable("hot rows could not be read to their end")
    if kind == "OutOfMemory":
        return out_of_memory()
    if kind == "ExportTooLarge":
        return TooLarge("the answer is larger than an export may be; narrow the query or aggregate")
    if kind in _OF_THE_STATEMENT:
        return Refused(text, code="InvalidQuery")
    if not text:
        return QueryFailed(f"the query failed ({kind})")
    return QueryFailed(text) if kind in _OF_THE_CELL else ValueFailed(text, kind)


def out_of_memory() -> QueryFailed:
    """It took more than its budget."""
    return QueryFailed("the query needs more memory than one query may use", code="QueryOutOfMemory")


def without_rows(error: TraceError) -> TraceError:
    """The same error, which quotes no row."""
    if not isinstance(error, ValueFailed):
        return error
    return QueryFailed(
        f"the statement failed over a value ({error.kind}); to see the value, run it as a user who may read the "
        "rows, and wait for its answer"
    )


def without_statement(text: str) -> str:
    """A message up to where it quotes the statement."""
    return text.partition(_QUOTED)[0]
