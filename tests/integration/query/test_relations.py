"""What relations hold: hot, cold and both as one."""

from __future__ import annotations

import pytest

from tests.integration.query.conftest import Client
from tests.integration.query.world import World, block_hash, value_of

pytestmark = pytest.mark.services


def test_federated_relation_is_cold_files_and_hot_rows(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 2999)
    world.compact(hot, cold, 0, 999)
    world.compact(hot, cold, 1000, 1999)
    world.forget(hot, 0, 999)
    answer = client.post("SELECT block_number, hash, value FROM blocks ORDER BY block_number")
    assert answer.status_code == 200, answer.text
    assert answer.json()["rows"] == [[n, block_hash(n), str(value_of(n))] for n in range(3000)]
    assert answer.json()["columns"][0] == {"name": "block_number", "type": "BIGINT"}
    used = {entry["version"]: entry for entry in answer.json()["versions"]}
    assert used[str(cold)]["files"] == 2
    assert used[str(hot)]["hot_rows"] == 1000
