"""What several files of tests ask: connections that plan a statement over the table of `exact`, and run it."""

from __future__ import annotations

import duckdb
import pytest

from tests.unit.query.exact import NUMBERS, TABLE
from traceplane.query.exact import bound, u256


@pytest.fixture(scope="module")
def shadow() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    u256.install(connection, planning=True)
    bound.limit_optimizers(connection)
    connection.execute(TABLE)
    return connection


@pytest.fixture(scope="module")
def main() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    u256.install(connection)
    connection.execute(TABLE)
    for place, number in enumerate(NUMBERS):
        row = [place, str(number), str(number), number, number / 2, [str(number)]]
        connection.execute("INSERT INTO t VALUES (?, ?, ?::VARCHAR::BIGNUM, ?, ?, ?::VARCHAR[]::BIGNUM[])", row)
    return connection
