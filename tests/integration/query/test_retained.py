"""A hot dataset whose rows several cold versions have: every row once, whichever version is active."""

from __future__ import annotations

import io
import random
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.query.conftest import Client
from tests.integration.query.world import World, block_hash, parquet, value_of
from tests.support.seeds import seeds

pytestmark = pytest.mark.services

ALL = "SELECT block_number, hash, value FROM {name} ORDER BY block_number"


def blocks(low: int, high: int) -> list[list[object]]:
    """What the rows `low` to `high` are."""
    return [[n, block_hash(n), str(value_of(n))] for n in range(low, high + 1)]


class Moves:
    """Random relocations by several cold versions of one hot version, and deletions of what was relocated."""

    def __init__(self, world: World, hot: UUID, versions: list[UUID], chance: random.Random) -> None:
        self._world, self._hot, self._chance = world, hot, chance
        self._sizes = {version: chance.choice((7, 20, 33, 50)) for version in versions}
        self._done: set[tuple[UUID, int]] = set()

    def make(self, count: int) -> None:
        for _ in range(count):
            version = self._chance.choice(list(self._sizes))
            size = self._sizes[version]
            start = self._chance.randrange(0, 180 // size) * size
            if (version, start) in self._done:
                continue
            self._done.add((version, start))
            self._world.compact(self._hot, version, start, start + size - 1)
            if self._chance.random() < 0.7:
                self._world.forget(self._hot, start, start + size - 1)


@pytest.mark.parametrize("seed", seeds(2, 8))
def test_every_row_is_read_once_whichever_versions_have_it(world: World, client: Client, seed: int) -> None:
    chance = random.Random(seed)
    hot, cold = world.federated()
    versions = [cold, world.retained(cold), world.retained(cold)]
    world.follow(hot, 0, 199)
    moves = Moves(world, hot, versions, chance)
    pinned: list[dict[str, object]] = []
    for count in (2, 3, 4):
        moves.make(count)
        world.activate(chance.choice(versions))
        for name in ("blocks", "hot_blocks"):
            assert client.rows(ALL.format(name=name)) == blocks(0, 199)
        low, high = sorted(chance.sample(range(200), 2))
        where = f"(FROM blocks WHERE block_number BETWEEN {low} AND {high})"
        answer = client.post(ALL.format(name=where)).json()
        assert answer["rows"] == blocks(low, high)
        pinned.append({"sql": ALL.format(name=where), "rows": answer["rows"], "as_of": answer["as_of"]})
        for before in pinned:  # on the files of that time, and where the rest is now
            again = client.post(str(before["sql"]), as_of=before["as_of"]).json()
            assert again["rows"] == before["rows"]


def test_the_active_version_answers_and_a_retained_one_for_what_it_lacks(world: World, client: Client) -> None:
    hot, first = world.federated()
    second = world.retained(first)
    third = world.retained(first)
    world.follow(hot, 0, 99)
    world.compact(hot, first, 0, 29, _marked(0, 29, "first"))
    world.compact(hot, second, 20, 69, _marked(20, 69, "second"))
    world.compact(hot, third, 40, 59, _marked(40, 59, "third"))
    world.forget(hot, 0, 69)
    sql = "SELECT note, count(*), min(block_number), max(block_number) FROM blocks GROUP BY note ORDER BY 3"
    told = {
        first: [["first", 30, 0, 29], ["second", 20, 30, 69], ["third", 20, 40, 59]],
        second: [["first", 20, 0, 19], ["second", 50, 20, 69]],
        third: [["first", 20, 0, 19], ["second", 30, 20, 69], ["third", 20, 40, 59]],
    }
    for version, expected in told.items():
        world.activate(version)
        rows = [row for row in client.rows(sql) if row[0] in ("first", "second", "third")]
        assert rows == expected
        assert client.rows("SELECT count(*), count(DISTINCT block_number) FROM blocks") == [[100, 100]]


def _marked(low: int, high: int, note: str) -> bytes:
    """A cold file of our blocks that says whose it is."""
    table = pq.read_table(io.BytesIO(parquet(low, high)))
    place = table.schema.get_field_index("note")
    table = table.set_column(place, "note", pa.array([note] * table.num_rows, pa.string()))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def test_files_of_a_version_that_nothing_is_read_from_are_not_looked_up(world: World, client: Client) -> None:
    hot, cold = world.federated()
    before = world.retained(cold)
    world.follow(hot, 0, 99)
    world.compact(hot, before, 0, 49)
    world.compact(hot, cold, 0, 49)
    # Files that cannot be read: no query of the active version need know of them.
    world.state.execute(
        "UPDATE partition_versions SET location = 's3://elsewhere/' WHERE dataset_version_id = %s", (before,)
    )
    assert client.rows("SELECT count(*) FROM blocks") == [[100]]
    world.activate(before)
    assert client.refused("SELECT count(*) FROM blocks") == (500, "DataCorrupt")
