"""A follower's tables are the chain: every field of every row, whatever it went through."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest

from tests.integration.operators.following import Activity, follow, reorg_transactions
from tests.integration.operators.rewriting_proxy import proxy_of
from tests.services import Chain, Databases

pytestmark = pytest.mark.services


def test_every_field_of_every_row_is_the_chains(databases: Databases, chain: Chain) -> None:
    activity = Activity(chain)
    head = activity.blocks(9)
    following = follow(databases, [chain.url])
    run = following.run()
    run.reaches(head)
    head = activity.blocks(3, seed=50)
    run.reaches(head)
    assert run.stop().status == "Released"
    following.equals(chain)
    kinds = {row["type"] for row in following.rows("transactions")}
    assert {0, 1, 2} <= kinds
    assert {row["status"] for row in following.rows("transactions")} == {0, 1}


def test_events_move_the_cursor_once_over_every_block(databases: Databases, chain: Chain) -> None:
    head = Activity(chain).blocks(10)
    following = follow(databases, [chain.url], batchBlocks=3)
    run = following.run()
    run.reaches(head)
    run.stop()
    for output in ("blocks", "transactions", "logs"):
        cursors = [event["cursor"] for event in following.outbox("Event") if event["output"] == output]
        assert cursors[-1] == head
        assert all(low < high for low, high in pairwise(cursors))


def test_a_threshold_holds_events_back_until_it_is_passed(databases: Databases, chain: Chain) -> None:
    chain.mine(25)
    following = follow(
        databases, [chain.url], batchBlocks=4, emitStrategy="Threshold", emitThresholdBlocks=10, outputs=("blocks",)
    )
    run = following.run()
    run.reaches(25)
    run.stop()
    assert [event["cursor"] for event in following.outbox("Event")] == [11, 19]


def test_it_starts_at_start_block_and_goes_on_from_what_the_table_holds(databases: Databases, chain: Chain) -> None:
    activity = Activity(chain)
    head = activity.blocks(6)
    following = follow(databases, [chain.url], startBlock=3)
    run = following.run()
    run.reaches(head)
    run.stop()
    head = activity.blocks(4, seed=20)
    run = following.run()
    run.reaches(head)
    run.stop()
    following.equals(chain, start=3)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 6])
def test_a_reorg_while_running_is_rewritten_and_recorded(databases: Databases, chain: Chain, depth: int) -> None:
    activity = Activity(chain)
    head = activity.blocks(8)
    with proxy_of(chain.url) as between:
        following = follow(databases, [between.url], finalityDepthBlocks=6)
        run = following.run()
        run.reaches(head)
        old = {row["block_number"]: row for row in following.rows("blocks")}
        with between.gate:  # the node makes the new blocks one by one: a look between them is another reorg
            chain.reorg(depth, reorg_transactions(activity, depth))
        run.logged("reorg applied")
        run.stop()
    following.equals(chain)
    new = {row["block_number"]: row for row in following.rows("blocks")}
    rewritten = range(head - depth + 1, head + 1)
    assert all(old[number]["block_hash"] != new[number]["block_hash"] for number in rewritten)
    found = {one["output"]: one for one in following.outbox("Invalidation")}
    times = [rows[number]["block_timestamp"] for number in rewritten for rows in (old, new)]
    for output in ("blocks", "transactions", "logs"):
        assert (found[output]["start"], found[output]["end"]) == (rewritten.start, head)
        assert datetime.fromisoformat(found[output]["time_start"]) == min(times)
        assert datetime.fromisoformat(found[output]["time_end"]) == max(times)


@pytest.mark.parametrize("depth", [1, 5])
def test_a_reorg_while_down_is_rewritten_at_the_start(databases: Databases, chain: Chain, depth: int) -> None:
    activity = Activity(chain)
    head = activity.blocks(8)
    following = follow(databases, [chain.url], finalityDepthBlocks=6)
    run = following.run()
    run.reaches(head)
    run.stop()
    chain.reorg(depth, reorg_transactions(activity, depth))
    head = activity.blocks(3, seed=70)
    run = following.run()
    run.reaches(head)
    run.stop()
    following.equals(chain)
    assert {(one["start"], one["end"]) for one in following.outbox("Invalidation")} == {
        (head - 2 - depth, head - 3)
    }


def test_a_chain_that_became_shorter_leaves_nothing_behind(databases: Databases, chain: Chain) -> None:
    head = Activity(chain).blocks(8)
    following = follow(databases, [chain.url], finalityDepthBlocks=6)
    run = following.run()
    run.reaches(head)
    run.stop()
    chain.rpc("anvil_rollback", 4)
    chain.mine(1, 77)
    run = following.run()
    run.logged("reorg applied")
    run.stop()
    following.equals(chain)
    assert {(one["start"], one["end"]) for one in following.outbox("Invalidation")} == {(head - 3, head)}


def test_a_reorg_below_finality_stops_with_an_error_and_writes_nothing(databases: Databases, chain: Chain) -> None:
    activity = Activity(chain)
    head = activity.blocks(9)
    following = follow(databases, [chain.url], finalityDepthBlocks=3)
    run = following.run()
    run.reaches(head)
    before = {output: following.rows(output) for output in ("blocks", "transactions", "logs")}
    chain.reorg(4, reorg_transactions(activity, 4))
    completion = run.finish()
    assert completion is not None
    assert completion.status == "Failed"
    assert completion.error is not None
    assert completion.error.code == "ReorgBelowFinality"
    assert completion.error.retryable is False
    assert {output: following.rows(output) for output in before} == before
    assert following.outbox("Invalidation") == []


def test_a_gap_is_filled_and_recorded(databases: Databases, chain: Chain) -> None:
    import psycopg

    head = Activity(chain).blocks(9)
    following = follow(databases, [chain.url])
    run = following.run()
    run.reaches(head)
    run.stop()
    with psycopg.connect(databases.data_dsn) as connection:
        for dataset in following.job.outputs:
            connection.execute(f"delete from {dataset.location} where block_number between 3 and 5")
    run = following.run()
    run.logged("filling a gap")
    run.wait("the gap's invalidations", lambda _: len(following.outbox("Invalidation")) == 3)
    run.stop()
    following.equals(chain)
    assert {(one["start"], one["end"], one["reason"]) for one in following.outbox("Invalidation")} == {
        (3, 5, "GapFilled")
    }
