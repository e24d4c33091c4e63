"""A follower's tables are the chain, for one of every profile: what its node answers, in real Postgres."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.integration.operators import chain_truth
from tests.integration.operators.fake_truth import FakeTruth
from tests.integration.operators.following import OUTPUTS, Following, follow
from tests.services import Chain, Databases
from tests.support.chains import CHAINS, Shape, filecoin
from tests.support.fake_chain import FakeChain, ethereum
from tests.support.fake_node import FakeNode, Manners, Refusal, fake_node
from traceplane_sdk import hot

pytestmark = pytest.mark.services

BLOCKS = 9
NULL_ROUND = Refusal(code=12, message="requested epoch was a null round (4)")


def follow_shape(databases: Databases, shape: Shape, node: FakeNode, **config: Any) -> Following:
    chain = {"chain": dict(shape.config)} if shape.config else {}
    return follow(databases, [node.url], chainId=shape.chain_id, **chain, **config)


def truth(shape: Shape, chain: FakeChain, output: str) -> list[dict[str, Any]]:
    """The rows that the chain says, by other code than the follower's; what a profile changes in them is here."""
    rows = chain_truth.TABLES[output](cast(Chain, FakeTruth(chain)), 0, chain.head)
    if output == "logs" and shape.profile == "Custom":
        for position, row in enumerate(rows):
            own = row["log_index"]
            row["log_index"] = sum(one["block_number"] == row["block_number"] for one in rows[:position])
            row["extra"] = {"logIndex": hex(own)} if own != row["log_index"] else None
    if output == "blocks" and shape.profile == "Celo":
        for row in rows:
            receipts = chain.heights[row["block_number"]].receipts
            if receipts[-1]["transactionHash"] == row["block_hash"]:
                kept = {name: value for name, value in receipts[-1].items() if name != "logs"}
                row["extra"] = (row["extra"] or {}) | {"blockReceipt": kept}
    return rows


def equals(following: Following, shape: Shape, chain: FakeChain) -> None:
    for output in OUTPUTS:
        assert following.rows(output) == truth(shape, chain, output), output


def empty(following: Following) -> dict[str, list[tuple[int, int]]]:
    """What each output has recorded as empty."""
    import psycopg

    with psycopg.connect(following.databases.data_dsn) as connection:
        return {
            dataset.name: hot.empty_ranges(connection, dataset.version, 0, 10**6)
            for dataset in following.job.outputs
        }


@pytest.mark.parametrize("name", CHAINS)
def test_every_field_of_every_row_is_the_chains(databases: Databases, name: str) -> None:
    shape = CHAINS[name]
    chain = shape.chain(BLOCKS)
    with fake_node(chain, shape.manners) as node:
        following = follow_shape(databases, shape, node)
        run = following.run()
        assert run.logged("following a chain")["profile"] == shape.profile if shape.profile != "Custom" else True
        run.reaches(chain.head)
        run.stop()
        equals(following, shape, chain)
        run = following.run()  # a restart goes on where it was, and writes nothing again
        chain.extend(shape.build(BLOCKS + 3)[BLOCKS:])
        run.reaches(chain.head)
        run.stop()
    equals(following, shape, chain)
    assert following.outbox("Invalidation") == []


FILECOIN = CHAINS["Filecoin"]
EMPTY = [(1, 1), (4, 5)]


@pytest.mark.parametrize("no_block", [None, NULL_ROUND], ids=["null", "an error"])
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_null_rounds_are_recorded_as_empty(databases: Databases, no_block: Refusal | None, batch: int) -> None:
    chain = FILECOIN.chain(BLOCKS)
    with fake_node(chain, Manners(no_block=no_block)) as node:
        following = follow_shape(databases, FILECOIN, node, batchBlocks=batch)
        run = following.run()
        run.reaches(chain.head)
        run.stop()
    equals(following, FILECOIN, chain)
    assert empty(following) == dict.fromkeys(OUTPUTS, EMPTY)


