"""Addresses as people have them, beside columns that hold 0x and lower-case digits."""

from __future__ import annotations

import duckdb
import pytest

from traceplane.query.cell import plan
from traceplane.query.exact import bound, spelling, u256

ADDRESS = "'0x5FbDB2315678afecb367f032d93F642f64180aa3'"
TOLD = r"lower\('0x5FbDB23...'\)"


@pytest.fixture(scope="module")
def shadow() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    u256.install(connection, planning=True)
    bound.limit_optimizers(connection)
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
        "FROM t WHERE sender IN (SELECT {})",
        "FROM t WHERE sender IN (VALUES ('0x00'), ({}))",
        "FROM t WHERE n = 5 AND sender NOT IN (SELECT '0x00' UNION ALL SELECT {})",
        "FROM t WHERE sender IN (SELECT unnest(['0x00', {}]))",
        "FROM t WHERE sender IN (SELECT sender FROM u) AND receiver IN (VALUES ({}))",
        "FROM t JOIN (VALUES (1, {}), (2, note)) w(n, x) ON t.sender = w.x",
        "WITH w(x) AS (VALUES ({})) FROM t LEFT JOIN w ON x = sender",
        "WITH w AS (SELECT {} AS x) FROM (SELECT sender AS s FROM t) JOIN w ON s IS NOT DISTINCT FROM x",
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
        "FROM t WHERE sender IN ('', '0x', 'unknown', 'ab')",
        "FROM t WHERE sender IN (SELECT lower({}))",
        "FROM t WHERE note IN (VALUES ({}))",
        "FROM t JOIN (VALUES (1, {0}), (2, '0x00')) w(n, x) ON t.n = w.n AND lower(w.x) = t.sender",
        "FROM u WHERE sender IN (SELECT {})",
        "FROM t WHERE sender LIKE '0xAB%'",
        "SELECT {} AS x, sender FROM t",
        "SELECT sender FROM t WHERE n > 5 AND n < 4 UNION ALL SELECT sender FROM t WHERE note = {}",
    ],
)
def test_what_may_be_equal_is_planned(sql: str, shadow: duckdb.DuckDBPyConnection) -> None:
    assert planned(shadow, sql.format(ADDRESS)).scans


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("5fbdb2315678afecb367f032d93f642f64180aa3", "has no 0x .*: write '0x5fbdb23...'"),
        ("5FbDB2315678afecb367f032d93F642f64180aa3", r"has no 0x .*: write lower\('0x5FbDB23...'\)"),
        ("a9059cbb", "'a9059cbb' has no 0x .*: write '0xa9059cbb'"),
        ("0x5fbdb2315678afecb367f032d93f642f64180aaO", "characters that are no hex digits"),
        (" 0x5fbdb2315678afecb367f032d93f642f64180aa3", "characters that are no hex digits"),
    ],
)
@pytest.mark.parametrize("sql", ["FROM t WHERE sender = '{}'", "FROM t WHERE sender IN (VALUES ('{}'))"])
def test_a_text_of_another_form_is_refused_with_the_remedy(
    sql: str, text: str, told: str, shadow: duckdb.DuckDBPyConnection
) -> None:
    with pytest.raises(spelling.NeverEqual, match=told):
        planned(shadow, sql.format(text))


def test_a_short_text_is_shown_whole(shadow: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(spelling.NeverEqual, match=r"'0XAB' has upper-case .*, and sender .* lower\('0XAB'\)"):
        planned(shadow, "FROM t WHERE sender = '0XAB'")
