"""Operators on 256-bit integers that DuckDB rounds, or has wrong, as calls of functions that are exact.

In the syntax tree, which DuckDB writes as text again. The new text counts only if it is read as that same tree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb

from traceplane.query.exact import bound

WHOLES = {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "INTEGER_LITERAL"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
}
_FUNCTIONS: Mapping[tuple[str, int], str] = {
    ("-", 1): "u256_neg",
    ("-", 2): "u256_sub",
    ("subtract", 2): "u256_sub",
    ("*", 2): "u256_mul",
    ("multiply", 2): "u256_mul",
    ("//", 2): "u256_div",
    ("%", 2): "u256_mod",
    ("mod", 2): "u256_mod",
}
"""By name and number of operands."""


def inexact(expressions: Sequence[tuple[bound.Node, bound.Node | None]]) -> Iterator[tuple[int, str]]:
    """Place and name of each operator that has whole numbers only, and a 256-bit integer among them."""
    return (
        (node["query_location"], node["name"])
        for node, _ in expressions
        if _is_operator(node) and "BIGNUM" in _operands(node) and _operands(node) <= WHOLES | {"BIGNUM"}
    )


def _is_operator(node: bound.Node) -> bool:
    is_function = node.get("expression_class") == "BOUND_FUNCTION"
    return is_function and (node["name"], len(node["children"])) in _FUNCTIONS


def _operands(node: bound.Node) -> set[str]:
    """The types of its operands, as they were before DuckDB made DOUBLE of them."""
    return {_operand(child) for child in node["children"]}


def _operand(node: bound.Node) -> str:
    part = node["child"] if bound.is_cast(node) and _name(node) != "BIGNUM" else node
    return "BIGNUM" if _is_operator(part) and "BIGNUM" in _operands(part) else _name(part)


def _name(node: bound.Node) -> str:
    kind = bound.kind(node)
    return str(kind.get("id")) if "type_info" not in kind else ""


def replaced(shadow: duckdb.DuckDBPyConnection, sql: str, places: set[tuple[int, str]]) -> str | None:
    """`sql` with calls in place of the operators at `places`; None where it cannot be done."""
    tree = _tree(shadow, sql)
    found = list(_at(tree, places))
    if not found:
        return None
    _keep_names(shadow, tree, places)
    for part in found:
        call = _FUNCTIONS[part["function_name"], len(part["children"])]
        part |= {"function_name": call, "is_operator": False}
    try:
        row = shadow.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchone()
        text = str(row[0]) if row else ""
        return text if _unplaced(_tree(shadow, text)) == _unplaced(tree) else None
    except duckdb.Error:
        return None


def _at(tree: Any, places: set[tuple[int, str]]) -> Iterator[dict[str, Any]]:
    """The operators at `places`."""
    for part in _parts(tree):
        place, name = part.get("query_location"), part.get("function_name", "")
        if (place, name) in places and (name, len(part.get("children") or ())) in _FUNCTIONS:
            yield part


def _keep_names(shadow: duckdb.DuckDBPyConnection, tree: Any, places: set[tuple[int, str]]) -> None:
    """Call columns without a name what DuckDB calls them: their text, by which another part may ask for them."""
    for part in list(_parts(tree)):
        for column in part.get("select_list", ()):
            if not column["alias"] and column["class"] != "STAR" and any(_at(column, places)):
                one = _tree(shadow, "SELECT 1")
                one["statements"][0]["node"]["select_list"] = [column]
                row = shadow.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(one)]).fetchone()
                column["alias"] = str(row[0]).removeprefix("SELECT ") if row else ""


def _tree(shadow: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    row = shadow.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    found: dict[str, Any] = json.loads(row[0]) if row else {}
    return found


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    todo = [tree]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            yield part
        todo.extend(part.values() if isinstance(part, dict) else part if isinstance(part, list) else ())


def _unplaced(tree: dict[str, Any]) -> dict[str, Any]:
    for part in _parts(tree):
        part.pop("query_location", None)
    return tree
