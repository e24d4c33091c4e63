"""From the text of a statement to the syntax tree of one SELECT, by DuckDB's own parser.

Size, tokens and nesting are bounded by the lexer, which does not recurse, before the parser sees the text. That
does not bound what the parser makes of it: it writes the operand of a CASE once for each WHEN, so that a few
hundred bytes become a tree of gigabytes. A service therefore parses in a process that may end, see `supervisor`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import duckdb
import orjson

from traceplane.query.exact import bound, u256
from traceplane.query.gate import advice, text
from traceplane.query.gate.statement import Refusal

MAX_TOKENS = 8_000
MAX_NESTING = 50
"""Open brackets at once. Deeper statements are written by generators, and recursion is how parsers die."""
MAX_EXPRESSION_DEPTH = 200
MAX_MESSAGE = 500
"""Characters of DuckDB's own text in a message."""


def parse(sql: str) -> dict[str, Any]:
    """The syntax tree of the one SELECT in `sql`. Raises Refusal; positions in the tree count bytes."""
    text.check(sql)
    _check_tokens(sql)
    return tree(sql)


@cache
def database() -> duckdb.DuckDBPyConnection:
    """A DuckDB that parses and binds and does nothing else, locked. The process that checks has one thread."""
    connection = duckdb.connect(
        config={
            "threads": 1,
            "memory_limit": "256MB",
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
    )
    u256.install(connection, planning=True)
    bound.limit_optimizers(connection)
    connection.execute(f"SET max_expression_depth = {MAX_EXPRESSION_DEPTH}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")  # last: nothing can be set after it
    return connection


@cache
def binder() -> duckdb.DuckDBPyConnection:
    """The same DuckDB with the depth of a query service: operators that become calls nest deeper than is parsed."""
    return database().cursor()


def _check_tokens(sql: str) -> None:
    try:
        tokens = duckdb.tokenize(sql)
    except duckdb.Error as error:
        raise Refusal("InvalidQuery", first_line(error)) from None
    if len(tokens) > MAX_TOKENS:
        raise Refusal("QueryTooLarge", f"the statement has more than {MAX_TOKENS} tokens")
    _check_nesting(sql, [start for start, kind in tokens if kind == duckdb.token_type.operator])


def _check_nesting(sql: str, operators: list[int]) -> None:
    """Refuse more than MAX_NESTING open brackets; `operators` are byte offsets of tokens."""
    data = sql.encode()
    depth = 0
    for offset in operators:
        character = data[offset : offset + 1]
        if character in b"([{":
            depth += 1
            if depth > MAX_NESTING:
                position = len(data[:offset].decode("utf-8", "replace"))
                raise Refusal("QueryTooDeep", f"brackets nest deeper than {MAX_NESTING}", position=position)
        elif character in b")]}":
            depth -= 1


def tree(sql: str) -> dict[str, Any]:
    """The syntax tree of a text whose size is known to be bounded. Raises Refusal."""
    try:
        statements = database().extract_statements(sql)
    except duckdb.Error as error:
        raise _unparsable(error, _place(sql)) from None
    if len(statements) != 1:
        if any(not statement.query for statement in statements):  # DuckDB's own: it writes one to find the values
            raise Refusal("NotOneSelect", advice.PIVOT)
        raise Refusal("NotOneSelect", f"one SELECT is wanted, not {len(statements)} statements")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        message = f"only SELECT may be run, not {kind.name.replace('_', ' ')}{advice.statement(kind.name, sql)}"
        raise Refusal("NotOneSelect", message)
    answer = _serialized(sql)
    # DuckDB reports what fails while it writes the tree in the tree's place.
    if answer.get("error_type") == "out of memory":
        raise Refusal(text.TOO_COMPLEX, text.TOO_COMPLEX_TEXT)
    if answer.get("error", True):
        raise Refusal("InvalidQuery", str(answer.get("error_message", "not a SELECT"))[:MAX_MESSAGE])
    parsed: list[dict[str, Any]] = answer["statements"]
    # second guard: what becomes of the text here is what is checked, however it was split above.
    if len(parsed) != 1:
        raise Refusal("NotOneSelect", f"one SELECT is wanted, not {len(parsed)} statements")
    return parsed[0]


def _serialized(sql: str) -> dict[str, Any]:
    """What DuckDB says of the statement, as JSON."""
    try:
        row = database().execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
        answer: dict[str, Any] = orjson.loads(row[0] if row else "{}")
    except orjson.JSONDecodeError as error:
        # second guard: what DuckDB keeps to MAX_EXPRESSION_DEPTH is flatter than the 1024 levels that orjson reads.
        if "depth limit" in str(error):
            raise Refusal("QueryTooDeep", "the statement nests too deep") from None
        if "memory" in str(error):
            raise Refusal(text.TOO_COMPLEX, text.TOO_COMPLEX_TEXT) from None
        # What is left is what JSON cannot hold: a number that DuckDB reads as infinite.
        message = "a number is too large to be written as a constant: use 'infinity'::DOUBLE"
        raise Refusal("InvalidQuery", message) from None
    except duckdb.Error as error:
        raise _unparsable(error) from None
    return answer


def _place(sql: str) -> int | None:
    """The character at which the parser stops, which DuckDB tells in the answer of this function only."""
    try:
        row = database().execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
        return place_of(sql, orjson.loads(row[0] if row else "{}"))
    except (duckdb.Error, orjson.JSONDecodeError):
        return None


def place_of(sql: str, said: dict[str, Any]) -> int | None:
    """The character of an error that DuckDB wrote as JSON; it counts bytes."""
    offset = str(said.get("position", "")) if said.get("error") else ""
    return len(sql.encode()[: int(offset)].decode(errors="replace")) if offset.isdecimal() else None


def _unparsable(error: Exception, place: int | None = None) -> Refusal:
    if is_out_of_memory(error):
        return Refusal(text.TOO_COMPLEX, text.TOO_COMPLEX_TEXT)
    if is_too_deep(error):
        return Refusal("QueryTooDeep", f"expressions nest deeper than {MAX_EXPRESSION_DEPTH}")
    return Refusal("InvalidQuery", first_line(error), position=place)


def is_out_of_memory(error: Exception) -> bool:
    """Whether it took more memory than this process has."""
    return isinstance(error, duckdb.OutOfMemoryException) or "bad_alloc" in str(error)


def is_too_deep(error: Exception) -> bool:
    """Whether expressions nest deeper than the connection takes."""
    return "expression depth limit" in str(error)


def first_line(error: Exception) -> str:
    """DuckDB's message with the place it marks, without a stack trace."""
    return str(error).split("\n\nStack Trace", 1)[0].strip()[:MAX_MESSAGE]
