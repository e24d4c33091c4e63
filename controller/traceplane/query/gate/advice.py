"""What to use instead of a part of SQL that is refused, where there is something.

Names of other databases that people type by habit, and of DuckDB's own that the gate does not let through. Each
function and type that is named here passes the gate, which a test sees to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_DATE = "strftime(x, '%Y-%m-%d')"
_FILES = "take an answer as Parquet, and join it with the file in a DuckDB of your own"

FUNCTIONS: Mapping[str, str] = {
    "approx_distinct": "approx_count_distinct(x)",
    "array_join": "array_to_string(x, ',')",
    "bytearray_substring": "substr(x, 3, 8)",
    "bytearray_to_int256": "int256(u256_from_hex(x))",
    "bytearray_to_uint256": "u256_from_hex(x)",
    "charindex": "strpos(x, y)",
    "collect_list": "list(x)",
    "collect_set": "list(DISTINCT x)",
    "date_format": _DATE,
    "date_parse": "strptime(x, '%Y-%m-%d')",
    "dateadd": "x + INTERVAL 1 DAY",
    "explode": "unnest(x)",
    "from_unixtime": "to_timestamp(x)",
    "get_json_object": "json_extract_string(x, '$.y')",
    "getdate": "now()",
    "isnull": "coalesce(x, y)",
    "json_extract_scalar": "json_extract_string(x, '$.y')",
    "newid": "uuid()",
    "nvl": "coalesce(x, y)",
    "rand": "random()",
    "regexp_like": "regexp_matches(x, y)",
    "regexp_substr": "regexp_extract(x, y)",
    "sequence": "generate_series(1, 10)",
    "substring_index": "split_part(x, y, 1)",
    "sysdate": "now()",
    "to_char": _DATE,
    "to_date": "strptime(x, '%Y-%m-%d')::DATE",
    "to_number": "x::DECIMAL(38, 0)",
    "unix_timestamp": "epoch(x)",
    "varbinary_substring": "substr(x, 3, 8)",
    "varbinary_to_int256": "int256(u256_from_hex(x))",
    "varbinary_to_uint256": "u256_from_hex(x)",
}
"""An expression for each."""
TYPES: Mapping[str, str] = {
    "address": "VARCHAR",
    "bytes": "VARCHAR",
    "bytes32": "VARCHAR",
    "clob": "VARCHAR",
    "datetime2": "TIMESTAMP",
    "int256": "BIGNUM",
    "jsonb": "JSON",
    "money": "DECIMAL(38, 2)",
    "number": "DECIMAL(38, 0)",
    "uint256": "BIGNUM",
}
"""A type for each."""
_READERS = re.compile(r"read_\w+|\w+_scan|glob|sniff_csv|parquet_\w+")
_STATEMENTS: Mapping[str, str] = {
    "SHOW": "`tracectl get assets` shows what there is, and GET /v1/assets/NAME its columns",
    "SET": "the service fixes the settings",
    "COPY": "`format` in the body, or `tracectl query -o parquet|csv`, says what an answer is written as",
    "CREATE": "a common table expression names a result: WITH x AS (SELECT ...) SELECT ...",
    "ATTACH": _FILES,
    "EXPORT": _FILES,
    "LOAD": "extensions are not loaded",
    "EXPLAIN": "`bytes_scanned` and `versions` of an answer say what was read",
}
_SETTINGS: Mapping[str, str] = {
    "timezone": "x AT TIME ZONE 'Europe/Berlin' is the clock time there of a moment, and results are in UTC",
    "search_path": "`namespace` in the body, or `tracectl query -n`, says where unqualified names are looked up",
    "schema": "`namespace` in the body, or `tracectl query -n`, says where unqualified names are looked up",
    "statement_timeout": "`timeout_seconds` in the body, or `tracectl query --timeout`, bounds the time",
}
_SET = re.compile(r"\s*set\s+(?:(?:session|local|global)\s+)?(?P<name>time\s+zone|\w+)", re.IGNORECASE)
PIVOT = (
    "PIVOT without its values would be two statements; name them: PIVOT t ON c IN ('x', 'y') USING count(*), where "
    "SELECT DISTINCT c FROM t gives the values"
)


def function(name: str) -> str:
    """The end of a message about a refused function, from a semicolon on; empty where there is nothing to say."""
    if name in FUNCTIONS:
        return f"; use {FUNCTIONS[name]}"
    return f"; {_FILES}" if _READERS.fullmatch(name) else ""


def type_(name: str) -> str:
    """The same for a type."""
    if name in ("uint256", "int256"):
        return "; BIGNUM is the type of 256-bit integers, and int256(x) reads one as signed"
    return f"; use {TYPES[name]}" if name in TYPES else ""


def statement(kind: str, sql: str = "") -> str:
    """The same for a kind of statement, as DuckDB names it."""
    if kind == "SET" and (found := _SET.match(sql)):
        name = re.sub(r"\s+", "", found["name"].lower())
        return f"; {_SETTINGS.get(name, _STATEMENTS['SET'])}"
    return f"; {_STATEMENTS[kind]}" if kind in _STATEMENTS else ""
