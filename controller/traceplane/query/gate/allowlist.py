"""The first wall: which statements are run at all.

DuckDB's own parser reads the statement, so that the gate judges what will run and not what another parser makes
of it. The syntax tree must be one SELECT built of known parts only: every node, expression class, relation and
function is compared with a list of what is allowed, and what is on no list is refused. So a part of SQL that
nobody thought of is refused, not let through.

Names of common table expressions are followed with their true scope: `WITH t AS (...)` in one branch must not
make `t` acceptable in another, where DuckDB would look it up in its catalogue.

Pure: text in, an `Admitted` or a `Refusal` out. Size, tokens and nesting are bounded by the lexer, which does not
recurse, before the parser sees the text. That does not bound what the parser makes of it: it writes the operand of
a CASE once for each WHEN, so that a few hundred bytes become a tree of gigabytes. A service therefore judges in a
process that may end, see `judges`.
"""

from __future__ import annotations

import string
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import orjson

from traceplane.errors import Refused
from traceplane.query.gate import functions

MAX_SQL_BYTES = 64 * 1024
MAX_TOKENS = 8_000
MAX_NESTING = 50
"""Open brackets at once. Deeper statements are written by generators, and recursion is how parsers die."""
MAX_EXPRESSION_DEPTH = 200
MAX_RELATIONS = 64

TOO_COMPLEX = "QueryTooComplex"
TOO_COMPLEX_TEXT = "the statement becomes too much to be looked at; write it shorter, or in parts"

_NO_POSITION = 2**63


class Refusal(Refused):
    """A statement that will not be run. `position` counts characters from 0; None where there is no one place."""

    def __init__(self, code: str, message: str, *, position: int | None = None, name: str | None = None) -> None:
        super().__init__(message, code=code)
        self.position = position
        self.name = name


