"""Which statements may run at all: the first wall.

DuckDB's own parser reads the statement, so that the gate checks what will run and not what another parser makes
of it. The syntax tree must be one SELECT built of known parts only: every node, expression class, relation and
function is compared with a list of what is allowed, and what is on no list is refused. So a part of SQL that
nobody thought of is refused, not let through.

Pure: text in, an `Admitted` or a `Refusal` out.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from traceplane.query.gate import advice, discovery, functions, parser
from traceplane.query.gate.statement import Admitted, Lists, Refusal, RelationName

MAX_RELATIONS = 64

_NO_POSITION = 2**63
"""From here on a location in the tree means that there is none."""

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


def check(sql: str) -> Admitted:
    """The statement's relations, if the gate admits it. Raises Refusal with a stable code."""
    tree = parser.parse(sql)
    shown = discovery.rewritten(tree["node"])
    try:
        walk = _Walk(tree["node"]["from_table"].get("query"), read=False) if shown else _Walk(tree)
        found = tuple(replace(name, position=_characters(sql, name.position)) for name in walk.relations())
        runs, lists = shown or ("", Lists.NOTHING)
        if walk.lists:
            runs, lists = discovery.renamed(sql, walk.schema_places), Lists.READABLE
    except Refusal as refusal:
        refusal.position = _characters(sql, refusal.position)
        raise
    return Admitted(sql, found, lists, runs)


