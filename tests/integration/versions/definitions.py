"""What a person may have written in the DAG, and what each of its assets then has to hold, by plain DuckDB.

    chain ---blocks---> tag ---tagged---> ranges ---ranges---> total (cold), detail (hot), archive (compaction)
                         \\---tagged (read)------------------------^

`Definition` is all that the drill edits. Everything that it computes comes from the blocks, never from the product.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import duckdb
import pyarrow as pa

from tests.integration.versions.chain import PLACES, MadeUpChain

NAMESPACE, DAG = "demo", "places"
TAG = """SELECT number, place, value * {factor} AS value FROM {blocks}
WHERE number BETWEEN $partition_start AND $partition_end AND value % 5 <> 2"""
TOTAL = """SELECT $partition_start AS first, place, CAST(sum(value) + {plus} AS BIGINT) AS total FROM {tagged}
WHERE number BETWEEN $partition_start AND $partition_end GROUP BY place"""
DETAIL = """SELECT number, place, value - {minus} AS value FROM {tagged}
WHERE number BETWEEN $partition_start AND $partition_end"""
INT64 = {"type": "Int64"}
ROWS = {
    "columns": [{"name": "number", **INT64}, {"name": "place", "type": "Text"}, {"name": "value", **INT64}],
    "scopeColumn": "number",
    "uniqueKey": ["number"],
}
TOTALS = {
    "columns": [{"name": "first", **INT64}, {"name": "place", "type": "Text"}, {"name": "total", **INT64}],
    "scopeColumn": "first",
    "uniqueKey": ["first", "place"],
}
READ = {
    "blocks": "SELECT number, place, value FROM blocks",
    "tagged": "SELECT number, place, value FROM tagged",
    "totals": 'SELECT "first", place, total FROM totals',
    "detail": "SELECT number, place, value FROM detail",
    "archive": "SELECT number, place, value FROM archive",
}
"""How each asset is read."""
JOBS = {"blocks": "chain", "tagged": "tag", "totals": "total", "detail": "detail", "archive": "archive"}
"""Which job makes it."""
BY_RANGE = frozenset({"totals", "detail", "archive"})
"""Assets that are made range by range, in any order."""

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Definition:
    """The fields that are edited."""

    salt: int = 0
    factor: int = 1
    slice_size: int = 4
    places: tuple[int, ...] = ()
    """The places that `tag` reads; empty: all."""
    range_size: int = 8
    plus: int = 0
    detail: bool = True
    minus: int = 0
    archive: bool = True
    published: bool = True
    """Whether `totals` is an asset."""
    cutover: str = "Auto"

    @property
    def assets(self) -> tuple[str, ...]:
        chosen = {"totals": self.published, "detail": self.detail, "archive": self.archive}
        return tuple(asset for asset in READ if chosen.get(asset, True))

    def manifest(self, chance: random.Random | None = None) -> dict[str, Any]:
        """As a person writes it; with `chance`, in another order of everything that has none."""
        jobs = list(self._jobs())
        publish = [
            {"asset": asset, "from": {"job": JOBS[asset], "output": "tagged" if asset == "archive" else asset}}
            for asset in self.assets
        ]
        spec = {
            "rollout": {"cutover": self.cutover},
            "defaults": {"maxAttempts": 20, "heartbeatTimeoutSeconds": 60},
            "jobs": jobs,
            "publish": publish,
        }
        if chance is not None:
            chance.shuffle(jobs)
            chance.shuffle(publish)
            spec["jobs"] = [dict(chance.sample(list(job.items()), len(job))) for job in jobs]
        metadata = {"name": DAG, "namespace": NAMESPACE, "uid": "uid-1"}
        return {"apiVersion": "trace.dev/v1alpha1", "kind": "DAG", "metadata": metadata, "spec": spec}

    def _jobs(self) -> Iterator[dict[str, Any]]:
        yield {
            "name": "chain",
            "activation": "Source",
            "runtime": "Pod",
            "operator": "made_up_chain",
            "source": {"kind": "AlwaysOn"},
            "config": {"salt": self.salt},
            "outputs": ["blocks"],
            "updateStrategy": "Replace",
        }
        where = {"where": {"place": [f"place {place}" for place in self.places]}} if self.places else {}
        yield _query(
            "tag",
            [{"from": {"job": "chain", "output": "blocks"}, **where}],
            "PerUpdate",
            TAG.format(factor=self.factor, blocks="chain_blocks"),
            "tagged",
            {**ROWS, "storage": "Postgres", "sliceSize": self.slice_size},
        )
        yield {
            "name": "ranges",
            "activation": "Reactive",
            "runtime": "Dispatcher",
            "operator": "range_aggregator",
            "inputs": [{"from": {"job": "tag", "output": "tagged"}}],
            "executionStrategy": "PerUpdate",
            "config": {"cursorColumn": "number", "rangeSize": self.range_size},
            "outputs": ["ranges"],
            "updateStrategy": "Append",
            "uniqueKey": ["dedupe_key"],
        }
        read = [
            {"from": {"job": "ranges", "output": "ranges"}},
            {"from": {"job": "tag", "output": "tagged"}, "trigger": False},
        ]
        total, detail = TOTAL.format(plus=self.plus, tagged="tag_tagged"), ""
        yield _query("total", read, "PerPartition", total, "totals", TOTALS)
        if self.detail:
            detail = DETAIL.format(minus=self.minus, tagged="tag_tagged")
            yield _query("detail", read, "PerPartition", detail, "detail", {**ROWS, "storage": "Postgres"})
        if self.archive:
            yield {
                **_query("archive", read, "PerPartition", "", "tagged", {}),
                "operator": "parquet_compact",
                "config": {"deleteAfterCompact": True},
            }

    def edited(self, chance: random.Random) -> Definition:
        """One edit: of a job, of a middle, of everything, a job or an asset more or less, or of nothing."""
        what = chance.choice(
            ["factor", "places", "slice", "range", "plus", "minus", "all", "detail", "archive", "published", "same"]
        )
        new = chance.randrange(2, 9)
        if what == "places":
            return replace(self, places=tuple(sorted(chance.sample(range(PLACES), chance.randrange(0, 4)))))
        if what == "all":
            return replace(self, salt=new, factor=new, plus=new, minus=new)
        if what in ("detail", "archive", "published"):
            return replace(self, **{what: not getattr(self, what)})
        if what == "same":
            return self
        field = {"slice": "slice_size", "range": "range_size"}.get(what, what)
        return replace(self, **{field: new})

    # What it has to hold.

    def tagged_to(self, chain: MadeUpChain) -> int:
        """The last value that `tag` has answered for once it is at rest: whole slices of what is final."""
        return (chain.final + 1) // self.slice_size * self.slice_size - 1

    def ranges(self, upto: int) -> list[tuple[int, int]]:
        """The ranges that are whole up to a value of `tagged`."""
        size = self.range_size
        return [(start, start + size - 1) for start in range(0, upto + 2 - size, size)]

    def rows(self, chain: MadeUpChain, asset: str) -> list[Row]:
        """All rows of an asset at rest, in order."""
        return list(_computed(self, tuple(chain.branches))[asset])


@lru_cache(maxsize=64)
def _computed(definition: Definition, branches: tuple[int, ...]) -> dict[str, list[Row]]:
    """The rows of every asset."""
    chain = MadeUpChain(list(branches))
    blocks, upto = chain.blocks(definition.salt), definition.tagged_to(chain)
    ranges, places = definition.ranges(upto), definition.places or range(PLACES)
    read = [block for block in blocks if block[0] % PLACES in places]
    names = [column["name"] for column in ROWS["columns"]]
    with duckdb.connect() as connection:
        connection.register("blocks", pa.table(dict(zip(names, zip(*read, strict=True), strict=True))))
        tag = TAG.format(factor=definition.factor, blocks="blocks")
        connection.execute(f"CREATE TABLE tagged AS {_bound(tag, 0, upto)}")

        def answered(sql: str) -> list[Row]:
            bound = (_bound(sql, start, end) for start, end in ranges)
            return sorted(row for one in bound for row in connection.execute(one).fetchall())

        return {
            "blocks": [tuple(block) for block in blocks],
            "tagged": sorted(connection.execute("FROM tagged").fetchall()),
            "totals": answered(TOTAL.format(plus=definition.plus, tagged="tagged")),
            "detail": answered(DETAIL.format(minus=definition.minus, tagged="tagged")),
            "archive": answered(DETAIL.format(minus=0, tagged="tagged")),
        }


def _bound(sql: str, start: int, end: int) -> str:
    return sql.replace("$partition_start", str(start)).replace("$partition_end", str(end))


def _query(
    name: str, inputs: list[dict[str, Any]], strategy: str, sql: str, output: str, config: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "activation": "Reactive",
        "runtime": "Pod",
        "operator": "query",
        "inputs": inputs,
        "executionStrategy": strategy,
        "config": {"sql": sql, **config},
        "outputs": [output],
        "updateStrategy": "Replace",
    }
