"""Blocks per second of the follower against a bare loop of the same JSON-RPC calls. Aim: at least 0.7.

    python -m tests.bench.follower [--blocks 600] [--per-block 8] [--rounds 3]

The bare loop sends exactly the HTTP requests the follower sends (same batches, same number in flight), decodes the
JSON and drops it. Both run against the same node and machine, in turn, several rounds; the ratio of the medians is
the figure. The node, Postgres and the follower share the machine's cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx

from hack.chain import token
from operators.chain.calls import block_call
from operators.chain.provider import Call, Provider
from tests import services
from tests.integration.operators.following import Following, follow
from tests.services import Chain

BATCH_BLOCKS, BATCH_CALLS, CONCURRENCY = 32, 64, 4


def fill(chain: Chain, blocks: int, per_block: int) -> int:
    """Mine `blocks` blocks with `per_block` transactions each, half of them token transfers; returns the head."""
    accounts = chain.accounts()
    deployed = chain.rpc("eth_sendTransaction", {"from": accounts[0], "data": token.deployment(10**30)})
    chain.mine()
    contract = chain.rpc("eth_getTransactionReceipt", deployed)["contractAddress"]
    with httpx.Client(timeout=60) as http:
        provider = Provider("node", chain.url, http, 2**28)
        for block in range(blocks):
            calls: list[Call] = []
            for index in range(per_block):
                to = accounts[1 + (block + index) % 9]
                sent: dict[str, Any] = {"from": accounts[0], "to": to, "value": hex(block + 1), "gas": hex(21_000)}
                if index % 2:
                    sent = {"from": accounts[0], "to": contract, "data": token.transfer(to, 1), "gas": hex(100_000)}
                calls.append(("eth_sendTransaction", [sent]))
            provider.batch([*calls, ("anvil_mine", [])])
    return chain.head


def bare(chain: Chain, head: int) -> float:
    """Seconds of the bare loop."""
    with httpx.Client(timeout=60, limits=httpx.Limits(max_connections=CONCURRENCY)) as http:
        provider = Provider("node", chain.url, http, 2**28)
        started = time.perf_counter()
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            ahead: deque[Future[list[Any]]] = deque()
            for low in range(0, head + 1, BATCH_BLOCKS):
                calls: list[Call] = []
                for number in range(low, min(low + BATCH_BLOCKS, head + 1)):
                    calls += [block_call(number), ("eth_getBlockReceipts", [hex(number)])]
                ahead.append(pool.submit(provider.batch, calls))
                if len(ahead) >= CONCURRENCY:
                    ahead.popleft().result()
            for future in ahead:
                future.result()
        return time.perf_counter() - started


def followed(following: Following, head: int) -> float:
    """Seconds until the follower has stored the head."""
    started = time.perf_counter()
    run = following.run()
    run.reaches(head)
    seconds = time.perf_counter() - started
    run.stop()
    return seconds


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=600)
    parser.add_argument("--per-block", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    bares, follows = [], []
    with services.postgres() as postgres, services.chain() as chain:
        head = fill(chain, options.blocks, options.per_block)
        for _ in range(options.rounds):
            bares.append(bare(chain, head))
            databases = postgres.databases()
            config = {"batchBlocks": BATCH_BLOCKS, "batchCalls": BATCH_CALLS, "concurrency": CONCURRENCY}
            follows.append(followed(follow(databases, [chain.url], **config), head))
            postgres.drop(databases)
    bare_rate, follow_rate = ((head + 1) / statistics.median(seconds) for seconds in (bares, follows))
    figures = {
        "bench": "follower",
        "measure": f"following {head + 1} blocks of {options.per_block} transactions",
        "ratio": round(follow_rate / bare_rate, 2),
        "aim": 0.7,
        "ours": round(follow_rate),
        "raw": round(bare_rate),
        "unit": "blocks/s",
        "note": "bare: the same HTTP requests, as many in flight, answers decoded and dropped",
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
