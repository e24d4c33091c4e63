"""Functions of SQL over 256-bit integers that DuckDB lacks, or has in DOUBLE only: exact, or an error.

DuckDB calls them with columns of text and casts what they return: a `BIGNUM` holds any whole number, and Python's
integers compute with it. Numbers may be negative, as what `int256` reads is; none may be beyond 2^256-1 either way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType
from duckdb.sqltypes import VARCHAR

LARGEST = 2**256 - 1
_WHOLE = re.compile(r"[+-]?[0-9]{1,100}", re.ASCII)
_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,100})", re.ASCII)
_AMOUNT = re.compile(r"([0-9]{1,100})(?:\.([0-9]{1,100}))? *(wei|gwei|ether|)", re.ASCII)
_DIGITS = {"": 0, "wei": 0, "gwei": 9, "ether": 18}
"""Decimal places that a wei is of each unit."""
_DECIMAL_DIGITS = 38
_MAX_HEX_DIGITS = 64


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is no whole number")
    return int(text)


def _bounded(number: int, name: str) -> str:
    if abs(number) > LARGEST:
        raise ValueError(f"{name}: the result is beyond 2^256-1")
    return str(number)


def _mul(left: str, right: str) -> str:
    return _bounded(_whole(left) * _whole(right), "u256_mul")


def _div(left: str, right: str) -> str | None:
    """Toward zero, and NULL where `right` is 0, both as DuckDB's `//`."""
    dividend, divisor = _whole(left), _whole(right)
    if divisor == 0:
        return None
    quotient = abs(dividend) // abs(divisor)
    return str(quotient if (dividend < 0) == (divisor < 0) else -quotient)


def _mod(left: str, right: str) -> str | None:
    """With the sign of `left`, and NULL where `right` is 0, both as DuckDB's `%`."""
    dividend, divisor = _whole(left), _whole(right)
    if divisor == 0:
        return None
    rest = abs(dividend) % abs(divisor)
    return str(-rest if dividend < 0 else rest)


def _pow(base: str, exponent: str) -> str:
    number, times = _whole(base), _whole(exponent)
    if times < 0:
        raise ValueError("u256_pow: the exponent is negative")
    if abs(number) > 1 and times > 256:  # before it is computed: the power may be larger than the memory
        return _bounded(LARGEST + 1, "u256_pow")
    return _bounded(pow(number, times), "u256_pow")


def _from_hex(text: str) -> str:
    found = _HEX.fullmatch(text)
    if not found:
        raise ValueError(f"u256_from_hex: {text[:100]!r} is no number in hex")
    return _bounded(int(found[1], 16), "u256_from_hex")


def _to_hex(text: str, digits: str) -> str:
    number, width = _whole(text), _whole(digits)
    if number < 0:
        raise ValueError("u256_to_hex: the number is negative")
    if not 0 <= width <= _MAX_HEX_DIGITS:
        raise ValueError(f"u256_to_hex: {width} digits are not between 0 and {_MAX_HEX_DIGITS}")
    _bounded(number, "u256_to_hex")
    return f"0x{number:0{width}x}"


def _int256(text: str) -> str:
    number = _whole(text)
    if not 0 <= number <= LARGEST:
        raise ValueError("int256: the number is not between 0 and 2^256-1")
    return str(number - 2**256 if number >= 2**255 else number)


def _wei(text: str) -> str:
    found = _AMOUNT.fullmatch(text)
    if not found:
        raise ValueError(f"wei: {text[:100]!r} is no amount such as '1.5 ether', '30 gwei' or '7'")
    whole, fraction, places = found[1], found[2] or "", _DIGITS[found[3]]
    if fraction[places:].strip("0"):
        raise ValueError(f"wei: {text[:100]!r} is not a whole number of wei")
    return _bounded(int(whole + fraction[:places].ljust(places, "0")), "wei")


def _amount(unit: str) -> Callable[[str], str]:
    places = _DIGITS[unit]

    def amount(text: str) -> str:
        number = _whole(text)
        if abs(number) >= 10**_DECIMAL_DIGITS:
            raise ValueError(
                f"{unit}: an amount of 10^{_DECIMAL_DIGITS - places} {unit} and more is beyond"
                f" DECIMAL({_DECIMAL_DIGITS}, {places}); use u256_div(x, {10**places}) or x::DOUBLE / 1e{places}"
            )
        digits = str(abs(number)).rjust(places + 1, "0")
        return f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}"

    return amount


FUNCTIONS: Mapping[str, Callable[..., str | None]] = {
    "__u256_mul": _mul,
    "__u256_div": _div,
    "__u256_mod": _mod,
    "__u256_pow": _pow,
    "__u256_from_hex": _from_hex,
    "__u256_to_hex": _to_hex,
    "__u256_int256": _int256,
    "__u256_wei": _wei,
    "__u256_gwei": _amount("gwei"),
    "__u256_ether": _amount("ether"),
}
"""Of texts, by the name that the macros call. The gate lets no statement call one itself."""

