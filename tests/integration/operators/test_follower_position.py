"""A follower goes on only from rows that it committed itself."""

from __future__ import annotations

import psycopg
import pytest

from tests.integration.operators.following import Following, follow
from tests.services import Chain, Databases

pytestmark = pytest.mark.services


def insert_above(following: Following, number: int) -> None:
    """What a row let in from outside would look like."""
    table = following.job.dataset("blocks").location
    with psycopg.connect(following.databases.data_dsn) as connection:
        connection.execute(f"create temp table copied as select * from {table} limit 1")
        connection.execute("update copied set block_number = %s", (number,))
        connection.execute(f"insert into {table} select * from copied")


def test_rows_above_what_was_committed_stop_the_follower_until_they_are_deleted(
    chain: Chain, databases: Databases
) -> None:
    chain.mine(5)
    following = follow(databases, [chain.url])
    run = following.run()
    run.reaches(chain.head)
    run.stop()
    insert_above(following, 999_999)

    ended = following.run().finish()
    assert ended is not None
    assert ended.error is not None
    assert (ended.error.code, ended.error.retryable) == ("RowsBeyondPosition", False)
    assert "reaches to block 999999" in ended.error.message
    assert f"up to {chain.head} only" in ended.error.message

    with psycopg.connect(databases.data_dsn) as connection:
        connection.execute(f"delete from {following.job.dataset('blocks').location} where block_number = 999999")
    chain.mine(3)
    run = following.run()
    run.reaches(chain.head)
    run.stop()
    following.equals(chain)


def test_rows_of_a_release_that_kept_no_position_are_taken_and_get_one(chain: Chain, databases: Databases) -> None:
    chain.mine(5)
    following = follow(databases, [chain.url])
    run = following.run()
    run.reaches(chain.head)
    run.stop()
    with psycopg.connect(databases.data_dsn) as connection:
        connection.execute("update trace.write_fences set position = null")
    chain.mine(3)
    run = following.run()
    run.reaches(chain.head)
    run.stop()
    following.equals(chain)
    with psycopg.connect(databases.data_dsn) as connection:
        assert set(connection.execute("select position from trace.write_fences").fetchall()) == {(chain.head,)}


def test_a_reorg_to_a_shorter_chain_moves_the_position_back(chain: Chain, databases: Databases) -> None:
    chain.mine(8)
    following = follow(databases, [chain.url], finalityDepthBlocks=64)
    run = following.run()
    run.reaches(chain.head)
    chain.rpc("anvil_rollback", 4)
    chain.transfer()
    chain.mine()
    run.logged("reorg applied")
    run.stop()
    with psycopg.connect(databases.data_dsn) as connection:
        assert set(connection.execute("select position from trace.write_fences").fetchall()) == {(chain.head,)}
    run = following.run()
    chain.mine(2)
    run.reaches(chain.head)
    run.stop()
    following.equals(chain)