def test_a_gap_between_blocks_is_filled_and_one_that_is_recorded_as_empty_is_none(databases: Databases) -> None:
    import psycopg

    chain = FILECOIN.chain(BLOCKS)
    with fake_node(chain) as node:
        following = follow_shape(databases, FILECOIN, node, batchBlocks=2)
        run = following.run()
        run.reaches(chain.head)
        run.stop()
        run = following.run()
        run.wait("a look at the head", lambda seen: "source_head_block" in seen.measures)
        run.stop()
        assert following.outbox("Invalidation") == []
        with psycopg.connect(databases.data_dsn) as connection:
            for dataset in following.job.outputs:
                connection.execute(f"delete from {dataset.location} where block_number between 2 and 7")
                connection.execute(
                    "delete from trace.empty_ranges where dataset_version_id = %s and low > 1", (dataset.version,)
                )
        run = following.run()
        run.wait(
            "the gap's invalidations", lambda _: {one["end"] for one in following.outbox("Invalidation")} >= {7}
        )
        run.stop()
    equals(following, FILECOIN, chain)
    assert empty(following) == dict.fromkeys(OUTPUTS, EMPTY)


def test_heights_at_the_head_are_held_back_until_the_next_block_proves_them_empty(databases: Databases) -> None:
    chain = FILECOIN.chain(BLOCKS)
    head = chain.head
    with fake_node(chain) as node, fake_node(chain, Manners(lag=2)) as lagging:
        following = follow(databases, [lagging.url, node.url], chainId=314, batchBlocks=3)
        run = following.run()
        run.reaches(head)
        parent = chain.heights[head].block["hash"]
        chain.extend(filecoin.epochs(head + 1, head + 6, {head + 1, head + 2, head + 4}, parent))
        run.reaches(head + 5)
        run.stop()
    equals(following, FILECOIN, chain)
    assert empty(following)["blocks"] == [*EMPTY, (head + 1, head + 2), (head + 4, head + 4)]


@pytest.mark.parametrize("null", [{9, 10}, {8, 11}, {11}, set()], ids=str)
def test_a_reorg_may_leave_the_tips_height_without_a_block(databases: Databases, null: set[int]) -> None:
    chain = FILECOIN.chain(BLOCKS)
    head = chain.head
    assert head == 11
    with fake_node(chain) as node:
        following = follow_shape(databases, FILECOIN, node, finalityDepthBlocks=8, batchBlocks=2)
        run = following.run()
        run.reaches(head)
        parent = chain.heights[7].block["hash"]
        chain.replace(8, filecoin.epochs(8, head + 4, null, parent, "b"))
        run.logged("reorg applied")
        run.reaches(head + 3)
        run.stop()
    equals(following, FILECOIN, chain)
    expected = sorted(number for low, high in EMPTY for number in range(low, high + 1)) + sorted(null)
    assert [n for low, high in empty(following)["logs"] for n in range(low, high + 1)] == expected


def test_a_start_block_without_a_block_is_proven_by_the_parent_below_it(databases: Databases) -> None:
    chain = FILECOIN.chain(BLOCKS)
    with fake_node(chain) as node:
        following = follow_shape(databases, FILECOIN, node, startBlock=4)
        run = following.run()
        run.reaches(chain.head)
        run.stop()
    assert empty(following)["blocks"] == [(4, 5)]
    assert [row["block_number"] for row in following.rows("blocks")] == [6, 7, 8, 9, 10, 11]


def test_events_say_what_the_chains_tag_says_is_final(databases: Databases) -> None:
    shape = CHAINS["Ethereum"]
    chain = shape.chain(BLOCKS)
    chain.tags["finalized"] = 4
    with fake_node(chain) as node:
        following = follow_shape(databases, shape, node, finality="Finalized")
        run = following.run()
        run.reaches(chain.head)
        chain.tags["finalized"] = 2  # of a node that lags: what was final stays final
        top = chain.heights[chain.head].block["hash"]
        chain.extend(ethereum(2, start=chain.head + 1, parent=top))
        run.reaches(chain.head)
        run.stop()
    events = [one for one in following.outbox("Event") if one["output"] == "blocks"]
    assert [one["final"] for one in events] == [min(4, one["cursor"]) for one in events]
    assert events[-1]["cursor"] == chain.head


def test_a_chain_without_the_tag_is_refused_before_the_first_row(databases: Databases) -> None:
    shape = CHAINS["Ethereum"]
    with fake_node(shape.chain(BLOCKS)) as node:
        following = follow_shape(databases, shape, node, finality="Safe")
        completion = following.run().finish()
    assert completion is not None
    assert completion.error is not None
    assert completion.error.code == "NoFinalityTag"
    assert "finality: Depth" in completion.error.message
    assert following.rows("blocks") == []