def _characters(sql: str, offset: int | None) -> int | None:
    """The character at a byte offset, which is how the parser counts."""
    if offset is None or sql.isascii():
        return offset
    return len(sql.encode()[:offset].decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a part of the tree stands: the common table expressions it sees, and whether its rows are read."""

    names: frozenset[str] = frozenset()
    read: bool = True

    def with_name(self, name: object) -> _Scope:
        return replace(self, names=self.names | {_folded(name)})


def relations(tree: dict[str, Any]) -> tuple[RelationName, ...]:
    """The relations of a syntax tree, their places in bytes, if every part of it is allowed. Raises Refusal."""
    return _Walk(tree).relations()


class _Walk:
    """One pass over a syntax tree. `read` is whether rows are read of what it names."""

    def __init__(self, tree: Any, *, read: bool = True) -> None:
        # A stack of its own, not Python's: the caller chooses how deep the tree is.
        self._todo: list[tuple[Any, _Scope]] = [(tree, _Scope(read=read))]
        self._found: dict[str, RelationName] = {}
        self.lists = False
        """Whether it reads a relation of information_schema."""
        self.schema_places: list[int] = []
        """Byte offsets of `information_schema` before the name of a relation."""

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
        """Check one object of the tree, recognised by its keys, and put what is below it on the stack."""
        skip: frozenset[str] = frozenset()
        if "class" in part:
            skip = self._expression(part)
        elif "id" in part and "type_info" in part:
            self._type(part)
        elif "is_null" in part and "type" in part:
            skip = frozenset({"value"})  # a literal; whatever it holds is data
        elif "cte_map" in part:
            scope, skip = self._with(part, scope)
        elif part.get("type") == "SHOW_REF":
            scope = self._show(part, scope)
        elif isinstance(part.get("type"), str):
            self._other(part, scope)
        # An object of none of these shapes allows nothing by itself, and what is below it is checked all the same.
        self._todo.extend((child, scope) for key, child in _children(part) if key not in skip)

    def _expression(self, part: dict[str, Any]) -> frozenset[str]:
        kind = part["class"]
        if kind not in _EXPRESSIONS:
            code = "ParametersNotSupported" if kind == "PARAMETER" else "ExpressionNotAllowed"
            raise Refusal(code, f"{_human(kind)} may not be used here", position=_at(part))
        if kind == "COLUMN_REF":
            self._column(part, part["column_names"])
        if kind in ("FUNCTION", "WINDOW"):
            self._function(part, functions.ALLOWED | functions.TABLE_FUNCTIONS)
        return frozenset({"value"}) if kind == "CONSTANT" else frozenset()  # a literal is data

    def _function(self, part: dict[str, Any], allowed: frozenset[str]) -> None:
        name = _folded(part.get("function_name", ""))
        # A schema is no way around the list: names are the same in each. A catalog would be another database's.
        if name not in allowed or part.get("catalog"):
            message = f"function {name!r} may not be used{advice.function(name)}"
            raise Refusal("FunctionNotAllowed", message, position=_at(part), name=name)

    def _type(self, part: dict[str, Any]) -> None:
        info = part["type_info"] or {}
        unbound = part["id"] in ("UNBOUND", "USER")  # a name that DuckDB would look up later: built-in or made
        name = str(info.get("name") or info.get("user_type_name") or "" if unbound else part["id"]).upper()
        if name not in _TYPES or info.get("catalog") or info.get("schema"):
            name = name.lower()
            raise Refusal("TypeNotAllowed", f"there is no type {name!r}{advice.type_(name)}", name=name)

    def _with(self, part: dict[str, Any], scope: _Scope) -> tuple[_Scope, frozenset[str]]:
        """Check a query node. Returns the scope of its body, and the keys that are on the stack already.

        Names of common table expressions are followed with their true scope: `WITH t` in one branch must not make
        `t` acceptable in another, where DuckDB would look it up in its catalog.
        """
        if part.get("type") not in _NODES:
            raise Refusal("StatementNotAllowed", f"{_human(part.get('type'))} may not be used")
        for entry in part["cte_map"].get("map", []):
            self._todo.append((entry["value"], scope))  # it sees those before it, and not itself
            scope = scope.with_name(entry["key"])
        if part["type"] == "RECURSIVE_CTE_NODE":
            # Only its second arm sees a recursive expression: in the first its name is looked up in the catalog.
            self._todo.append((part["left"], scope))
            return scope.with_name(part["cte_name"]), frozenset({"cte_map", "left"})
        return scope, frozenset({"cte_map"})

    def _other(self, part: dict[str, Any], scope: _Scope) -> None:
        kind = part["type"]
        if kind == "BASE_TABLE":
            self._relation(part, scope)
        elif kind == "TABLE_FUNCTION":
            self._function(part["function"], functions.TABLE_FUNCTIONS)
        elif kind not in _TABLES and kind not in _MODIFIERS and not _is_detail(kind):
            message = f"{_human(kind)} may not be used{advice.statement(_human(kind).upper())}"
            raise Refusal("StatementNotAllowed", message, position=_at(part))

    def _show(self, part: dict[str, Any], scope: _Scope) -> _Scope:
        """Check DESCRIBE or SUMMARIZE, whose query is below it. Returns the scope of that."""
        if part["show_type"] not in ("DESCRIBE", "SUMMARY") or not part.get("query"):
            raise Refusal("StatementNotAllowed", f"SHOW may not be used here; {discovery.INSTEAD}")
        return replace(scope, read=scope.read and part["show_type"] != "DESCRIBE")

    def _column(self, part: dict[str, Any], names: list[str]) -> None:
        of_catalog = len(names) > 2 and _folded(names[0]) == discovery.INFORMATION_SCHEMA
        if of_catalog and _folded(names[1]) in discovery.RELATIONS and (place := _at(part)) is not None:
            self.schema_places.append(place)

    def _relation(self, part: dict[str, Any], scope: _Scope) -> None:
        schema, table = _folded(part["schema_name"]), _folded(part["table_name"])
        if part.get("at_clause"):
            raise Refusal("StatementNotAllowed", "AT is not supported on a relation", position=_at(part))
        if part.get("catalog_name"):
            name = f"{part['catalog_name']}.{schema}.{table}"
            raise Refusal("RelationNotFound", f"no relation {name!r}", position=_at(part), name=name)
        if not schema and table in scope.names:
            return  # a common table expression, which is checked where it is defined
        if schema == discovery.INFORMATION_SCHEMA:
            self._of_catalog(part, table)
            return
        found = RelationName(schema or None, table, _at(part), scope.read)
        known = self._found.setdefault(found.text, found)
        if found.read and not known.read:
            self._found[found.text] = replace(known, read=True)
        if len(self._found) > MAX_RELATIONS:
            raise Refusal("QueryTooLarge", f"more than {MAX_RELATIONS} relations")

    def _of_catalog(self, part: dict[str, Any], table: str) -> None:
        place = _at(part)
        if table not in discovery.RELATIONS or place is None:
            name = f"{discovery.INFORMATION_SCHEMA}.{table}"
            raise Refusal(
                "RelationNotFound", f"no relation {name!r}; {discovery.INSTEAD}", position=place, name=name
            )
        self.schema_places.append(place)
        self.lists = True


_LOWER = {ord(upper): lower for upper, lower in zip(string.ascii_uppercase, string.ascii_lowercase, strict=True)}


def _folded(name: object) -> str:
    """A name as DuckDB compares it, which knows the case of ASCII only: to it, the Kelvin sign is no k."""
    return str(name).translate(_LOWER)


def _is_detail(kind: str) -> bool:
    """Whether `kind` types a detail inside an admitted part: an ordering direction or a type's own structure."""
    return kind.endswith("_TYPE_INFO") or kind.startswith("ORDER_") or kind in ("ASCENDING", "DESCENDING")


def _children(part: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is below `part`, last first, so that the stack gives it back in the order of the text."""
    return ((key, part[key]) for key in reversed(part) if isinstance(part[key], (dict, list)))


def _at(part: dict[str, Any]) -> int | None:
    location = part.get("query_location")
    return location if isinstance(location, int) and location < _NO_POSITION else None


def _human(kind: object) -> str:
    return str(kind).replace("_REF", "").replace("_NODE", "").replace("_", " ").lower()