@dataclass(frozen=True, slots=True)
class RelationName:
    """A relation as the statement names it, lower case. `schema` is None where the name is unqualified."""

    schema: str | None
    table: str
    position: int | None = None

    @property
    def text(self) -> str:
        return self.table if self.schema is None else f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A statement that may run, if every one of `relations` (in order of appearance, no name twice) is granted."""

    sql: str
    relations: tuple[RelationName, ...]


_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLES = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "EMPTY_FROM", "PIVOT"}
)
_MODIFIERS = frozenset({"ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER"})
_EXPRESSIONS = frozenset(
    {
        "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION",
        "LAMBDA", "LAMBDA_REF", "OPERATOR", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "WINDOW",
    }
)  # fmt: skip
_TYPES = frozenset(
    {
        "BIGINT", "BIGNUM", "BINARY", "BIT", "BITSTRING", "BLOB", "BOOL", "BOOLEAN", "BPCHAR", "BYTEA", "CHAR",
        "DATE", "DATETIME", "DEC", "DECIMAL", "DOUBLE", "FLOAT", "FLOAT4", "FLOAT8", "GUID", "HUGEINT", "INT",
        "INT1", "INT2", "INT4", "INT8", "INT16", "INT32", "INT64", "INT128", "INTEGER", "INTEGRAL", "INTERVAL",
        "JSON", "LIST", "LOGICAL", "LONG", "MAP", "NUMERIC", "NVARCHAR", "REAL", "SHORT", "SIGNED", "SMALLINT",
        "STRING", "STRUCT", "TEXT", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_MS", "TIMESTAMP_NS",
        "TIMESTAMP_S", "TIMESTAMP_US", "TIMETZ", "TIME_NS", "TINYINT", "UBIGINT", "UHUGEINT", "UINT128", "UINT16",
        "UINT32", "UINT64", "UINT8", "UINTEGER", "UNION", "USMALLINT", "UTINYINT", "UUID", "VARBINARY", "VARCHAR",
        "VARIANT", "TIME WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE", "ARRAY", "NULL", "SQLNULL", "UNKNOWN",
        "\"NULL\"", "INTEGER_LITERAL", "STRING_LITERAL", "ROW", "OID",
    }
)  # fmt: skip

_local = threading.local()


def _parser() -> duckdb.DuckDBPyConnection:
    """This thread's DuckDB, used to parse and for nothing else; locked."""
    connection: duckdb.DuckDBPyConnection | None = getattr(_local, "connection", None)
    if connection is None:
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
        connection.execute(f"SET max_expression_depth = {MAX_EXPRESSION_DEPTH}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        _local.connection = connection
    return connection


def judge(sql: str) -> Admitted:
    """The statement's relations, if the gate admits it. Raises Refusal with a stable code."""
    check_text(sql)
    _check_tokens(sql)
    parsed = _parse(sql)
    try:
        found = _Walk(parsed).relations()
    except Refusal as refusal:
        refusal.position = _characters(sql, refusal.position)
        raise
    return Admitted(sql, tuple(replace(name, position=_characters(sql, name.position)) for name in found))


def _characters(sql: str, offset: int | None) -> int | None:
    """The character at a byte offset, which is how the parser counts."""
    if offset is None or sql.isascii():
        return offset
    return len(sql.encode()[:offset].decode("utf-8", "replace"))


def check_text(sql: str) -> None:
    """Raise Refusal for what is no statement whatever it says: empty, too large, or no text."""
    if not sql.strip():
        raise Refusal("EmptyQuery", "the statement is empty")
    if len(sql.encode("utf-8", "surrogatepass")) > MAX_SQL_BYTES:
        raise Refusal("QueryTooLarge", f"the statement is larger than {MAX_SQL_BYTES} bytes")
    for position, character in enumerate(sql):
        if character == "\0" or 0xD800 <= ord(character) <= 0xDFFF:
            raise Refusal("InvalidQuery", "the statement holds a character SQL cannot", position=position)


def _check_tokens(sql: str) -> None:
    try:
        tokens = duckdb.tokenize(sql)
    except duckdb.Error as error:
        raise Refusal("InvalidQuery", _first_line(error)) from None
    if len(tokens) > MAX_TOKENS:
        raise Refusal("QueryTooLarge", f"the statement has more than {MAX_TOKENS} tokens")
    _nesting(sql, [start for start, kind in tokens if kind == duckdb.token_type.operator])


def _nesting(sql: str, operators: list[int]) -> None:
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


def _parse(sql: str) -> dict[str, Any]:
    """The syntax tree of the one SELECT in `sql`."""
    parser = _parser()
    try:
        statements = parser.extract_statements(sql)
    except duckdb.Error as error:
        raise _unparsable(error) from None
    if len(statements) != 1:
        raise Refusal("NotOneSelect", f"one SELECT is wanted, not {len(statements)} statements")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise Refusal("NotOneSelect", f"only SELECT may be run, not {kind.name.replace('_', ' ')}")
    try:
        row = parser.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
        answer = orjson.loads(row[0] if row else "{}")
    except orjson.JSONDecodeError as error:
        if "depth limit" in str(error):
            raise Refusal("QueryTooDeep", "the statement nests too deep") from None
        if "memory" in str(error):
            raise Refusal(TOO_COMPLEX, TOO_COMPLEX_TEXT) from None
        # What JSON cannot hold: a number that DuckDB reads as infinite.
        raise Refusal("InvalidQuery", "a number is too large to be written so: say 'infinity'::DOUBLE") from None
    except duckdb.Error as error:
        raise _unparsable(error) from None
    if answer.get("error_type") == "out of memory":
        raise Refusal(TOO_COMPLEX, TOO_COMPLEX_TEXT)
    if answer.get("error", True):
        raise Refusal("InvalidQuery", str(answer.get("error_message", "not a SELECT"))[:500])
    parsed: list[dict[str, Any]] = answer["statements"]
    if len(parsed) != 1:
        raise Refusal("NotOneSelect", f"one SELECT is wanted, not {len(parsed)} statements")
    return parsed[0]


def _unparsable(error: Exception) -> Refusal:
    if isinstance(error, duckdb.OutOfMemoryException) or "bad_alloc" in str(error):
        return Refusal(TOO_COMPLEX, TOO_COMPLEX_TEXT)
    if "expression depth limit" in str(error):
        return Refusal("QueryTooDeep", f"expressions nest deeper than {MAX_EXPRESSION_DEPTH}")
    return Refusal("InvalidQuery", _first_line(error))


def _first_line(error: Exception) -> str:
    """DuckDB's message with the place it marks, without a stack trace."""
    return str(error).split("\n\nStack Trace", 1)[0].strip()[:500]


_Scope = frozenset[str]


class _Walk:
    """One pass over a syntax tree, with a stack of its own: the tree's depth is the caller's choice."""

    def __init__(self, statement: dict[str, Any]) -> None:
        self._todo: list[tuple[Any, _Scope]] = [(statement, frozenset())]
        self._found: dict[str, RelationName] = {}

    def relations(self) -> tuple[RelationName, ...]:
        """Every relation that is not a common table expression. Raises Refusal at the first forbidden part."""
        while self._todo:
            part, scope = self._todo.pop()
            if isinstance(part, list):
                self._todo.extend((child, scope) for child in reversed(part))
            elif isinstance(part, dict):
                self._enter(part, scope)
        return tuple(self._found.values())

    def _enter(self, part: dict[str, Any], scope: _Scope) -> None:
        skip: frozenset[str] = frozenset()
        if "class" in part:
            skip = self._expression(part)
        elif "id" in part and "type_info" in part:
            self._type(part)
        elif "is_null" in part and "type" in part:
            skip = frozenset({"value"})  # a literal; whatever it holds is data
        elif "cte_map" in part:
            scope, skip = self._with(part, scope)
        elif isinstance(part.get("type"), str):
            self._other(part, scope)
        self._todo.extend((child, scope) for key, child in _children(part) if key not in skip)

    def _expression(self, part: dict[str, Any]) -> frozenset[str]:
        kind = part["class"]
        if kind not in _EXPRESSIONS:
            code = "ParametersNotSupported" if kind == "PARAMETER" else "ExpressionNotAllowed"
            raise Refusal(code, f"{_human(kind)} may not be used here", position=_at(part))
        if kind in ("FUNCTION", "WINDOW"):
            self._function(part, functions.ALLOWED | functions.TABLE_FUNCTIONS)
        return frozenset({"value"}) if kind == "CONSTANT" else frozenset()

    def _function(self, part: dict[str, Any], allowed: frozenset[str]) -> None:
        name = _folded(part.get("function_name", ""))
        if name not in allowed or part.get("catalog"):
            raise Refusal("FunctionNotAllowed", f"function {name!r} may not be used", position=_at(part), name=name)

    def _type(self, part: dict[str, Any]) -> None:
        info = part["type_info"] or {}
        unbound = part["id"] in ("UNBOUND", "USER")
        name = str(info.get("name") or info.get("user_type_name") or "" if unbound else part["id"]).upper()
        if name not in _TYPES or info.get("catalog") or info.get("schema"):
            raise Refusal("TypeNotAllowed", f"there is no type {name.lower()!r}", name=name.lower())

    def _with(self, part: dict[str, Any], scope: _Scope) -> tuple[_Scope, frozenset[str]]:
        """Check a query node; each common table expression sees those before it, and itself in its second arm only:
        a first arm that names it means what the catalogue has of that name. Returns the body's scope, and what of
        the node was seen to already.
        """
        if part.get("type") not in _NODES:
            raise Refusal("StatementNotAllowed", f"{_human(part.get('type'))} may not be used")
        for entry in part["cte_map"].get("map", []):
            self._todo.append((entry["value"], scope))
            scope |= {_folded(entry["key"])}
        if part["type"] == "RECURSIVE_CTE_NODE":
            self._todo.append((part["left"], scope))
            return scope | {_folded(part["cte_name"])}, frozenset({"cte_map", "left"})
        return scope, frozenset({"cte_map"})

    def _other(self, part: dict[str, Any], scope: _Scope) -> None:
        kind = part["type"]
        if kind == "BASE_TABLE":
            self._relation(part, scope)
        elif kind == "TABLE_FUNCTION":
            self._function(part["function"], functions.TABLE_FUNCTIONS)
        elif kind not in _TABLES and kind not in _MODIFIERS and not _is_detail(kind):
            raise Refusal("StatementNotAllowed", f"{_human(kind)} may not be used", position=_at(part))

    def _relation(self, part: dict[str, Any], scope: _Scope) -> None:
        schema, table = _folded(part["schema_name"]), _folded(part["table_name"])
        if part.get("at_clause"):
            raise Refusal("StatementNotAllowed", "AT is not supported on a relation", position=_at(part))
        if part.get("catalog_name"):
            name = f"{part['catalog_name']}.{schema}.{table}"
            raise Refusal("RelationNotFound", f"no relation {name!r}", position=_at(part), name=name)
        if not schema and table in scope:
            return
        found = RelationName(schema or None, table, _at(part))
        self._found.setdefault(found.text, found)
        if len(self._found) > MAX_RELATIONS:
            raise Refusal("QueryTooLarge", f"more than {MAX_RELATIONS} relations")


_LOWER = {ord(upper): lower for upper, lower in zip(string.ascii_uppercase, string.ascii_lowercase, strict=True)}


def _folded(name: object) -> str:
    """A name as DuckDB compares it, which knows the case of ASCII only: to it, the Kelvin sign is no k."""
    return str(name).translate(_LOWER)


def _is_detail(kind: str) -> bool:
    """Whether `kind` types a detail inside an admitted part: an ordering direction or a type's own structure."""
    return kind.endswith("_TYPE_INFO") or kind.startswith("ORDER_") or kind in ("ASCENDING", "DESCENDING")


def _children(part: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values below `part`, last first, so that the stack gives them back in the order of the text."""
    return ((key, part[key]) for key in reversed(part) if isinstance(part[key], (dict, list)))


def _at(part: dict[str, Any]) -> int | None:
    location = part.get("query_location")
    return location if isinstance(location, int) and location < _NO_POSITION else None


def _human(kind: object) -> str:
    return str(kind).replace("_REF", "").replace("_NODE", "").replace("_", " ").lower()
