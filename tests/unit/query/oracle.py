"""What DuckDB itself says of a statement that the gate admitted: the oracle of the gate's tests."""

from __future__ import annotations

import json
from typing import Any

import duckdb

from traceplane.query.cell import catalog
from traceplane.query.exact import u256
from traceplane.query.gate import allowlist
from traceplane.query.gate.statement import Admitted, Refusal
from traceplane.query.wire import CATALOG_SCHEMA

GRANTED = {
    "blocks": "n BIGINT, hash VARCHAR, value BIGNUM, at_time TIMESTAMPTZ, big BOOLEAN, miner VARCHAR",
    "transfers": "n BIGINT, sender VARCHAR, receiver VARCHAR, amount VARCHAR, tags VARCHAR[]",
    "research.prices": "day DATE, price DOUBLE",
}

_CATALOG = {f"memory.{CATALOG_SCHEMA}.{table}" for table in ("tables", "columns", "schemata", "here")}
"""What the cell makes for statements that ask what there is."""
_OF_ITS_OWN = {
    "COLUMN_DATA_SCAN",
    "CTE_SCAN",
    "DELIM_SCAN",
    "DUMMY_SCAN",
    "EXPRESSION_SCAN",
    "POSITIONAL_SCAN",
    "REC_CTE_SCAN",
}
"""Scans of what the statement itself made."""


def admitted(sql: str) -> Admitted:
    """The statement checked as the service checks it: by the gate, then against what is granted."""
    found = allowlist.check(sql)
    for name in found.relations:
        if name.text not in GRANTED:
            raise Refusal("RelationNotFound", f"no relation {name.text}")
    return found


def world(*, planning: bool = False) -> duckdb.DuckDBPyConnection:
    """A DuckDB in which the granted relations exist and nothing else does, without external access, and a catalog
    that lists none."""
    connection = duckdb.connect(config={"threads": 1, "python_enable_replacements": False})
    for name, columns in GRANTED.items():
        schema, _, table = name.rpartition(".")
        if schema:
            connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(f"CREATE TABLE {schema or 'main'}.{table} ({columns})")
    catalog.shape(connection)
    u256.install(connection, planning=planning)
    connection.execute("SET enable_external_access = false")
    return connection


def bound_by_duckdb(statement: Admitted, connection: duckdb.DuckDBPyConnection | None = None) -> None:
    """The oracle: one SELECT over the granted relations. Raises duckdb.Error where it does not bind."""
    sql = statement.to_run
    parsed = duckdb.extract_statements(sql)
    assert [statement.type for statement in parsed] == [duckdb.StatementType.SELECT]
    plan = (connection or world()).execute("EXPLAIN (FORMAT json) " + sql).fetchone()
    assert plan is not None
    allowed = _CATALOG if statement.lists else set()
    assert _read_by(json.loads(plan[1])) <= {name.rpartition(".")[2] for name in GRANTED} | _OF_ITS_OWN | allowed


def _read_by(plan: list[Any]) -> set[str]:
    """Tables a plan scans, and the names of its scans of anything else."""
    found: set[str] = set()
    for node in plan:
        table = node.get("extra_info", {}).get("Table")
        if table:
            table = table.replace('"', "")
            found.add(table if CATALOG_SCHEMA in table else table.rpartition(".")[2])
        elif "SCAN" in node["name"] or "READ" in node["name"]:
            found.add(node["name"].strip())
        found |= _read_by(node["children"])
    return found
