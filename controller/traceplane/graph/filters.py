"""The `where` of an input: every field a column of what is read, every constant of its type. Pure.

What it means is said in `traceplane_sdk.where`; this makes the canonical form of it, in which the order of fields
and constants, a constant given twice, and a scalar for a list of one make no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from traceplane.graph import explain
from traceplane.graph.model import Problem
from traceplane.graph.nodes import Node
from traceplane.graph.wording import suggestion
from traceplane.kinds.rules import INVALID
from traceplane_sdk.columns import FORMS
from traceplane_sdk.operator import Column, OutputSchema
from traceplane_sdk.where import MAX_VALUES, Where

UNKNOWN_COLUMN = "UnknownColumn"


def read(node: Node, position: int, title: str, schema: OutputSchema) -> Where | list[Problem]:
    """The canonical `where` of the input at `position`, which reads `title` of `schema`; or the problems."""
    edge = (node.template.inputs or [])[position]
    columns = {column.name: column for column in schema.columns}
    problems: list[Problem] = []
    found: dict[str, list[str]] = {}
    count = 0
    for name, given in sorted((edge.where or {}).items()):
        field = explain.path(f"inputs[{position}].where", (name,))
        count += len(given) if isinstance(given, list) else 1
        if count > MAX_VALUES:
            message = f"at most {MAX_VALUES} constants in one where; keep a longer list in a dataset and join it"
            return [node.problem(field, explain.OUT_OF_BOUNDS, message)]
        if name not in columns:
            message = f"{title} has no column {name!r}; {suggestion(name, columns)}"
            problems.append(node.problem(field, UNKNOWN_COLUMN, message))
            continue
        texts = list(_texts(node, field, given, columns[name]))
        problems += [one for one in texts if isinstance(one, Problem)]
        found[name] = sorted({one for one in texts if isinstance(one, str)})
    return problems or found


def _texts(node: Node, field: str, given: Any, column: Column) -> Iterator[str | Problem]:
    """The constants of one field, or what is wrong with each."""
    constant = FORMS[column.type].constant
    if constant is None:
        message = f"column {column.name!r} is {column.type.value}, which nothing is compared with; remove the field"
        yield node.problem(field, INVALID, message)
        return
    if given == []:
        message = "an empty list lets no row through; name a constant, or remove the field"
        yield node.problem(field, explain.OUT_OF_BOUNDS, message)
    for index, value in enumerate(given if isinstance(given, list) else [given]):
        place = f"{field}[{index}]" if isinstance(given, list) else field
        if value is None:
            yield node.problem(place, explain.WRONG_TYPE, "must not be null: NULL equals no value of a column")
            continue
        try:
            yield constant(value)
        except ValueError as error:
            shown = explain.shown(value)
            message = f"column {column.name!r} is {column.type.value}: must be {error}; this is {shown}"
            yield node.problem(place, explain.WRONG_TYPE, message)
