"""From a block that the node has to its row in SQL, by subscription and by polling.

    python -m tests.bench.heads [--blocks 60]

Blocks are mined at random times; the clock starts when the node says that it has the block, and ends when a query
on a connection of its own returns its row. The follower polls every second, the default, in both runs.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence

import psycopg

from tests import services
from tests.integration.operators.following import follow
from tests.services import Chain, Databases

POLL_SECONDS = 1.0
PAUSE_SECONDS = 1.5
"""Longest time between two blocks; the shortest is none."""


def delays(chain: Chain, databases: Databases, urls: Sequence[str], blocks: int) -> list[float]:
    """Seconds of each of `blocks` blocks with one transaction."""
    following = follow(databases, urls, pollSeconds=POLL_SECONDS)
    statement = f"select 1 from {following.job.dataset('blocks').location} where block_number = %s"
    run = following.run()
    run.reaches(chain.head)
    found = []
    with psycopg.connect(databases.data_dsn, autocommit=True) as connection:
        for _ in range(blocks):
            time.sleep(random.uniform(0, PAUSE_SECONDS))
            chain.transfer()
            head = chain.mine()
            started = time.perf_counter()
            while connection.execute(statement, (head,)).fetchone() is None:
                time.sleep(0.001)
            found.append(time.perf_counter() - started)
    run.stop()
    return found


def main() -> None:
    """Print the measures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=60)
    options = parser.parse_args()
    taken = {}
    with services.postgres() as postgres, services.chain() as chain:
        chain.mine()
        for name, urls in (
            ("polled", [chain.url]),
            ("subscribed", [chain.url, chain.url.replace("http", "ws")]),
        ):
            databases = postgres.databases()
            taken[name] = delays(chain, databases, urls, options.blocks)
            postgres.drop(databases)
    for percent in (50, 95):
        subscribed, polled = (
            round(1000 * statistics.quantiles(taken[name], n=100)[percent - 1], 1)
            for name in ("subscribed", "polled")
        )
        measure = {
            "bench": "heads",
            "measure": f"block at the node to row in SQL, p{percent}",
            "ratio": round(polled / subscribed, 2),
            "ours": subscribed,
            "raw": polled,
            "unit": "ms",
            "note": f"eth_subscribe against polling every {POLL_SECONDS:g} s",
        }
        print(json.dumps(measure))


if __name__ == "__main__":
    main()
