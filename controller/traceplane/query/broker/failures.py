"""What is told of a statement that failed in its cell, and to whom: one place knows which texts quote rows.

What DuckDB finds while it binds a statement speaks of the statement. What it finds while it runs one may quote a
value: the text that is no number, what `error()` was given, also a time zone that is "not implemented". So every
kind that is not known to speak of the statement is taken to quote a row.

A user who waits for the answer may read the rows and gets the whole text. Two others do not:

- a task, for its error stands in its DAG's tasks and in logs, before people without the relations' readRoles;
- what is kept of a query that was left to be run, for it stays after the statement and its rows are gone.

Pure.
"""

from __future__ import annotations

from traceplane.errors import Refused, TooLarge, TraceError, Unavailable
from traceplane.query import wire
from traceplane.query.broker.query import QueryFailed

MAX_TEXT = 1000

_OF_THE_STATEMENT = frozenset({"BinderException", "CatalogException", "ParserException", "SyntaxException"})
"""They could name values only as columns of a PIVOT over data, and the gate admits none."""
_OURS = frozenset({"TooLong", "NotInParquet"})
"""Texts that the cell makes itself, of names and types."""
_QUOTED = "\n\nLINE "
"""From here on DuckDB's messages quote the statement."""


class ValueFailed(QueryFailed):
    """It failed while it ran, as DuckDB's class of error `kind`; the message may quote a row."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def failed(message: wire.Failed) -> TraceError:
    """The error of what a cell tells, for who may read the relations."""
    text, kind = message.message[:MAX_TEXT], message.kind[:64]
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
    return QueryFailed(text) if kind in _OURS else ValueFailed(text, kind)


def out_of_memory() -> QueryFailed:
    """It took more than its budget."""
    return QueryFailed("the query needs more memory than one query may use", code="QueryOutOfMemory")


def without_rows(error: TraceError) -> TraceError:
    """The same error, which quotes no row."""
    if not isinstance(error, ValueFailed):
        return error
    return QueryFailed(
        f"the statement failed over a value ({error.kind}); run it as a user who may read the rows, and wait for "
        "its end, to see the value"
    )


def without_statement(text: str) -> str:
    """A message up to where it quotes the statement."""
    return text.partition(_QUOTED)[0]
