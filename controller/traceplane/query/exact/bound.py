"""DuckDB's plans as its JSON has them: their operators and expressions, what these are made of, and of which type.

DuckDB writes a plan only if no optimizer ran that changes the columns of an operator. A connection that plans
(`limit_optimizers`) has the others, and none that would look at the rows: an empty table is no reason to leave a
scan out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

Node = dict[str, Any]

WHOLES = {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "INTEGER_LITERAL"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
}

_KEPT = {
    *("expression_rewriter", "filter_pullup", "filter_pushdown", "regex_range", "in_clause"),
    *("cte_inlining", "cte_filter_pusher", "empty_result_pullup"),
}
_LINE = re.compile(r"^LINE (\d{1,9}): ", re.MULTILINE)
"""Of an error of DuckDB's: the line that it quotes then."""


def limit_optimizers(shadow: duckdb.DuckDBPyConnection) -> None:
    """Leave `shadow` the optimizers that a plan can be written after."""
    names = [name for (name,) in shadow.execute("SELECT name FROM duckdb_optimizers()").fetchall()]
    shadow.execute(f"SET disabled_optimizers = '{','.join(name for name in names if name not in _KEPT)}'")


def operators(shadow: duckdb.DuckDBPyConnection, sql: str) -> list[Node] | None:
    """The operators of the plan of `sql`, each before those that it reads; None where it cannot be written."""
    wanted = "SELECT json_serialize_plan(?::VARCHAR, skip_null := true, optimize := true)"
    row = shadow.execute(wanted, [sql]).fetchone()
    try:
        answer: Node = json.loads(row[0]) if row else {}
    except (ValueError, RecursionError):
        return None
    return _of(answer["plans"]) if "plans" in answer else None


def _of(plans: list[Any]) -> list[Node]:
    found: list[Node] = []
    todo = list(plans)  # a stack of its own: a plan is as deep as its statement
    while todo:
        node = todo.pop()
        if not isinstance(node.get("type"), str):
            continue
        node.setdefault("children", [])
        found.append(node)
        todo.extend(node["children"])
    return found


def explain(shadow: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise duckdb.Error for a wrong statement, with the place of what is wrong as its author counts lines."""
    try:
        shadow.execute(f"EXPLAIN\n{sql}")
    except duckdb.Error as error:
        raise type(error)(_LINE.sub(lambda found: f"LINE {int(found[1]) - 1}: ", str(error))) from None


def expressions(plans: Any) -> Iterator[tuple[Node, Node | None]]:
    """Every expression, and the one that it is a part of; with a stack of its own, as deep as the statement."""
    todo: list[tuple[Any, Node | None]] = [(plans, None)]
    while todo:
        part, above = todo.pop()
        if isinstance(part, list):
            todo.extend((child, above) for child in part)
        elif isinstance(part, dict):
            if "expression_class" in part:
                yield part, above
                above = part
            todo.extend((child, above) for child in part.values() if isinstance(child, (dict, list)))


def is_cast(node: Node) -> bool:
    """Whether it is a cast, asked for or not."""
    return node.get("expression_class") == "BOUND_CAST"


def kind(node: Node) -> Node:
    """The type of an expression; nothing where it is a condition."""
    found: Node = node.get("return_type") or node.get("value", {}).get("type") or {}
    return found


def leaves(type_: Node) -> list[str]:
    """The names of the types that a type is made of."""
    info = type_.get("type_info") or {}
    inner = (
        [info["child_type"]] if "child_type" in info else [part["second"] for part in info.get("child_types", [])]
    )
    return [leaf for part in inner for leaf in leaves(part)] if inner else [type_.get("id", "BOOLEAN")]


def pairs(source: Node, target: Node) -> list[tuple[str, str]] | None:
    """The types that a cast between two types makes of others, as DuckDB pairs them: fields of a STRUCT by their
    names, where both have names. None where they do not match."""
    ours, theirs = source.get("type_info") or {}, target.get("type_info") or {}
    if "child_type" in ours and "child_type" in theirs:
        return pairs(ours["child_type"], theirs["child_type"])
    if "child_types" in ours and "child_types" in theirs:
        return _fields(ours["child_types"], theirs["child_types"])
    if "child_types" in theirs or "child_type" in theirs:
        return [(source.get("id", "BOOLEAN"), leaf) for leaf in leaves(target)]
    return [(leaf, target.get("id", "BOOLEAN")) for leaf in leaves(source)]


def _fields(ours: list[Node], theirs: list[Node]) -> list[tuple[str, str]] | None:
    names, wanted = ([str(part["first"]).lower() for part in parts] for parts in (ours, theirs))
    if any(names) and any(wanted):
        if sorted(names) != sorted(wanted):
            return None
        ours = [ours[names.index(name)] for name in wanted]
    if len(ours) != len(theirs):
        return None
    found = [pairs(one["second"], other["second"]) for one, other in zip(ours, theirs, strict=True)]
    return [pair for part in found for pair in part or ()] if None not in found else None


def text(node: Node) -> str | None:
    """The text that a constant is; None for any other expression."""
    value = node.get("value", {}) if node.get("expression_class") == "BOUND_CONSTANT" else {}
    return value["value"] if value.get("type", {}).get("id") == "VARCHAR" and not value["is_null"] else None
