"""`as_of`: an answer computed again on exactly what it was computed on, or 410 with the reason."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.integration.query.conftest import Client
from tests.integration.query.world import World

pytestmark = pytest.mark.services

SQL = "SELECT count(*), sum(block_number), min(hash), max(value) FROM blocks"


@pytest.fixture
def both(world: World) -> tuple[UUID, UUID]:
    """A federated relation: blocks 0 to 49 cold, 50 to 99 hot."""
    hot, cold = world.federated()
    world.follow(hot, 0, 99)
    world.compact(hot, cold, 0, 49)
    world.forget(hot, 0, 49)
    return hot, cold


def asked(client: Client, sql: str = SQL, **body: Any) -> tuple[list[Any], str]:
    """Rows and token of an answer."""
    said = client.post(sql, **body)
    assert said.status_code == 200, said.text
    return said.json()["rows"], said.json()["as_of"]


def test_later_rows_and_relocations_change_nothing(world: World, client: Client, both: tuple[UUID, UUID]) -> None:
    hot, cold = both
    rows, token = asked(client)
    assert rows[0][0] == 100
    world.follow(hot, 100, 199)
    assert asked(client, as_of=token) == (rows, token)
    world.compact(hot, cold, 50, 149)
    assert asked(client, as_of=token) == (rows, token)
    world.forget(hot, 50, 149)
    assert asked(client, as_of=token) == (rows, token)
    assert asked(client)[0][0][0] == 200
    assert asked(client, "SELECT max(block_number) FROM blocks", as_of=token)[0] == [[99]]


def test_an_empty_table_stays_empty(world: World, client: Client) -> None:
    hot, _cold = world.federated()
    rows, token = asked(client)
    assert rows[0][0] == 0
    world.follow(hot, 0, 9)
    assert asked(client, as_of=token)[0] == rows


def test_files_are_read_after_they_were_replaced(world: World, client: Client, both: tuple[UUID, UUID]) -> None:
    rows, token = asked(client)
    cold_rows, cold_token = asked(client, "SELECT count(*) FROM cold_blocks")
    world.recompute(both[1], 0, 49)
    assert asked(client)[0][0][0] == 99
    assert asked(client, as_of=token)[0] == rows
    assert asked(client, "SELECT count(*) FROM cold_blocks", as_of=cold_token)[0] == cold_rows == [[50]]


def test_a_commit_in_progress_is_not_part_of_the_answer(
    world: World, client: Client, both: tuple[UUID, UUID]
) -> None:
    """It began before the query and ended after it: no clock could tell it from one that ended before."""
    location, files, size = world.write_cold(both[1], 200, 249)
    with world.state.transaction():
        world.commit_partition(both[1], 200, 249, location, files, size)
        rows, token = asked(client, "SELECT count(*) FROM cold_blocks")
    assert asked(client, "SELECT count(*) FROM cold_blocks")[0] == [[100]]
    assert asked(client, "SELECT count(*) FROM cold_blocks", as_of=token)[0] == rows == [[50]]


@pytest.mark.parametrize("outbox", ["relayed", "not relayed"])
def test_rewritten_hot_rows_are_refused_with_the_reason(
    world: World, client: Client, both: tuple[UUID, UUID], outbox: str
) -> None:
    hot, _cold = both
    invalidate = world.invalidate if outbox == "relayed" else world.rewrite
    _rows, token = asked(client)
    world.follow(hot, 100, 199)
    invalidate(hot, 100, 120)  # came later than the token
    invalidate(hot, 10, 20)  # was cold already
    assert client.post(SQL, as_of=token).status_code == 200
    invalidate(hot, 99, 120)
    said = client.post(SQL, as_of=token)
    assert (said.status_code, said.json()["code"]) == (410, "SnapshotGone")
    assert "rows 99 to 120 of default/blocks were invalidated since" in said.json()["detail"]
    _rows, newer = asked(client)
    if outbox == "relayed":
        assert client.post(SQL, as_of=newer).status_code == 200


def test_purged_files_are_refused_with_the_reason(world: World, client: Client, both: tuple[UUID, UUID]) -> None:
    _rows, token = asked(client)
    world.recompute(both[1], 0, 49)
    world.state.execute("DELETE FROM partition_versions WHERE superseded_at IS NOT NULL")
    said = client.post(SQL, as_of=token)
    assert (said.status_code, said.json()["code"]) == (410, "SnapshotGone")
    assert "purged" in said.json()["detail"]


def test_the_version_that_was_read_is_read_after_a_cutover(world: World, client: Client) -> None:
    old = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(old, 0, 9)
    rows, token = asked(client, "SELECT count(*) FROM hot_blocks")
    new = world.next_version(old)
    world.follow(new, 0, 4)
    assert asked(client, "SELECT count(*) FROM hot_blocks")[0] == [[5]]
    assert asked(client, "SELECT count(*) FROM hot_blocks", as_of=token)[0] == rows == [[10]]


def test_the_version_that_was_read_is_read_by_its_own_scope_column(world: World, client: Client) -> None:
    old = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(old, 0, 9)
    world.data.execute(f"UPDATE hot.d_{old.hex} SET value = 1000")  # beyond the head, were that their scope
    sql = "SELECT count(*) FROM hot_blocks WHERE block_number >= 0"
    rows, token = asked(client, sql)
    new = world.next_version(old)
    world.state.execute("UPDATE dataset_versions SET scope_column = 'value' WHERE id = %s", (new,))
    assert asked(client, sql, as_of=token)[0] == rows == [[10]]


def test_a_token_grants_nothing(world: World, client: Client, both: tuple[UUID, UUID]) -> None:
    _rows, token = asked(client)
    other = world.dataset("other", "Postgres", "other-blocks")
    world.follow(other, 0, 4)
    assert client.refused("FROM other_blocks", as_of=token) == (400, "InvalidRequest")
    _rows, foreign = asked(client, "SELECT count(*) FROM other_blocks")
    assert client.refused(SQL, as_of=foreign) == (400, "InvalidRequest")
    world.policy("other-blocks", "Postgres", roles=["analyst"])
    assert client.refused("SELECT count(*) FROM other_blocks", as_of=foreign) == (404, "RelationNotFound")


@pytest.mark.parametrize("swap", ["hot", "cold"])
def test_a_forged_token_reaches_no_other_dataset(
    world: World, client: Client, both: tuple[UUID, UUID], swap: str
) -> None:
    from msgspec.structs import replace

    from traceplane.query.relations import pins

    secret_hot = world.dataset("secret", "Postgres", "secret-blocks")
    world.follow(secret_hot, 0, 9)
    secret_cold = world.dataset("vault", "S3", "vault-blocks")
    world.commit_partition(secret_cold, 0, 9, *world.write_cold(secret_cold, 0, 9))
    row = world.state.execute(
        "SELECT id FROM partition_versions WHERE dataset_version_id = %s", (secret_cold,)
    ).fetchone()
    pin = pins.decode(asked(client)[1])
    (mine,) = pin.relations
    forged = (
        replace(mine, hot=secret_hot)
        if swap == "hot"
        else replace(mine, cold=[pins.Cold(secret_cold, pins.digest([row[0]]), [(0, 9)])])
    )
    token = pins.encode(replace(pin, relations=[forged]))
    assert client.refused("FROM blocks", as_of=token) == (410, "SnapshotGone")


@pytest.mark.parametrize("token", ["", "x", "AAAA", "lA", "%", "é", "A" * 9000])
def test_a_token_that_no_answer_gave_is_refused(client: Client, token: str) -> None:
    assert client.refused("SELECT 1", as_of=token) == (400, "InvalidRequest")
