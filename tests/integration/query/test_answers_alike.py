"""Made-up statements have the answers that plain DuckDB gives over an export of the same rows."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.query.answers import differential, rows
from tests.integration.query.answers.nodes import Form, Many, shrunk
from tests.integration.query.conftest import Client
from tests.integration.query.world import World

STATEMENTS = 300
"""In every run the same; `make fuzz KIND=answers` tries as many others as you like."""
SEED = 1

MENDED = [
    # Joins, semi-joins and anti-joins over hot rows, which DuckDB filters by what the other side holds.
    "SELECT count(*) FROM logs WHERE transaction_hash IN"
    " (SELECT transaction_hash FROM transactions WHERE from_address > '0x3')",
    "SELECT count(*) FROM logs l WHERE EXISTS"
    " (FROM transactions t WHERE t.transaction_hash = l.transaction_hash AND t.gas_used > 21000)",
    "SELECT count(*) FROM logs l WHERE NOT EXISTS"
    " (FROM transactions t WHERE t.transaction_hash = l.transaction_hash AND t.gas_used > 21000)",
    "SELECT count(*) FROM transactions JOIN logs l USING (transaction_hash) WHERE l.address > '0x3'",
    "SELECT count(*) FROM logs WHERE block_timestamp IN (SELECT block_timestamp FROM blocks WHERE gas_used > 9)",
    "SELECT count(*) FROM blocks WHERE block_number IN (SELECT block_number FROM logs ORDER BY ALL LIMIT 7)",
    # One row to compare with, which is pushed.
    "SELECT * FROM logs WHERE block_number = (SELECT max(block_number) FROM logs WHERE log_index > 1)",
    "SELECT count(*) FROM logs"
    " WHERE block_timestamp > (SELECT max(block_timestamp) - INTERVAL 1 MINUTE FROM blocks)",
    "SELECT count(*) FROM logs WHERE address = (SELECT min(address) FROM logs)",
    # What Arrow's filters do not know.
    "SELECT count(*) FROM hot_logs WHERE address IS DISTINCT FROM '0x' OR address = '0x'",
    "SELECT count(*) FROM cold_logs WHERE topic1 > '0xdd' OR topic1 IS DISTINCT FROM '0xd3'",
    "SELECT count(*) FROM logs WHERE topic1 > '0xdd' OR topic1 is distinct /* from */ -- all\nfrom '0xd3'",
    "SELECT count(*) FROM hot_blocks WHERE block_timestamp IN"
    " (TIMESTAMPTZ '2026-01-01 00:00:12+00', TIMESTAMPTZ '2026-01-01 00:00:36+00')",
    # 256-bit integers, which were text.
    "SELECT max(value), min(value), sum(value), count(DISTINCT value), max(value) - min(value) FROM transactions",
    "SELECT transaction_hash, value FROM transactions ORDER BY value DESC, transaction_hash LIMIT 20",
    "SELECT count(*) FROM transactions WHERE value > 1000",
    "SELECT count(*) FROM transactions WHERE value > '1000' AND value <> 0",
    "SELECT count(*) FROM transactions WHERE value BETWEEN 9 AND 100000000000000000000",
    "SELECT count(*) FROM transactions WHERE value IN (0, 1, 2, 9223372036854775808)",
    f"SELECT count(*) FROM transactions WHERE value >= '{2**255}' OR value = '{2**256 - 1}'",
    "SELECT value, count(*) FROM transactions GROUP BY ALL ORDER BY ALL",
    "SELECT count(*) FROM transactions a JOIN transactions b ON a.value = b.gas_limit",
    "SELECT sum(value) OVER (ORDER BY block_number, transaction_index ROWS 3 PRECEDING) FROM transactions",
    "SELECT count(*) FROM transactions WHERE value = (SELECT max(value) FROM transactions)",
    "SELECT count(*) FROM transactions WHERE value > block_number AND gas_used < value",
    # A constant that looks like a filter where a plan is printed.
    "SELECT count(*) FROM blocks WHERE block_hash >= chr(10) || 'block_number=5' || chr(10)",
]


@pytest.mark.services
def test_a_run_of_made_up_statements_leaves_nothing_behind() -> None:
    command = [sys.executable, "-m", differential.__name__, "--seconds", "0", "--seed", str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, f"seed {SEED}\n1 statements, 0 problems\n")
    assert "pending" not in done.stderr


@pytest.fixture
def sides(world: World, client: Client) -> Iterator[differential.Sides]:
    tables = rows.chain(differential.ROWS_SEED)
    rows.fill(world, tables)
    with httpx.Client(base_url=client.url, timeout=120) as http:

        def ask(sql: str, **body: Any) -> httpx.Response:
            return http.post(
                "/v1/query", json={"sql": sql, **body}, headers={"Authorization": f"Bearer {client.token}"}
            )

        yield differential.Sides(ask, tables)


@pytest.mark.services
def test_statements_have_the_answers_of_plain_duckdb(sides: differential.Sides) -> None:
    assert {sql: problem for sql in MENDED if (problem := sides.problem(sql)) is not None} == {}
    tried = itertools.islice(differential.problems(sides, SEED), STATEMENTS)
    assert [problem for problem in tried if problem is not None] == []


@pytest.mark.services
@pytest.mark.parametrize("tier", rows.TIERS)
def test_a_256_bit_integer_is_a_number_of_any_length(tier: str, sides: differential.Sides, client: Client) -> None:
    values = [int(value) for value in sides.tables["transactions"]["value"].to_pylist()]
    most = 2**256 - 1

    def answer(columns: str, where: str = "true") -> Any:
        return client.rows(f"SELECT {columns} FROM {tier}transactions WHERE {where}")

    assert answer("max(value), min(value), sum(value)") == [[str(max(values)), str(min(values)), str(sum(values))]]
    for word, holds in (("=", int.__eq__), (">", int.__gt__), ("<=", int.__le__), ("<>", int.__ne__)):
        for number in (0, 1, 2**63, 2**64 - 1, 2**127, 2**128, 2**255, most - 1, most, most + 1):
            counted = sum(holds(value, number) for value in values)
            assert answer("count(*)", f"value {word} {number}") == [[counted]], (word, number)


@pytest.mark.services
def test_postgres_sends_only_the_rows_that_a_filter_on_a_256_bit_integer_needs(
    sides: differential.Sides, client: Client
) -> None:
    values = [int(value) for value in sides.tables["transactions"]["value"].to_pylist()]
    for condition, matching in (
        (f"value > {2**127}", [value for value in values if value > 2**127]),
        (
            f"value IN ({values[0]}, '{2**256 - 1}')",
            [value for value in values if value in (values[0], 2**256 - 1)],
        ),
        (
            "value BETWEEN 1 AND wei('0.5 ether') AND value <> 2",
            [v for v in values if 1 <= v <= 5 * 10**17 and v != 2],
        ),
    ):
        answer = client.post(f"SELECT count(*), max(value) FROM hot_transactions WHERE {condition}").json()
        assert (answer["rows"], answer["versions"][0]["hot_rows"]) == (
            [[len(matching), str(max(matching))]],
            len(matching),
        )


@pytest.mark.services
def test_a_wrong_answer_and_a_refusal_are_seen(sides: differential.Sides) -> None:
    assert sides.problem("SELECT count(*) FROM blocks") is None
    assert sides.problem("SELECT nothing FROM blocks") is None
    sides._plain.execute("DELETE FROM export_blocks WHERE block_number = 7")
    assert sides.problem("SELECT count(*) FROM blocks") == "(240,) instead of (239,)"
    assert sides.problem("FROM blocks SELECT block_number") == "240 rows instead of 239"
    sides._plain.execute("CREATE TABLE unknown AS SELECT 1")
    assert (sides.problem("FROM unknown") or "").startswith("refused by Trace")


def test_a_statement_shrinks_to_what_fails() -> None:
    where = Many(" WHERE ", " AND ", (Form("a"), Form("({0})", (Many("", " OR ", (Form("b"), Form("c")), 1),))))
    statement = Form(
        "{0} FROM t{1}{2}", (Many("SELECT ", ", ", (Form("x"), Form("y")), 1), where, Form(" LIMIT 1"))
    )
    assert str(statement) == "SELECT x, y FROM t WHERE a AND (b OR c) LIMIT 1"
    assert shrunk(statement, lambda sql: "c" in sql) == "SELECT y FROM t WHERE (c) LIMIT 1"
    assert shrunk(statement, lambda sql: False) == str(statement)
