"""The syntax tree of a statement, as DuckDB's JSON has it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import duckdb

Tree = dict[str, Any]


def tree(shadow: duckdb.DuckDBPyConnection, sql: str) -> Tree:
    """Of `sql`, or what DuckDB says is wrong in it."""
    row = shadow.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    found: Tree = json.loads(row[0]) if row else {}
    return found


def written(shadow: duckdb.DuckDBPyConnection, of: Tree) -> str:
    """The text of a tree. Raises duckdb.Error."""
    row = shadow.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(of)]).fetchone()
    return str(row[0]) if row else ""


def parts(of: Any, *, own: bool = False) -> Iterator[Tree]:
    """Everything in a tree; its `own` only, without what is in queries inside."""
    todo = [of]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            yield part
            inner: list[Any] = list(part.values())
        else:
            inner = part
        todo.extend(child for child in inner if isinstance(child, (dict, list)) and not (own and is_query(child)))


def scopes(of: Tree) -> Iterator[tuple[Tree, list[Tree]]]:
    """Everything in a tree, each with the common table expressions that it may name, the outermost first."""
    todo: list[tuple[Any, list[Tree]]] = [(of, [])]
    while todo:
        part, names = todo.pop()
        if isinstance(part, dict):
            yield part, names
            own = part["cte_map"]["map"] if is_query(part) else []
            todo += [(entry, [*names, *own[:place]]) for place, entry in enumerate(own)]
            inner = [value for key, value in part.items() if key != "cte_map"]
            names = [*names, *own]
        else:
            inner = part
        todo += [(child, names) for child in inner if isinstance(child, (dict, list))]


def queries(of: Tree) -> list[Tree]:
    """Each SELECT, and each UNION or the like."""
    return [part for part in parts(of) if is_query(part)]


def is_query(part: Any) -> bool:
    """Whether it is a SELECT, or a UNION or the like."""
    return isinstance(part, dict) and str(part.get("type")).endswith("_NODE")


def arms(query: Tree) -> Iterator[Tree]:
    """The SELECTs of a UNION or the like, of any other query none."""
    todo = [query.get("left"), query.get("right")]
    while todo:
        part = todo.pop()
        if part and "select_list" in part:
            yield part
        elif part:
            todo += [part.get("left"), part.get("right")]


class Same(NamedTuple):
    """A part of a statement, as far as DuckDB compares it with others."""

    text: str
    tables: tuple[str, ...]
    """Of each column, where it is named."""


def same(part: Tree) -> Same:
    """What two parts have in common that DuckDB takes for the same expression."""
    copy: Tree = unplaced(json.loads(json.dumps(part))) | {"alias": ""}
    tables = []
    for reference in parts(copy):
        if "column_names" in reference:
            *table, column = [name.lower() for name in reference["column_names"]]
            reference["column_names"] = column
            tables.append(".".join(table))
    return Same(json.dumps(copy, sort_keys=True), tuple(tables))


class Equals:
    """What DuckDB may take for one of some parts: `t.v` is `v`, since there is no other `v` then."""

    def __init__(self, wanted: Iterable[Same]) -> None:
        self._known: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for text, tables in wanted:
            self._known[text].add(tables)

    def __contains__(self, part: Same) -> bool:
        return any(
            all(one == other or "" in (one, other) for one, other in zip(tables, part.tables, strict=True))
            for tables in self._known.get(part.text, ())
        )


def unplaced(of: Tree) -> Tree:
    """A tree after it has lost its places."""
    for part in parts(of):
        part.pop("query_location", None)
    return of
