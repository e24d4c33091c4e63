"""Addresses as explorers write them, beside columns that hold lower-case digits."""

from __future__ import annotations

import duckdb
import pytest

from traceplane.query.cell import plan, spelling
from traceplane.query.exact import u256

ADDRESS = "'0x5FbDB2315678afecb367f032d93F642f64180aa3'"
TOLD = r"lower\('0x5FbDB23...'\)"


@pytest.fixture(scope="module")
def shadow() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    u256.install(connection, planning=True)
    plan.limit_optimizers(connection)
    connection.execute("CREATE TABLE t (n INTEGER, sender VARCHAR, receiver VARCHAR, note VARCHAR, value BIGNUM)")
    connection.execute("CREATE TABLE u (n INTEGER, sender VARCHAR)")
    return connection


def planned(shadow: duckdb.DuckDBPyConnection, sql: str) -> plan.Plan:
    return plan.of(shadow, sql, {"t": 0, "u": 1}, {"BIGNUM"}, [("sender", "receiver"), ()])


@pytest.mark.parametrize(
    "sql",
    [
        "FROM t WHERE sender = {}",
        "FROM t WHERE {} <> sender",
        "FROM t WHERE sender IS NOT DISTINCT FROM {}",
        "FROM t WHERE sender IN ('0x00', {})",
        "FROM t WHERE sender NOT IN ({}, '0x00')",
        "FROM t WHERE sender IN ({}) AND value > 5",
        "FROM t WHERE value > 5 AND (sender = {} OR receiver = '0x00')",
        "FROM t WHERE receiver = '0x00' OR n = 5 OR sender = {}",
        "FROM (SELECT sender AS s, n FROM t) WHERE s = {} OR n = 5",
        "WITH c AS (FROM t WHERE n = 2) SELECT count(*) FROM c WHERE sender = {}",
        "SELECT count(*) FILTER (WHERE sender = {}) FROM t",
        "SELECT sum(CASE WHEN sender = {} THEN value END) FROM t WHERE n > 4",
        "SELECT sender = {} FROM t ORDER BY n LIMIT 1",
        "FROM t JOIN u USING (n) WHERE t.sender = {0} OR u.sender = {0}",
        "FROM t LEFT JOIN u USING (n) WHERE t.sender = {} OR u.n = 5",
    ],
)
def test_upper_case_digits_are_refused_with_the_remedy(sql: str, shadow: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(spelling.NeverEqual, match=TOLD):
        planned(shadow, sql.format(ADDRESS))


@pytest.mark.parametrize(
    "sql",
    [
        "FROM t WHERE sender = lower({})",
        "FROM t WHERE upper(sender) = {} OR n = 4",
        "FROM t WHERE note = {}",
        "FROM u WHERE sender = {}",
        "FROM t WHERE sender = '0x5fbdb2315678afecb367f032d93f642f64180aa3'",
        "FROM (SELECT upper(sender) AS sender, n FROM t) WHERE sender = {} OR n = 5",
        "FROM (SELECT n, note AS sender FROM t) WHERE sender = {} OR n = 5",
        "FROM t JOIN u USING (n) WHERE u.sender = {} OR t.sender = '0x00'",
        "FROM t WHERE sender = '0xAB or so'",
        "FROM t WHERE sender LIKE '0xAB%'",
        "SELECT {} AS x, sender FROM t",
    ],
)
def test_what_may_be_equal_is_planned(sql: str, shadow: duckdb.DuckDBPyConnection) -> None:
    assert planned(shadow, sql.format(ADDRESS)).scans


def test_a_short_text_is_shown_whole(shadow: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(spelling.NeverEqual, match=r"'0XAB' has upper-case .*, and sender .* lower\('0XAB'\)"):
        planned(shadow, "FROM t WHERE sender = '0XAB'")
