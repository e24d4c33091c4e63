"""A statement for one task: its author's SELECT with values for parameters, the declared types and the order.

What a parameter or a semicolon is, DuckDB's own lexer says: no text, comment or quoted name is touched. A value
fills the place of its parameter where it fits, so places in the result are places in what the author wrote.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import duckdb

from traceplane.query.gate import allowlist, parser, text
from traceplane.query.gate.messages import Shape
from traceplane.query.gate.statement import Admitted, Lists, Refusal

_NAME = re.compile(rb"[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*")


def shaped(sql: str, shape: Shape) -> tuple[Admitted, str]:
    """The author's SELECT with its values, if the gate admits it, and the statement that runs. Raises Refusal."""
    admitted = allowlist.check(_with_values(sql, dict(shape.parameters)))
    if admitted.lists is not Lists.NOTHING:
        raise Refusal("StatementNotAllowed", "a job's SELECT reads its inputs; it may not list what there is")
    # It is one SELECT: what semicolons it has stand before or behind it.
    select = _without_semicolons(admitted.sql)
    whole = _typed(select, shape) if shape.columns else select
    # second guard: the whole text is what runs.
    if [name.text for name in allowlist.relations(parser.tree(whole))] != [n.text for n in admitted.relations]:
        raise Refusal("NotOneSelect", "the statement is no SELECT that could stand in brackets")
    return Admitted(select, admitted.relations), whole


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _with_values(sql: str, values: dict[str, int]) -> str:
    text.check(sql)
    data = bytearray(sql.encode())
    for start in _operators(sql, data, b"$"):
        found = _NAME.match(data, start + 1)
        if found is None:
            continue  # `$1` and the like: the gate refuses it, with every other parameter
        name = found[0].decode(errors="replace")
        if name not in values:
            known = " and ".join(f"${known}" for known in values) or "none"
            place = len(data[:start].decode(errors="replace"))
            message = f"there is no parameter ${name}; there is {known}"
            raise Refusal("ParametersNotSupported", message, position=place, name=name)
        # In brackets where it is negative: `x-$y` must not become the beginning of a comment.
        digits = str(values[name]) if values[name] >= 0 else f"({values[name]})"
        data[start : found.end()] = digits.encode().ljust(found.end() - start)
    return data.decode()


def _without_semicolons(sql: str) -> str:
    data = bytearray(sql.encode())
    for start in _operators(sql, data, b";"):
        data[start : start + 1] = b" "
    return data.decode()


def _operators(sql: str, data: bytearray, sign: bytes) -> Iterator[int]:
    """Byte offsets of the operators in `sql` that are `sign`, last first: `data` may change behind each."""
    try:
        tokens = duckdb.tokenize(sql)
    except duckdb.Error:
        return  # the parser says what is wrong
    for start, kind in reversed(tokens):
        if kind == duckdb.token_type.operator and data[start : start + 1] == sign:
            yield start


def _typed(select: str, shape: Shape) -> str:
    # DuckDB makes the types, since its message is the best one ("Could not convert string 'x' to INT64").
    columns = ", ".join(f"CAST(answer.{quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in shape.columns)
    order = f"\nORDER BY {', '.join(map(quoted, shape.order))}" if shape.order else ""
    # On lines of its own: a comment at the end of the SELECT ends with its line.
    return f"SELECT {columns}\nFROM (\n{select}\n) AS answer{order}"
