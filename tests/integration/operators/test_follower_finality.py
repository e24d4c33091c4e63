"""What was final for one run of a follower is final for the next, whatever the providers then say."""

from __future__ import annotations

from typing import cast

import psycopg
import pytest

from tests.integration.operators.fake_truth import FakeTruth
from tests.integration.operators.following import Following, follow
from tests.services import Chain, Databases
from tests.support.fake_chain import FakeChain, ethereum
from tests.support.fake_node import FakeNode, fake_node
from tests.support.waiting import until

pytestmark = pytest.mark.services

FIRST = 24
TAGGED = 15


def committed(following: Following) -> set[int | None]:
    with psycopg.connect(following.databases.data_dsn) as connection:
        rows = connection.execute("select final_value from trace.write_fences").fetchall()
    return {row[0] for row in rows}


def followed(databases: Databases, node: FakeNode, chain: FakeChain, finality: str = "Finalized") -> Following:
    """A follower that has been at the head, and was stopped."""
    following = follow(databases, [node.url], chainId=1, finality=finality, finalityDepthBlocks=8)
    run = following.run()
    run.reaches(chain.head)
    run.stop()
    return following


def left(chain: FakeChain, fork: int, count: int) -> None:
    """`count` other blocks after `fork`, and a tag far below."""
    chain.tags["finalized"] = 2
    chain.replace(fork + 1, ethereum(count, start=fork + 1, parent=chain.heights[fork].block["hash"], branch="b"))


@pytest.mark.parametrize("finality", ["Finalized", "Depth"])
@pytest.mark.parametrize("count", [14, 4], ids=["as long", "shorter"])
def test_a_restart_forgets_nothing_of_what_was_final(databases: Databases, finality: str, count: int) -> None:
    chain = FakeChain(1, ethereum(FIRST))
    chain.tags["finalized"] = TAGGED
    with fake_node(chain) as node:
        following = followed(databases, node, chain, finality)
        assert committed(following) == {TAGGED}, f"{FIRST - 1} - 8 by depth, too"
        before = following.rows("blocks")
        left(chain, TAGGED - 6, count)
        ended = following.run().finish()
        assert ended is not None
        assert ended.error is not None
        assert (ended.error.code, ended.error.retryable) == ("ReorgBelowFinality", False)
        assert following.rows("blocks") == before
        assert committed(following) == {TAGGED}


def test_above_what_was_final_a_restarted_follower_takes_a_reorg(databases: Databases) -> None:
    chain = FakeChain(1, ethereum(FIRST))
    chain.tags["finalized"] = TAGGED
    with fake_node(chain) as node:
        following = followed(databases, node, chain)
        left(chain, TAGGED, FIRST - TAGGED)
        run = following.run()
        run.logged("reorg applied")
        run.reaches(chain.head)
        run.stop()
    following.equals(cast(Chain, FakeTruth(chain)))
    assert committed(following) == {TAGGED}, "although the provider's tag lies lower now"


def test_what_becomes_final_without_a_new_block_is_kept_as_well(databases: Databases) -> None:
    chain = FakeChain(1, ethereum(FIRST))
    chain.tags["finalized"] = 3
    with fake_node(chain) as node:
        following = follow(databases, [node.url], chainId=1, finality="Finalized")
        run = following.run()
        run.reaches(chain.head)
        chain.tags["finalized"] = TAGGED
        until(lambda: committed(following) == {TAGGED})
        run.stop()


def test_a_chain_that_becomes_shorter_again_and_again_does_not_wear_the_depth_away(databases: Databases) -> None:
    """Each time above what is final, with a restart after each."""
    chain = FakeChain(1, ethereum(FIRST))
    with fake_node(chain) as node:
        following = followed(databases, node, chain, "Depth")
        left(chain, TAGGED, 2)
        run = following.run()
        run.logged("reorg applied")
        run.stop()
        left(chain, TAGGED - 1, 2)
        ended = following.run().finish()
    assert ended is not None
    assert ended.error is not None
    assert ended.error.code == "ReorgBelowFinality"
