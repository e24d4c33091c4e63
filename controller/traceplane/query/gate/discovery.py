"""Statements that ask what there is: SHOW TABLES, DESCRIBE, and the three relations of information_schema.

DuckDB would answer them from its own catalog. A cell answers them from a schema that the broker fills with what the
caller may read (`wire.CATALOG_SCHEMA`), so the gate writes such a statement anew:

- SHOW TABLES and DESCRIBE of a relation, each a statement of its own, become a SELECT over that schema;
- the name `information_schema` before `tables`, `columns` or `schemata` becomes the name of that schema, which is
  as long, so that every place in the statement stays where it was.

DESCRIBE of a query, and SUMMARIZE, look at no catalog: DuckDB runs them as they are. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from traceplane.query.gate.statement import Lists, Refusal
from traceplane.query.wire import CATALOG_SCHEMA

INFORMATION_SCHEMA = "information_schema"
RELATIONS = frozenset({"tables", "columns", "schemata"})
INSTEAD = "information_schema.tables, .columns and .schemata say what there is, and DESCRIBE what a relation has"

_SHOW_TABLES = f"""
SELECT table_name AS name, storage, TABLE_COMMENT AS description FROM {CATALOG_SCHEMA}.tables
WHERE table_schema = {{schema}} ORDER BY name
"""
_HERE = f"(SELECT schema_name FROM {CATALOG_SCHEMA}.here)"
_SHOW_ALL_TABLES = f"""
SELECT table_catalog AS database, table_schema AS schema, table_name AS name,
       list(column_name ORDER BY ordinal_position) AS column_names,
       list(data_type ORDER BY ordinal_position) AS column_types, false AS temporary
FROM {CATALOG_SCHEMA}.columns GROUP BY ALL ORDER BY schema, name
"""
_DESCRIBE = f"""
SELECT column_name, data_type AS column_type, is_nullable AS "null", NULL::VARCHAR AS "key",
       column_default AS "default",
       nullif(concat_ws(', ', if(is_scope_column, 'scope column', NULL), if(is_pii, 'pii', NULL)), '') AS extra,
       trace_type AS type, COLUMN_COMMENT AS description
FROM {CATALOG_SCHEMA}.columns ORDER BY ordinal_position
"""


def rewritten(node: dict[str, Any]) -> tuple[str, Lists] | None:
    """What runs in place of a statement that is nothing but SHOW TABLES, or DESCRIBE of one relation, and what it
    lists; None for every other. `node` is the statement's."""
    show = node.get("from_table") or {}
    if show.get("type") != "SHOW_REF" or not _bare(node):
        return None
    match show.get("show_type"), show.get("table_name"):
        case "SHOW_UNQUALIFIED", '"tables"':
            return _SHOW_TABLES.format(schema=_HERE), Lists.READABLE
        case "SHOW_UNQUALIFIED", "__show_tables_expanded":
            return _SHOW_ALL_TABLES, Lists.READABLE
        case "SHOW_FROM", _ if not show["catalog_name"]:
            schema = show["schema_name"].replace("'", "''")
            return _SHOW_TABLES.format(schema=f"replace(lower('{schema}'), '-', '_')"), Lists.READABLE
        case "DESCRIBE", _:
            query = show["query"]
            of = query.get("from_table") or {}
            if of.get("type") == "BASE_TABLE" and _bare(query) and not _catalog_relation(of):
                return _DESCRIBE, Lists.NAMED
    return None


def renamed(sql: str, places: Iterable[int]) -> str:
    """`sql` with the catalog's schema in place of the name `information_schema` at these byte offsets. Raises
    Refusal where another spelling of it stands there."""
    data, wanted = bytearray(sql.encode()), INFORMATION_SCHEMA.encode()
    for place in set(places):  # the parser copies the operand of a CASE to each of its WHENs
        start = place + (data[place : place + 1] == b'"')
        end = start + len(wanted)
        if data[start:end].lower() != wanted:
            raise Refusal("InvalidQuery", f"write {INFORMATION_SCHEMA} as it is, before the name of its relation")
        data[start:end] = CATALOG_SCHEMA.encode()
    return data.decode()


def _catalog_relation(table: dict[str, Any]) -> bool:
    return str(table["schema_name"]).lower() == INFORMATION_SCHEMA


def _bare(node: dict[str, Any]) -> bool:
    """Whether a SELECT is `SELECT * FROM x`, and no more, of an `x` with no alias."""
    if node.get("type") != "SELECT_NODE" or len(node["select_list"]) != 1:
        return False
    star, of = node["select_list"][0], node["from_table"]
    more = ("modifiers", "group_expressions", "group_sets", "where_clause", "having", "sample", "qualify")
    picks = ("relation_name", "exclude_list", "replace_list", "qualified_exclude_list", "rename_list", "expr")
    return (
        star["class"] == "STAR"
        and not star["columns"]
        and not any(star.get(part) for part in picks)
        and not any(node.get(part) for part in more)
        and not node["cte_map"]["map"]
        and not any(of.get(part) for part in ("alias", "column_name_alias", "sample", "at_clause"))
    )
