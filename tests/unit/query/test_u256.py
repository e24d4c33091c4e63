"""Functions over 256-bit integers give what Python's integers give, in DuckDB and vectorised, or say why not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traceplane.query.cell import u256

ROWS = 4000
ENDS = [0, 1, 2, 2**63, 2**64, 10**18, 2**127, 2**128, 2**255, 2**256 - 1]


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    u256.install(connection)
    return connection


def one(database: duckdb.DuckDBPyConnection, expression: str) -> str | None:
    (row,) = database.execute(f"SELECT ({expression})::VARCHAR").fetchall()
    found: str | None = row[0]
    return found


def numbers(seed: int, bits: int = 256, *, signed: bool = False) -> list[int]:
    source = random.Random(seed)
    found = [source.getrandbits(source.randrange(1, bits + 1)) for _ in range(ROWS - len(ENDS))]
    signs = source.choices((1, -1), k=ROWS) if signed else [1] * ROWS
    return [sign * number for sign, number in zip(signs, found + [n % 2**bits for n in ENDS], strict=True)]


def computed(database: duckdb.DuckDBPyConnection, expression: str, **columns: Sequence[object]) -> list[str | None]:
    table = pa.table(
        {name: pa.array([None if v is None else str(v) for v in values]) for name, values in columns.items()}
    )
    database.register("given", table)
    casts = ", ".join(f"{name}::BIGNUM AS {name}" for name in columns)
    rows = database.execute(f"SELECT ({expression})::VARCHAR FROM (SELECT {casts} FROM given)").fetchall()
    return [row[0] for row in rows]


def truncated(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("expression", "exact", "bits"),
    [
        ("u256_mul(a, b)", lambda a, b: a * b, 128),
        ("u256_sub(a, b)", lambda a, b: a - b, 256),
        ("u256_sub(a, a)", lambda a, b: 0, 256),
        ("u256_neg(a) + u256_neg(u256_neg(b))", lambda a, b: b - a, 256),
        ("u256_div(a, b)", lambda a, b: truncated(a, b) if b else None, 256),
        ("u256_mod(a, b)", lambda a, b: a - b * truncated(a, b) if b else None, 256),
        ("u256_mod(a, 1000007)", lambda a, b: a - 1000007 * truncated(a, 1000007), 256),
    ],
)
def test_arithmetic_is_pythons(
    expression: str,
    exact: Callable[[int, int], int | None],
    bits: int,
    signed: bool,
    database: duckdb.DuckDBPyConnection,
) -> None:
    left, right = numbers(1, bits, signed=signed), numbers(2, bits, signed=signed)
    right[7] = 0
    wanted = [exact(a, b) for a, b in zip(left, right, strict=True)]
    assert computed(database, expression, a=left, b=right) == [None if w is None else str(w) for w in wanted]


def test_a_power_is_pythons(database: duckdb.DuckDBPyConnection) -> None:
    bases = [n % 2**32 for n in numbers(3)]
    assert computed(database, "u256_pow(a, 8)", a=bases) == [str(a**8) for a in bases]
    powers = [(2, 255), (0, 0), (0, 9), (1, 10**9), (-1, 10**9 + 1), (-2, 255), (10, 77)]
    assert [one(database, f"u256_pow({a}, {b})") for a, b in powers] == [str(a**b) for a, b in powers]


def test_hex_goes_there_and_back(database: duckdb.DuckDBPyConnection) -> None:
    given = numbers(4)
    assert computed(database, "u256_to_hex(a)", a=given) == [hex(a) for a in given]
    assert computed(database, "u256_to_hex(a, 64)", a=given) == [f"0x{a:064x}" for a in given]
    assert computed(database, "u256_from_hex(u256_to_hex(a, 64))", a=given) == [str(a) for a in given]
    assert one(database, "u256_from_hex('FF')") == "255"


def test_a_word_is_read_as_twos_complement(database: duckdb.DuckDBPyConnection) -> None:
    given = numbers(5)
    signed = [int.from_bytes(a.to_bytes(32, "big"), "big", signed=True) for a in given]
    assert computed(database, "int256(a)", a=given) == [str(a) for a in signed]


def test_amounts_are_exact_decimals(database: duckdb.DuckDBPyConnection) -> None:
    given = [n % 10**38 for n in numbers(6, signed=True)]
    for unit, places in (("ether", 18), ("gwei", 9)):
        found = computed(database, f"{unit}(a)", a=given)
        digits = [((text or "").rpartition("."), int((text or "").replace(".", ""))) for text in found]
        assert [(len(point[2]), number) for point, number in digits] == [(places, a) for a in given]
    assert one(database, "typeof(ether(1)) || typeof(gwei(1))") == "DECIMAL(38,18)DECIMAL(38,9)"
    kept = [abs(a) for a in given if abs(a) < 10**30]
    assert computed(database, "wei(ether(a) || ' ether') - wei(gwei(a) || ' gwei')", a=kept) == ["0"] * len(kept)


@pytest.mark.parametrize(
    ("text", "wei"),
    [("1.5 ether", 15 * 10**17), ("30 gwei", 30 * 10**9), ("7 wei", 7), ("7", 7), ("0.000000001 gwei", 1)],
)
def test_an_amount_of_a_unit_is_wei(text: str, wei: int, database: duckdb.DuckDBPyConnection) -> None:
    assert one(database, f"wei('{text}')") == str(wei)


@pytest.mark.parametrize("name", sorted(u256.NAMES))
def test_null_makes_null(name: str, database: duckdb.DuckDBPyConnection) -> None:
    arity = 1 if name in ("u256_from_hex", "u256_to_hex", "int256", "wei", "gwei", "ether", "u256_neg") else 2
    assert one(database, f"{name}({', '.join(['NULL'] * arity)})") is None
    assert arity == 1 or one(database, f"{name}(1, NULL)") is None


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        (f"u256_mul('{2**255}', 2)", "u256_mul: the result is beyond 2^256-1"),
        ("u256_pow(2, 256)", "u256_pow: the result is beyond 2^256-1"),
        ("u256_pow(3, 999999999999)", "u256_pow: the result is beyond 2^256-1"),
        ("u256_pow(2, -1)", "u256_pow: the exponent is negative"),
        ("u256_mul(1.5, 2)", "'1.5' is no whole number"),
        ("u256_mul(1e18, 2)", "'1e+18' is no whole number"),
        ("u256_from_hex('0x')", "u256_from_hex: '0x' is no number in hex"),
        ("u256_from_hex('0x1' || repeat('0', 64))", "u256_from_hex: the result is beyond 2^256-1"),
        ("u256_to_hex(-1)", "u256_to_hex: the number is negative"),
        ("u256_to_hex(1, 65)", "u256_to_hex: 65 digits are not between 0 and 64"),
        (f"int256('{2**256}')", "int256: the number is not between 0 and 2^256-1"),
        ("int256(-1)", "int256: the number is not between 0 and 2^256-1"),
        ("wei('1 finney')", "wei: '1 finney' is no amount such as '1.5 ether', '30 gwei' or '7'"),
        ("wei('0.5')", "wei: '0.5' is not a whole number of wei"),
        (f"ether('{10**38}')", "u256_div(x, 1000000000000000000) or x::DOUBLE / 1e18"),
    ],
)
def test_what_has_no_exact_result_is_an_error(
    expression: str, why: str, database: duckdb.DuckDBPyConnection
) -> None:
    with pytest.raises(duckdb.InvalidInputException) as failed:
        one(database, expression)
    assert why in str(failed.value)
    assert one(database, f"TRY({expression})") is None


def test_nothing_is_computed_while_a_statement_is_planned() -> None:
    connection = duckdb.connect()
    u256.install(connection, planning=True)
    with pytest.raises(duckdb.InvalidInputException, match="while a statement is planned"):
        one(connection, "u256_mul(2, 3)")


@pytest.mark.parametrize(
    ("expression", "total"),
    [
        ("u256_from_hex(data)", "100"),
        ("u256_from_hex(substr(data, 3))", "100"),
        ("u256_mul(data, 2)", "200"),
        ("u256_mul(2, data)", "200"),
        ("wei(data)", "100"),
    ],
)
def test_rows_that_are_left_out_make_no_error(
    expression: str, total: str, database: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    good = "0x1" if "hex" in expression else "1"
    rows = [{"data": "none" if row % 2 else good, "kept": row % 2 == 0} for row in range(200)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", use_dictionary=True)
    source = f"'{tmp_path}/rows.parquet'"
    for summed in (
        f"{expression}) FROM {source} WHERE kept",
        f"CASE WHEN kept THEN {expression} END) FROM {source}",
    ):
        assert database.execute(f"SELECT sum({summed}").fetchall() == [(total,)]
