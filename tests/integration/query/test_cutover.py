"""Readers through cutovers and rollbacks: each answer is wholly of one version, hot, cold and federated at once."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from tests.integration.query.conftest import Client
from tests.integration.query.rollouts import Rollouts
from tests.integration.query.world import World
from traceplane.versions import rollout

pytestmark = pytest.mark.services

SWAPS = 50
READERS = 3
EVERYTHING = """
SELECT (SELECT count(*) FROM hot_blocks), (SELECT max(block_number) FROM cold_blocks),
       (SELECT count(*) FROM blocks), (SELECT count(DISTINCT block_number) FROM blocks)
"""


def test_every_answer_through_fifty_swaps_is_of_one_version(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 19)
    world.compact(hot, cold, 0, 9)
    old = client.rows(EVERYTHING)
    assert old == [[10 + 10, 9, 20, 20]]

    world.rebuild("follow", "again")
    newer = world.rebuild("compact", "again", generation=51), world.version("follow")
    new_cold, new_hot = newer
    world.follow(new_hot, 0, 39)
    world.compact(new_hot, new_cold, 0, 19)
    assert client.rows(EVERYTHING) == old, "what is staged is not read"
    for version in (new_hot, new_cold):
        world.announce(version, 39)

    answers: Counter[str] = Counter()
    over, failed = threading.Event(), []

    def read() -> None:
        while not over.is_set():
            answer = client.post(EVERYTHING)
            if answer.status_code != 200:
                failed.append(answer.text)
                return
            answers[str(answer.json()["rows"])] += 1

    threads = [threading.Thread(target=read) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        with Rollouts(world) as swaps:
            assert swaps.cut_over()
            new = client.rows(EVERYTHING)
            for _ in range(SWAPS):
                # Without a name it is the one before: the two take turns.
                swaps.run(rollout.roll_back, version=None)
                before = answers.total()
                swaps.until(lambda seen=before: answers.total() > seen or failed)
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert new == [[40, 19, 40, 40]]
    assert not failed
    assert set(answers) == {str(old), str(new)}
    assert min(answers.values()) >= SWAPS // 4
