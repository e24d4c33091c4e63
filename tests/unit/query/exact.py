"""A table with 256-bit integers beside HUGEINT, in which DuckDB is exact too, and statements checked over it."""

from __future__ import annotations

import duckdb

from traceplane.query.cell import plan

TABLE = "CREATE TABLE t (k INTEGER, s VARCHAR, v BIGNUM, h HUGEINT, d DOUBLE, l BIGNUM[])"


NUMBERS = (5, 10, 9, 255, 255, 1000, 2, 100, 0, 3)


def checked(shadow: duckdb.DuckDBPyConnection, sql: str) -> plan.Plan:
    return plan.of(shadow, sql, {"t": 0}, {"BIGNUM"})
