"""What import contracts cannot see: statements run in the store alone, and read one clock."""

from __future__ import annotations

import re
from pathlib import Path

import traceplane

PACKAGE = Path(traceplane.__file__).parent
EXECUTE = re.compile(r"\.execute(many|script)?\(")
OTHER_CLOCKS = re.compile(r"\b(now|clock_timestamp|transaction_timestamp)\(\)|\bcurrent_timestamp\b", re.IGNORECASE)


def test_no_statement_runs_outside_the_store():
    # The query service's sessions (`attach`) and its DuckDB are contracts of their own.
    rooms = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name not in ("store", "query")]
    modules = [path for room in rooms for path in room.rglob("*.py")]
    assert len(modules) > 100
    assert [str(path.relative_to(PACKAGE)) for path in modules if EXECUTE.search(path.read_text())] == []


def test_statements_read_one_clock():
    statements = list((PACKAGE / "store" / "statements").glob("*.py"))
    assert len(statements) > 20
    assert [path.name for path in statements if OTHER_CLOCKS.search(path.read_text())] == []