_MACROS = (
    ("u256_mul", ("a, b",), "BIGNUM"),
    ("u256_div", ("a, b",), "BIGNUM"),
    ("u256_mod", ("a, b",), "BIGNUM"),
    ("u256_pow", ("a, b",), "BIGNUM"),
    ("u256_from_hex", ("a",), "BIGNUM"),
    ("u256_to_hex", ("a", "a, b"), "VARCHAR"),
    ("int256", ("a",), "BIGNUM"),
    ("wei", ("a",), "BIGNUM"),
    ("gwei", ("a",), "DECIMAL(38, 9)"),
    ("ether", ("a",), "DECIMAL(38, 18)"),
)
"""Name, the parameters of each form, type."""
ONCE: Mapping[str, str] = {name: f"__{name}_once" for name, _, _ in _MACROS}
"""Pass an argument once, so that nested ones stay small: for one that is of no Parquet file's dictionary."""
_NEGATED = "TRY_CAST(replace('-' || CAST(CAST({0} AS BIGNUM) AS VARCHAR), '--', '') AS BIGNUM)"
_OF_DUCKDB = {
    "u256_sub": f"(a, b) AS CAST(a AS BIGNUM) + {_NEGATED.format('b')}",
    "u256_neg": f"(a) AS {_NEGATED.format('a')}",
}
"""By way of text: DuckDB 1.5.5 negates a BIGNUM where it lies, which another thread, or the same expression, may be
reading at that moment."""
PLUS = "__u256_plus"
"""`+x`, which DuckDB makes DOUBLE."""
NAMES = frozenset([*(name for name, _, _ in _MACROS), *_OF_DUCKDB])


def install(connection: duckdb.DuckDBPyConnection, *, planning: bool = False) -> None:
    """Make the functions known to `connection`'s database.

    For `planning` they compute nothing: DuckDB leaves a constant expression that fails as it is, so that the plan
    shows the call and its constants, and not a BIGNUM, which JSON cannot hold.
    """
    for name, function in FUNCTIONS.items():
        columns = _refusing(function) if planning else _columns(function)
        types: list[Any] = [VARCHAR] * 2 * arity(function)
        connection.create_function(
            name, columns, types, VARCHAR, type=PythonUDFType.ARROW, null_handling=FunctionNullHandling.SPECIAL
        )
    for name, forms, kind in _MACROS:
        connection.execute(f"CREATE MACRO {name}{', '.join(_form(name, form, kind) for form in forms)}")
        once = [_form(name, form, kind, once=True) for form in forms]
        connection.execute(f"CREATE MACRO {ONCE[name]}{', '.join(once)}")
    for name, body in (*_OF_DUCKDB.items(), (PLUS, "(a) AS CAST(a AS BIGNUM)")):
        connection.execute(f"CREATE MACRO {name}{body}")


def _form(name: str, parameters: str, kind: str, *, once: bool = False) -> str:
    arguments = [f"CAST({part} AS VARCHAR)" for part in parameters.split(", ")]
    function = f"__{name}" if name.startswith("u256_") else f"__u256_{name}"
    arguments += ["'1'"] * (arity(FUNCTIONS[function]) - len(arguments))
    # Twice: of one column as a Parquet file's dictionary, DuckDB computes every value, also of rows that the
    # statement leaves out, for whose values there may be an error.
    more = ["'1'"] * len(arguments) if once else arguments
    return f"({parameters}) AS CAST({function}({', '.join(arguments + more)}) AS {kind})"


def _columns(function: Callable[..., str | None]) -> Callable[..., pa.Array]:
    """`function` over columns, each given twice."""

    def over(*columns: pa.ChunkedArray) -> pa.Array:
        rows = zip(*(column.to_pylist() for column in columns[: arity(function)]), strict=True)
        return pa.array([None if None in row else function(*row) for row in rows], pa.string())

    return _counted(over, function)


def _refusing(function: Callable[..., str | None]) -> Callable[..., pa.Array]:
    def refused(*_: pa.ChunkedArray) -> pa.Array:
        raise ValueError("nothing is computed while a statement is planned")

    return _counted(refused, function)


def _counted(over: Callable[..., pa.Array], function: Callable[..., str | None]) -> Callable[..., pa.Array]:
    """`over` with a signature, from which DuckDB reads how many columns there are."""
    return (lambda a, b: over(a, b)) if arity(function) == 1 else (lambda a, b, c, d: over(a, b, c, d))


def arity(function: Callable[..., str | None]) -> int:
    """How many arguments one of FUNCTIONS has."""
    return function.__code__.co_argcount
