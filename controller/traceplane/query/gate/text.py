"""What the gate says of a text before it is parsed. Without DuckDB, for the side that parses nothing."""

from __future__ import annotations

from traceplane.query.gate.statement import Refusal

MAX_SQL_BYTES = 64 * 1024

TOO_COMPLEX = "QueryTooComplex"
TOO_COMPLEX_TEXT = "the statement is too complex to be checked; make it shorter, or divide it"


def check(sql: str) -> None:
    """Raise Refusal for what is no statement whatever it says: empty, too large, or no text."""
    if not sql.strip():
        raise Refusal("EmptyQuery", "the statement is empty")
    if len(sql.encode("utf-8", "surrogatepass")) > MAX_SQL_BYTES:
        raise Refusal("QueryTooLarge", f"the statement is larger than {MAX_SQL_BYTES} bytes")
    for position, character in enumerate(sql):
        if character == "\0" or 0xD800 <= ord(character) <= 0xDFFF:
            raise Refusal("InvalidQuery", "the statement holds a character SQL cannot", position=position)
