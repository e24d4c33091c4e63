"""Files that nobody here wrote, read by the confined process, beside plain DuckDB's reading of the same files."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from traceplane.errors import Refused
from traceplane.external import reader
from traceplane.query.reading.messages import Read, ReadColumn, SourceFile
from traceplane_sdk.columns import FORMS

WORDS = [
    "",
    "a",
    'say "x"',
    "a,b",
    "line\nbreak",
    "Ü€😀",
    " x ",
    "007",
    "true story",
    "2024-01-0x",
    "NULL",
    "\\",
    "'",
]
MAKE = {
    "INTEGER": lambda rng: rng.randint(-(2**40), 2**40),
    "DOUBLE": lambda rng: rng.choice([rng.uniform(-1e9, 1e9), 0.5, -1e-7, 1e22]),
    "BOOLEAN": lambda rng: rng.random() < 0.5,
    "VARCHAR": lambda rng: rng.choice(WORDS),
    "TIMESTAMP": lambda rng: datetime.fromtimestamp(rng.randint(0, 2**31), UTC).strftime("%Y-%m-%d %H:%M:%S"),
}
PLAIN = {
    "INTEGER": "BIGINT",
    "DOUBLE": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "VARCHAR": "VARCHAR",
    "TIMESTAMP": "TIMESTAMPTZ",
}
TRACE = {"INTEGER": "Int64", "DOUBLE": "Float64", "BOOLEAN": "Bool", "VARCHAR": "Text", "TIMESTAMP": "Timestamp"}


def read(folder: Path, sources: Sequence[SourceFile], columns: list[ReadColumn] | None = None) -> Any:
    """The Parquet that is made of files in `folder`, as Arrow."""
    forms = {str(kind): form.text[0] for kind, form in FORMS.items() if form.text}
    wanted = Read(files=list(sources), columns=columns, forms=forms, quoted_nulls=True, max_rows=10_000)
    target = folder.parent / "content.parquet"
    reader.read(wanted, folder, target, most=1 << 26, check=lambda: None)
    return pq.read_table(target)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("form", ["csv", "json"])
def test_random_files_are_read_as_plain_duckdb_reads_them(tmp_path: Path, seed: int, form: str) -> None:
    rng = random.Random(f"{form}{seed}")
    kinds = [rng.choice(list(MAKE)) for _ in range(rng.randint(1, 7))]
    rows = [
        [None if rng.random() < 0.15 else MAKE[kind](rng) for kind in kinds] for _ in range(rng.randint(1, 300))
    ]
    for number, kind in enumerate(kinds):  # a value of each kind that only this kind has, so that it can be found
        rows.append([None] * len(kinds))
        rows[-1][number] = {"INTEGER": 3, "DOUBLE": 0.25, "BOOLEAN": True, "VARCHAR": "word"}.get(
            kind, "2024-01-01"
        )
    names = [f"c{number}" for number in range(len(kinds))]
    folder = tmp_path / "raw"
    folder.mkdir()
    path = folder / "0"
    path.write_text(_csv(names, rows) if form == "csv" else _json(names, rows), newline="")
    found = read(folder, [SourceFile("0", f"x.{form}", form, False)])  # type: ignore[arg-type]

    declared = ", ".join(f"'{name}': '{PLAIN[kind]}'" for name, kind in zip(names, kinds, strict=True))
    source = (
        f"read_csv('{path}', auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', "
        f"columns = {{{declared}}})"
        if form == "csv"
        else f"read_json('{path}', format = 'newline_delimited', columns = {{{declared}}})"
    )
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    plain = connection.sql(f"FROM {source}").to_arrow_table()
    assert found.to_pydict() == plain.to_pydict()
    marks = [field.metadata[b"trace.type"].decode() for field in found.schema]
    assert marks == [TRACE[kind] for kind in kinds]


def _csv(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([str(v).lower() if isinstance(v, bool) else v for v in row] for row in rows)
    return out.getvalue()


def _json(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)


def _found(tmp_path: Path, body: str, *, form: str = "csv") -> list[str]:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "0").write_text(body)
    table = read(folder, [SourceFile("0", f"x.{form}", form, False)])  # type: ignore[arg-type]
    return [f"{field.metadata[b'trace.type'].decode()} {table[field.name].to_pylist()}" for field in table.schema]


def test_a_type_is_found_where_no_digit_is_lost(tmp_path: Path) -> None:
    assert _found(
        tmp_path,
        "zip,big,huge,mixed,exp,hex,day,none\n"
        "007,9223372036854775808,-99999999999999999999,99999999999999999999,1e5,0xAB,2024-01-01,\n"
        "12,1,1,0.5,2,0xcd,2024-01-02T03:04:05+02:00,\n",
    ) == [
        "Text ['007', '12']",
        "UInt256 ['9223372036854775808', '1']",
        "Text ['-99999999999999999999', '1']",
        "Text ['99999999999999999999', '0.5']",
        "Float64 [100000.0, 2.0]",
        "Hex ['0xab', '0xcd']",
        f"Timestamp [{datetime(2024, 1, 1, tzinfo=UTC)!r}, {datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)!r}]".replace(
            "datetime.timezone.utc", "<UTC>"
        ).replace("<UTC>", "zoneinfo.ZoneInfo(key='UTC')"),
        "Text [None, None]",
    ]


def test_json_keeps_what_its_values_are(tmp_path: Path) -> None:
    assert _found(
        tmp_path,
        '{"a": "1", "b": {"x": [1]}, "c": 1, "d": null}\n{"a": "2", "b": "y", "c": "z", "e": true}\n',
        form="json",
    ) == [
        "Text ['1', '2']",
        "Json ['{\"x\":[1]}', '\"y\"']",
        "Json ['1', '\"z\"']",
        "Text [None, None]",
        "Bool [None, True]",
    ]


@pytest.mark.parametrize("tail", ['1,"x\n', '1,"x\n2,y\n3,z\n', '1,"x'])
def test_a_quote_that_is_never_closed_loses_no_row_in_silence(tmp_path: Path, tail: str) -> None:
    """DuckDB 1.5 drops what follows it."""
    with pytest.raises(Refused, match="a quote that is not closed"):
        _found(tmp_path, "n,t\n0,ok\n" + tail)


def test_a_decimal_is_not_made_a_double_unasked(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    duckdb.sql(f"COPY (SELECT 1.10::DECIMAL(9,2) AS price) TO '{folder / '0'}' (FORMAT parquet)")
    source = [SourceFile("0", "x.parquet", "parquet", False)]
    with pytest.raises(Refused, match=r"price: DECIMAL\(9,2\) has no type"):
        read(folder, source)
    assert read(folder, source, [ReadColumn("price", "Float64", False)]).to_pydict() == {"price": [1.1]}
    assert read(folder, source, [ReadColumn("price", "Text", False)]).to_pydict() == {"price": ["1.10"]}


def test_the_process_sees_no_other_file(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (tmp_path / "secret").write_text("n\n1\n")
    (folder / "0").symlink_to(tmp_path / "secret")
    with pytest.raises(Refused):
        read(folder, [SourceFile("0", "x.csv", "csv", False)])
