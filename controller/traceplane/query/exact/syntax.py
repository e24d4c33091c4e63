"""The syntax tree of a statement, as DuckDB's JSON has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

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
        todo.extend(child for child in inner if isinstance(child, (dict, list)) and not (own and _is_query(child)))


def queries(of: Tree) -> list[Tree]:
    """Each SELECT, and each UNION or the like."""
    return [part for part in parts(of) if _is_query(part)]


def _is_query(part: Any) -> bool:
    return isinstance(part, dict) and str(part.get("type")).endswith("_NODE")


def same(part: Tree) -> str:
    """What two parts have in common that DuckDB takes for the same expression."""
    copy: Tree = unplaced(json.loads(json.dumps(part))) | {"alias": ""}
    for reference in parts(copy):
        if "column_names" in reference:
            reference["column_names"] = [name.lower() for name in reference["column_names"]]
    return json.dumps(copy, sort_keys=True)


def unplaced(of: Tree) -> Tree:
    """A tree after it has lost its places."""
    for part in parts(of):
        part.pop("query_location", None)
    return of
