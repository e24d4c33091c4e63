"""A cell imports nothing once it is confined: it could not read the module's file, and the statement would fail."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pyarrow as pa

from tests.unit.query.answers import FORMS
from traceplane.query import wire
from traceplane.query.cell import execution, views, warm
from traceplane.query.exact import bound
from traceplane.query.gate import allowlist

_COLUMNS = [("n", "BIGINT"), *((f"c{place}", kind) for place, kind in enumerate(views.ARROW_TYPES))]
_EVERY_TYPE = """
SELECT true, 1::TINYINT, 2::HUGEINT, 3::UHUGEINT, 4::BIGNUM, 1.5::DECIMAL(5, 2), 1.5::FLOAT, 'nan'::DOUBLE, 'x',
'\\xDE'::BLOB, DATE '2026-01-31', TIME '01:02:03', TIMETZ '01:02:03+02', TIMESTAMP '2026-01-31',
TIMESTAMP_S '2026-01-31', TIMESTAMP_NS '2026-01-31', TIMESTAMPTZ '2026-01-31',
TIMESTAMPTZ 'infinity', INTERVAL 1 DAY,
'00000000-0000-7000-8000-000000000001'::UUID, '101'::BIT, [1, NULL], [1, 2]::INTEGER[2], MAP {'k': 2}, {'a': 1},
ROW(1, 'x'), NULL, union_value(m := 1), 'x'::ENUM('x', 'y'), '{"a": 1}'::JSON
"""
STATEMENTS = [
    _EVERY_TYPE.replace(", union_value(m := 1)", ""),
    "SELECT union_value(m := 1)",
    "FROM hot",
    "SELECT count(*) FROM hot WHERE c5 IN (TIMESTAMPTZ '2026-01-01', TIMESTAMPTZ '2026-01-02')",
    "SELECT count(*) FROM hot WHERE c5 = (SELECT max(c5) FROM hot)",
    "SELECT count(*) FROM hot WHERE c3 = (SELECT 'nan'::DOUBLE)",
    "SELECT count(*) FROM hot WHERE c5 IN (SELECT c5 FROM hot) AND c4 IS DISTINCT FROM 'x' OR c4 = 'y'",
    "SELECT n, count(*) OVER (ORDER BY n) FROM hot a ASOF JOIN hot b USING (n) ORDER BY ALL LIMIT 3",
    "SELECT strftime(c5, '%Y'), date_trunc('day', c5), c5 AT TIME ZONE 'Europe/Berlin', now() FROM hot",
    "SELECT c4->>'a', json_object('a', n), regexp_replace(c4, 'a', 'b'), md5(c4) FROM hot",
    "SELECT list_transform([n], lambda x: x + 1), unnest([n]) FROM hot",
    "PIVOT hot ON c0 IN (true, false) USING sum(n)",
    "SELECT n FROM hot TABLESAMPLE 10%",
    "SELECT sum(c6), u256_mul(c6, 3), ether(c6), u256_to_hex(c6, 64) FROM hot WHERE c6 > wei('5 wei') GROUP BY ALL",
    "SELECT u256_div(c6, 'x') FROM hot",
    "SELECT c6 * 2 - n, c6 / 2 FROM hot",
    "SELECT c6 * 2 - n FROM hot",
    "SELECT error('no')",
    "SELECT nothing FROM hot",
    "SELECT * FROM range(5000)",
    *(
        allowlist.check(sql).to_run
        for sql in (
            "SHOW TABLES",
            "DESCRIBE hot",
            "DESCRIBE SELECT n FROM hot",
            "SUMMARIZE hot",
            "SELECT n, column_name FROM hot JOIN information_schema.columns ON ordinal_position = n",
        )
    ),
]
_LISTED = wire.CatalogRelation(
    "main",
    "hot",
    "Postgres",
    "",
    [wire.CatalogColumn(name, kind, "Text", True, False, False, "") for name, kind in _COLUMNS],
)


def rows() -> pa.RecordBatch:
    table = duckdb.execute(
        "SELECT i AS n, i % 2 = 0 AS c0, i::INTEGER AS c1, i AS c2, i::DOUBLE AS c3, '{\"a\": ' || i || '}' AS c4,"
        " TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_seconds(i) AS c5, i::VARCHAR AS c6 FROM range(100) r(i)"
    ).to_arrow_table()
    schema = pa.schema([(name, views.ARROW_TYPES[kind]) for name, kind in _COLUMNS])
    return table.cast(schema).to_batches()[0]


def run(sql: str, form: str, databases: warm.Databases, batch: pa.RecordBatch) -> str:
    """Serve one statement over `batch` as hot rows; the kind of message it ended with."""
    broker, cell = socket.socketpair()
    with broker, cell, warm._rolled_back(databases.main), warm._rolled_back(databases.shadow):
        hot = wire.RelationSpec(names=[("", "hot")], columns=_COLUMNS, hot=True, cold=False, scope_column="n")
        limits = {"max_rows": 1000, "max_bytes": 50_000, "max_export_bytes": 10**6}
        listed = wire.Catalog("main", [_LISTED])
        wire.send(broker, wire.Prepare(sql=sql, relations=[hot], format=form, catalog=listed, **limits))
        wire.send(broker, wire.Run([[]], "[]"))
        serving = threading.Thread(
            target=execution.serve, args=(cell, str(databases.file.parent), databases.main, databases.shadow)
        )
        serving.start()
        while True:
            message, _ = wire.receive(broker, wire.FromCell)
            if isinstance(message, wire.HotScan):
                reading, writing = os.pipe()
                with os.fdopen(writing, "wb") as sink:  # it fits the pipe
                    part = batch.select(message.columns)
                    with pa.ipc.new_stream(sink, part.schema) as stream:
                        stream.write_batch(part)
                wire.send(broker, wire.HotRows(), (reading,))
                os.close(reading)
            elif isinstance(message, wire.Result):
                wire.exactly(broker, message.size)
                break
            elif isinstance(message, wire.Failed):
                break
        serving.join()
        return message.message if isinstance(message, wire.Failed) else ""


class Searches:
    """A finder of modules that finds none, and knows what was looked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(self, name: str, *_: object) -> None:
        self.names.add(name)


def main(folder: str) -> None:
    """Print each statement that imported or looked for something, and each that failed and says of what."""
    searches = Searches()
    batch = rows()
    databases = warm.opened(Path(folder))
    bound.limit_optimizers(databases.shadow)
    for connection in (databases.main, databases.shadow):
        connection.execute("SET TimeZone = 'UTC'")
    sys.meta_path.insert(0, searches)  # type: ignore[arg-type]
    for sql in STATEMENTS:
        for form in FORMS:
            before = set(sys.modules)
            failure = run(sql, form, databases, batch)
            if late := sorted(set(sys.modules) - before):
                print(f"{sql} as {form} imports {late}")
            if searches.names:
                print(f"{sql} as {form} looks for {sorted(searches.names)}")
                searches.names.clear()
            if "import" in failure or "Pushdown" in failure:
                print(f"{sql} as {form}: {failure}")


def test_a_statement_of_every_kind_imports_nothing_and_looks_for_nothing(tmp_path: Path) -> None:
    """In a process of its own: this one has imported whatever other tests need."""
    program = f"from tests.unit.query import test_cell_modules as test; test.main({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
