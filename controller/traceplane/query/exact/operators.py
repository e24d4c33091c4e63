"""Operators on 256-bit integers that DuckDB rounds, or has wrong, as calls of functions that are exact.

In the syntax tree, which DuckDB writes as text again. The new text counts only if it is read as that same tree.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import duckdb

from traceplane.query.exact import bound, syntax, u256

_FUNCTIONS: Mapping[tuple[str, int], str] = {
    ("+", 1): u256.PLUS,
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

_PASS_ONCE = frozenset(u256.ONCE.values())
_CALLS = re.compile(rf"\b({'|'.join(u256.ONCE)})\s*\(", re.IGNORECASE)


def inexact(expressions: Sequence[tuple[bound.Node, bound.Node | None]]) -> Iterator[tuple[int, str]]:
    """Place and name of each operator that has whole numbers only, and a 256-bit integer among them."""
    return (
        (node["query_location"], node["name"])
        for node, _ in expressions
        if _is_operator(node) and "BIGNUM" in _operands(node) and _operands(node) <= bound.WHOLES | {"BIGNUM"}
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
    tree = syntax.tree(shadow, sql)
    found = [part for query in syntax.queries(tree) for part in _wanted(query, places)]
    if not found:
        return None
    calls = {id(part): _FUNCTIONS[_key(part)] for part in found}
    once = _over_others(tree, calls)
    _keep_names(shadow, tree, {id(part) for part in (*found, *once, *_doubles(tree))})
    for part in found:
        called = {"function_name": calls[id(part)], "is_operator": False, "schema": ""}
        part |= {**called, "children": _operands_of(part)}
    _pass_once(once)
    return written(shadow, tree)


def passing_once(shadow: duckdb.DuckDBPyConnection, sql: str) -> str:
    """`sql` with functions over what others give, whatever is between, that pass operands once: else each level
    doubles all below it."""
    if len(_CALLS.findall(sql)) < 2:
        return sql
    tree = syntax.tree(shadow, sql)
    once = _over_others(tree, {})
    if not once:
        return sql
    _keep_names(shadow, tree, {id(part) for part in (*once, *_doubles(tree))})
    _pass_once(once)
    return written(shadow, tree) or sql


def _pass_once(calls: Sequence[syntax.Tree]) -> None:
    for part in calls:
        part["function_name"] = u256.ONCE.get(part["function_name"], part["function_name"])


class _Call(NamedTuple):
    part: syntax.Tree
    outer: int | None
    """The call that it is a part of, by its id."""
    query: int


def _over_others(tree: syntax.Tree, calls: Mapping[int, str]) -> list[syntax.Tree]:
    """The calls that may pass an operand once, however deep what it is made of: they are over what another call of
    the query gives row by row, or over another call and no column. `calls` are what parts become calls of."""
    found: dict[int, _Call] = {}
    of_columns: set[int] = set()
    beside_columns: set[int] = set()
    todo: list[tuple[Any, int | None, int]] = [(tree, None, 0)]
    while todo:
        part, outer, query = todo.pop()
        if isinstance(part, dict):
            query = id(part) if syntax.is_query(part) else query
            name = calls.get(id(part), part.get("function_name"))
            if name in u256.ONCE or name in _PASS_ONCE:
                found[id(part)] = _Call(part, outer, query)
                outer = id(part)
            if part.get("class") == "COLUMN_REF":
                of_columns.update(call for call in _outward(outer, found) if found[call].query == query)
                if outer is not None and found[outer].query == query:
                    beside_columns.add(outer)
        inside = part.values() if isinstance(part, dict) else part
        todo += [(child, outer, query) for child in inside if isinstance(child, (dict, list))]
    once: set[int] = set()
    for call, (_, outer, query) in found.items():
        for one in _outward(outer, found):
            by_row = call in of_columns and found[one].query == query
            once |= {one} if by_row or one not in beside_columns else set()
    return [call.part for key, call in found.items() if key in once]


def _outward(call: int | None, found: Mapping[int, _Call]) -> Iterator[int]:
    """A call, the one that it is a part of, and so on."""
    while call is not None:
        yield call
        call = found[call].outer


def by_way_of(shadow: duckdb.DuckDBPyConnection, sql: str, places: set[tuple[int, str]], kind: str) -> str | None:
    """`sql` with what is at `places`, by its class, cast to BIGNUM by way of another type; None where it cannot be
    done."""
    tree = syntax.tree(shadow, sql)
    one = syntax.tree(shadow, f"SELECT CAST(CAST(0 AS {kind}) AS BIGNUM)")["statements"][0]["node"]
    (cast,) = one["select_list"]
    for part in [part for part in syntax.parts(tree) if (part.get("query_location"), part.get("class")) in places]:
        inner = dict(part)
        part.clear()
        part |= {**cast, "child": {**cast["child"], "child": inner}}
    return written(shadow, tree)


def written(shadow: duckdb.DuckDBPyConnection, tree: syntax.Tree) -> str | None:
    """The text of a tree, in which constants may be cast; None where there is none that is read as this tree."""
    doubles = list(_doubles(tree))
    return _text(shadow, tree) or (_text(shadow, _cast(shadow, tree, doubles)) if doubles else None)


def _text(shadow: duckdb.DuckDBPyConnection, tree: syntax.Tree) -> str | None:
    """The text of a tree; None where it is read as another one."""
    with contextlib.suppress(duckdb.Error):
        text = syntax.written(shadow, tree)
        if syntax.unplaced(syntax.tree(shadow, text)) == syntax.unplaced(tree):
            return text
    return None


def _wanted(query: syntax.Tree, places: set[tuple[int, str]]) -> list[syntax.Tree]:
    """The operators at `places`, and their equals in the query: DuckDB takes one that it groups by for a column,
    and one that a UNION is ordered by for that of an arm."""
    ours = [part for part in syntax.parts(query, own=True) if _is_replaceable(part)]
    at = [part for part in ours if (part["query_location"], part["function_name"]) in places]
    for group in query.get("group_expressions", ()):
        item = _selected(query, group)
        if item and _is_replaceable(item) and (group["query_location"], item["function_name"]) in places:
            at.append(item)
    for arm in syntax.arms(query) if ours else ():
        columns = {id(column) for column in arm["select_list"]}
        at += [part for part in _wanted(arm, places) if id(part) in columns]
    wanted = syntax.Equals(map(syntax.same, at))
    return [part for part in ours if syntax.same(part) in wanted] if at else []


def _is_replaceable(part: syntax.Tree) -> bool:
    return _key(part) in _FUNCTIONS


def _key(part: syntax.Tree) -> tuple[str, int]:
    """Name and number of operands. DuckDB reads `v.mod(2)` as a function of a schema `v`."""
    name, count = part.get("function_name", ""), len(part.get("children") or ())
    return (name, count + 1) if part.get("schema") and (name, count) not in _FUNCTIONS else (name, count)


def _operands_of(part: syntax.Tree) -> list[syntax.Tree]:
    children: list[syntax.Tree] = part["children"]
    if len(children) == _key(part)[1]:
        return children
    column = {"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "", "column_names": [part["schema"]]}
    return [column, *children]


def _selected(query: syntax.Tree, group: syntax.Tree) -> syntax.Tree | None:
    """The column that is grouped by under its alias, or as the one of a number."""
    columns: list[syntax.Tree] = query["select_list"]
    if group["class"] == "CONSTANT":
        place = group["value"].get("value")
        return columns[place - 1] if isinstance(place, int) and 0 < place <= len(columns) else None
    name = group["column_names"][-1].lower() if group["class"] == "COLUMN_REF" else None
    return next((column for column in columns if name and column["alias"].lower() == name), None)


def _keep_names(shadow: duckdb.DuckDBPyConnection, tree: syntax.Tree, changed: set[int]) -> None:
    """Call columns without a name what DuckDB calls them: their text, by which another part may ask for them. The
    ids of the parts that differ are `changed`. COLUMNS() has names of its own."""
    for column in [column for part in syntax.parts(tree) for column in part.get("select_list", ())]:
        named = column["alias"] or any(part.get("class") == "STAR" for part in syntax.parts(column, own=True))
        if not named and not changed.isdisjoint(map(id, syntax.parts(column))):
            one = syntax.tree(shadow, "SELECT 1")
            one["statements"][0]["node"]["select_list"] = [column]
            column["alias"] = syntax.written(shadow, one).removeprefix("SELECT ")


def _doubles(tree: syntax.Tree) -> Iterator[syntax.Tree]:
    """Constants such as 1e9, which DuckDB writes without an exponent, and then reads as DECIMAL."""
    for part in syntax.parts(tree):
        if part.get("class") == "CONSTANT" and part["value"]["type"]["id"] == "DOUBLE":
            yield part


def _cast(shadow: duckdb.DuckDBPyConnection, tree: syntax.Tree, doubles: Sequence[syntax.Tree]) -> syntax.Tree:
    """`tree` with a text that is cast in place of each constant."""
    for part in doubles:
        one = syntax.tree(shadow, f"SELECT CAST('{part['value']['value']!r}' AS DOUBLE)")
        cast = one["statements"][0]["node"]["select_list"][0] | {"alias": part["alias"]}
        part.clear()
        part.update(syntax.unplaced(cast))
    return tree
