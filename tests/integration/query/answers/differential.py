"""Made-up statements by Trace, pinned with `as_of`, and by plain DuckDB over an export of the same rows:
`python -m tests.integration.query.answers.differential --seconds 60 [--seed N]`, or `make fuzz KIND=answers`.

A difference fails, and so does a statement that one of the two refuses. A run is its seed: what it finds is found
again by the same command. A statement that fails is made smaller before it is shown.
"""

from __future__ import annotations

import decimal
import io
import itertools
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pyarrow as pa

from tests import services
from tests.integration.query.answers import rows
from tests.integration.query.answers.grammar import Grammar
from tests.integration.query.answers.nodes import shrunk
from tests.integration.query.world import World
from tests.issuer import issuer
from tests.support import fuzzing
from traceplane_sdk.columns import FORMS

ROWS_SEED = 13
"""The rows are the same in every run; a statement is found again by its own seed alone."""
TOLERANCE = 1e-9
"""Between floats: sums come in the order that rows come in."""

Ask = Callable[..., httpx.Response]
"""Send a statement, with further members of the body."""


class Refused(Exception):
    """One side has no answer."""


class Sides:
    """The two that are compared. `ask` sends to a service over the rows that `rows.fill` put there."""

    def __init__(self, ask: Ask, tables: dict[str, pa.Table]) -> None:
        self.tables = tables
        self._ask = ask
        self._plain = duckdb.connect(config={"threads": 1})
        self._plain.execute("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            self._plain.register("export", table)
            columns = ", ".join(
                f"{column.name}::{FORMS[column.type].duckdb} AS {column.name}" for column in rows.columns_of(name)
            )
            self._plain.execute(f"CREATE TABLE export_{name} AS SELECT {columns} FROM export")
            self._plain.unregister("export")
            for tier in rows.TIERS:
                self._plain.execute(f"CREATE VIEW {tier}{name} AS FROM export_{name}")
        whole = " UNION ALL ".join(
            f"SELECT max(block_number) FROM {tier}{name}" for tier in rows.TIERS for name in tables
        )
        self._as_of = self._answered(whole).headers["x-trace-as-of"]

    def problem(self, sql: str) -> str | None:
        """What is wrong with the answer to `sql`, or None."""
        ours, theirs = _outcome(self._ours, sql), _outcome(self._theirs, sql)
        if isinstance(ours, Refused) or isinstance(theirs, Refused):
            if isinstance(ours, Refused) and isinstance(theirs, Refused):
                return None
            side, refusal = ("Trace", ours) if isinstance(ours, Refused) else ("DuckDB", theirs)
            return f"refused by {side}: {refusal}"
        if len(ours) != len(theirs):
            return f"{len(ours)} rows instead of {len(theirs)}"
        different = next(((a, b) for a, b in zip(ours, theirs, strict=True) if not _alike(a, b)), None)
        return f"{different[0]} instead of {different[1]}" if different else None

    def _ours(self, sql: str) -> pa.Table:
        answer = self._answered(sql, as_of=self._as_of)
        if answer.headers["content-type"] == "application/json":
            raise AssertionError(f"a statement of the grammar has an answer too large to compare: {sql}")
        return pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()

    def _answered(self, sql: str, **body: Any) -> httpx.Response:
        answer = self._ask(sql, format="arrow", **body)
        if answer.status_code != 200:
            raise Refused(answer.text)
        return answer

    def _theirs(self, sql: str) -> pa.Table:
        try:
            answer = self._plain.sql(sql)
            # DuckDB hands a BIGNUM to Arrow as the bytes that it has in memory.
            kinds = [str(kind).replace("BIGNUM", "VARCHAR") for kind in answer.types]
            casts = (f"CAST(#{place} AS {kind}) AS c{place}" for place, kind in enumerate(kinds, 1))
            return answer.project(", ".join(casts)).to_arrow_table()
        except duckdb.Error as error:
            raise Refused(str(error)) from error


def _outcome(run: Callable[[str], pa.Table], sql: str) -> list[tuple[Any, ...]] | Refused:
    try:
        table = run(sql)
    except Refused as refused:
        return refused
    columns = [[_comparable(value) for value in column.to_pylist()] for column in table.columns]
    return sorted(zip(*columns, strict=True), key=_sorting)


def _comparable(value: Any) -> Any:
    """Numbers without their type: a HUGEINT is a decimal to Arrow, and text to one that would lose digits."""
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, str) and value.removeprefix("-").isdecimal():
        return int(value)
    return [_comparable(part) for part in value] if isinstance(value, list) else value


def _sorting(row: tuple[Any, ...]) -> str:
    return repr([f"{value:.6g}" if isinstance(value, float) else value for value in row])


def _alike(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    return all(
        math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (math.isnan(a) and math.isnan(b))
        if isinstance(a, float) and isinstance(b, float)
        else a == b
        for a, b in zip(left, right, strict=True)
    )


def problems(sides: Sides, seed: int) -> Iterator[str | None]:
    """One statement after another, for ever: None where both sides agree, else what is wrong, and how to see it."""
    for own in itertools.count(seed):
        statement = Grammar(random.Random(own), sides.tables).statement()
        problem = sides.problem(str(statement))
        if problem is None:
            yield None
            continue
        refused = problem.startswith("refused")  # what is left of a refusal must not be another kind of failure

        def fails(sql: str, refused: bool = refused) -> bool:
            found = sides.problem(sql)
            return found is not None and found.startswith("refused") == refused

        small = shrunk(statement, fails)
        yield f"seed {own}: {sides.problem(small)}\n{small};\n-- of: {statement}"


@contextmanager
def running() -> Iterator[Sides]:
    """Both sides over rows of their own, Trace as a process beside its databases and object store."""
    from tests.bench.query import service  # what a bench needs is installed where this runs by itself

    with (
        services.postgres() as postgres,
        services.object_store() as store,
        issuer() as oidc,
        tempfile.TemporaryDirectory() as folder,
        closing(World(postgres.databases(), store, store.bucket())) as world,
    ):
        world.user(oidc.url, "fuzz", "reader")
        tables = rows.chain(ROWS_SEED)
        rows.fill(world, tables)
        with (
            service(world, oidc.url, Path(folder) / "cache") as started,
            httpx.Client(base_url=started.url, timeout=120) as http,
        ):
            headers = {"Authorization": f"Bearer {oidc.token('fuzz', exp=int(time.time()) + 86400)}"}

            def ask(sql: str, **body: Any) -> httpx.Response:
                return http.post("/v1/query", json={"sql": sql, **body}, headers=headers)

            yield Sides(ask, tables)


def tried(seed: int) -> fuzzing.Problems:
    """The problems of both sides, which run for as long as they are tried."""
    with running() as sides:
        yield from problems(sides, seed)


if __name__ == "__main__":
    sys.exit(fuzzing.main(tried))
