"""What a statement may know of the catalog, as tables that stand for those of information_schema.

The rows are the broker's. The shape is DuckDB's own, with a few columns more; of the rest of its catalog nothing is
kept, nor is there anything in it but what this query was granted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa

from traceplane.query import wire
from traceplane.query.wire import CATALOG_SCHEMA

_DATABASE = "trace"
_MORE = {
    "tables": ", NULL::VARCHAR AS storage",
    "columns": ", NULL::VARCHAR AS trace_type, NULL::BOOLEAN AS is_scope_column, NULL::BOOLEAN AS is_pii",
    "schemata": "",
}
"""Of each relation, the columns that DuckDB's has not."""
_ROWS, _TYPES = "__catalog_rows", f"{CATALOG_SCHEMA}.__types"
_TEXT, _FLAG = pa.string(), pa.bool_()
_SHAPE = {
    **dict.fromkeys(("table_schema", "table_name", "storage", "table_comment", "column_name", "data_type"), _TEXT),
    **dict.fromkeys(("trace_type", "column_comment"), _TEXT),
    **dict.fromkeys(("nullable", "is_scope_column", "is_pii"), _FLAG),
    "ordinal_position": pa.int32(),
}
"""Arrow types of the rows that are inserted."""

# What DuckDB says of a type (digits, radix) it says of a column of that type.
_INSERT_COLUMNS = f"""
INSERT INTO {CATALOG_SCHEMA}.columns BY NAME
SELECT '{_DATABASE}' AS table_catalog, r.* EXCLUDE (nullable), if(r.nullable, 'YES', 'NO') AS is_nullable,
       t.numeric_precision, t.numeric_precision_radix, t.numeric_scale, t.datetime_precision
FROM {_ROWS} r
LEFT JOIN information_schema.columns t
  ON t.data_type = r.data_type AND t.table_schema || '.' || t.table_name = '{_TYPES}'
ORDER BY r.table_schema, r.table_name, r.ordinal_position
"""
_INSERT_TABLES = f"""
INSERT INTO {CATALOG_SCHEMA}.tables BY NAME
SELECT '{_DATABASE}' AS table_catalog, *, 'BASE TABLE' AS table_type, 'NO' AS is_insertable_into, 'NO' AS is_typed
FROM {_ROWS} ORDER BY table_schema, table_name
"""
_INSERT_SCHEMATA = f"""
INSERT INTO {CATALOG_SCHEMA}.schemata BY NAME
SELECT DISTINCT table_catalog AS catalog_name, table_schema AS schema_name FROM {CATALOG_SCHEMA}.tables ORDER BY ALL
"""


def shape(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables, without rows."""
    connection.execute(f"CREATE SCHEMA {CATALOG_SCHEMA}")
    for table, more in _MORE.items():
        select = f"SELECT *{more} FROM information_schema.{table} LIMIT 0"
        connection.execute(f"CREATE TABLE {CATALOG_SCHEMA}.{table} AS {select}")
    connection.execute(f"CREATE TABLE {CATALOG_SCHEMA}.here (schema_name VARCHAR)")


def fill(connection: duckdb.DuckDBPyConnection, catalog: wire.Catalog) -> None:
    """Make the tables, with what the broker sent."""
    shape(connection)
    connection.execute(f"INSERT INTO {CATALOG_SCHEMA}.here VALUES (?)", [catalog.schema])
    tables = [
        {
            "table_schema": r.schema,
            "table_name": r.table,
            "storage": r.storage,
            "table_comment": r.description or None,
        }
        for r in catalog.relations
    ]
    columns = [
        {
            "table_schema": relation.schema,
            "table_name": relation.table,
            "column_name": column.name,
            "ordinal_position": place,
            "data_type": column.type,
            "trace_type": column.trace_type,
            "nullable": column.nullable,
            "is_scope_column": column.scope,
            "is_pii": column.pii,
            "column_comment": column.description or None,
        }
        for relation in catalog.relations
        for place, column in enumerate(relation.columns, 1)
    ]
    types = sorted({column.type for relation in catalog.relations for column in relation.columns})
    _insert(connection, _INSERT_TABLES, tables)
    if columns:
        shapes = ", ".join(f"c{place} {kind}" for place, kind in enumerate(types))
        connection.execute(f"CREATE TABLE {_TYPES} ({shapes})")
        _insert(connection, _INSERT_COLUMNS, columns)
        connection.execute(f"DROP TABLE {_TYPES}")
    connection.execute(_INSERT_SCHEMATA)


def _insert(connection: duckdb.DuckDBPyConnection, statement: str, rows: Sequence[Mapping[str, object]]) -> None:
    if not rows:
        return
    schema = pa.schema([(name, _SHAPE[name]) for name in rows[0]])
    connection.register(_ROWS, pa.Table.from_pylist(list(rows), schema))
    connection.execute(statement)
    connection.unregister(_ROWS)
