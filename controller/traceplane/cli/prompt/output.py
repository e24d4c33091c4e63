"""What a session prints: answers, and errors with the place they speak of."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from traceplane.cli import answers, escapes, tables
from traceplane.cli.connection import Problem
from traceplane.cli.prompt import statements
from traceplane.errors import TraceError

if TYPE_CHECKING:
    from traceplane.cli.prompt.session import Session


def answer(found: dict[str, Any], session: Session, widest: int | None = None) -> Iterator[str]:
    """The lines of an answer; cells are cut at `widest`, but a line for each value never is."""
    names, rows = [column["name"] for column in found["columns"]], found["rows"]
    if session.expanded:
        yield from tables.records(names, rows)
    else:
        yield from tables.lines(names, rows, widest=widest)


def summary(found: dict[str, Any], session: Session) -> Iterator[str]:
    """What is said below the rows."""
    yield answers.counted(found, timing=session.timing)
    if found["truncated"]:
        yield f"warning: {answers.CUT.format(rows=found['row_count'])}, or use tracectl query --export"


def error(problem: TraceError, statement: str, before: str = "") -> None:
    """Print why a statement has no answer, with its place where the message does not show that itself."""
    sys.stderr.write(escapes.error_of(before + problem.message, problem.code))
    position = problem.position if isinstance(problem, Problem) else None
    if position is not None:
        sys.stderr.write(f"{statements.marked(statement, position)}\n")
