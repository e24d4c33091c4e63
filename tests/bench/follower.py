"""Blocks per second of the follower against a bare loop of the same JSON-RPC calls, and against cryo.

    python -m tests.bench.follower [--blocks 1200] [--per-block 8] [--rounds 3]

The bare loop sends exactly the HTTP requests the follower sends (same batches, same number in flight), decodes the
JSON and drops it; aim: at least 0.85 of it. The clocks of both begin before they make an HTTP client, which alone
takes 30 ms. cryo (https://github.com/paradigmxyz/cryo) fetches the same range of blocks, transactions with gas
used, and logs into Parquet; aim: as fast, into Postgres. It asks the node for the same blocks and receipts and for
the logs besides, each by a request of its own. All run against the same node and machine, in turn, several rounds;
the ratios of the medians are the figures. The node, Postgres and the follower share the machine's cores, so where
other work takes them, the processor time that a block costs in our own process says more than the seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from hack.chain import token
from operators.chain.calls import block_call
from operators.chain.provider import Call, Provider
from tests import services
from tests.integration.operators.following import OUTPUTS, Following, follow
from tests.services import Chain

_CRYO = """
import os, sys, time
import cryo
url, head, folder = sys.argv[1:]
started = time.perf_counter()
cryo.freeze(["blocks", "transactions", "logs"], blocks=[f"0:{int(head) + 1}"], rpc=url, output_dir=folder,
            columns=["all"], no_report=True, no_verbose=True)
print(time.perf_counter() - started, flush=True)
os._exit(0)  # its threads now and then abort an interpreter that ends
"""
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
    started = time.perf_counter()
    with httpx.Client(timeout=60, limits=httpx.Limits(max_connections=CONCURRENCY)) as http:
        provider = Provider("node", chain.url, http, 2**28)
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


def with_cryo(chain: Chain, head: int) -> float:
    """Seconds that cryo takes for the range, in a process of its own, without the time to start it."""
    with TemporaryDirectory() as folder:
        finished = subprocess.run(
            [sys.executable, "-c", _CRYO, chain.url, str(head), folder],
            capture_output=True, text=True, check=True, timeout=600,
        )  # fmt: skip
        files = {path.name.split("__")[1] for path in Path(folder).glob("*.parquet")}
    if files != set(OUTPUTS):
        raise RuntimeError(f"cryo wrote {sorted(files)}")
    return float(finished.stdout.splitlines()[-1])


def followed(following: Following, head: int) -> float:
    """Seconds until the follower has stored the head."""
    started = time.perf_counter()
    run = following.run()
    run.reaches(head)
    seconds = time.perf_counter() - started
    run.stop()
    return seconds


def main() -> None:
    """Print the measures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=1200)
    parser.add_argument("--per-block", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    bares, follows, cryos = [], [], []
    spent: dict[str, list[float]] = {"bare": [], "ours": []}
    with services.postgres() as postgres, services.chain() as chain:
        head = fill(chain, options.blocks, options.per_block)
        for _ in range(options.rounds):
            began = time.process_time()
            bares.append(bare(chain, head))
            spent["bare"].append(time.process_time() - began)
            cryos.append(with_cryo(chain, head))
            databases = postgres.databases()
            config = {"batchBlocks": BATCH_BLOCKS, "batchCalls": BATCH_CALLS, "concurrency": CONCURRENCY}
            following = follow(databases, [chain.url], **config)
            began = time.process_time()
            follows.append(followed(following, head))
            spent["ours"].append(time.process_time() - began)
            postgres.drop(databases)
    ours, raw, by_cryo = ((head + 1) / statistics.median(seconds) for seconds in (follows, bares, cryos))
    what = f"following {head + 1} blocks of {options.per_block} transactions"
    note = "bare: the same HTTP requests, as many in flight, answers decoded and dropped"
    say(f"{what}, bare loop", ours, raw, 0.85, note)
    say(f"{what}, cryo", ours, by_cryo, 1.0, "bare: cryo 0.3 into Parquet; ours into Postgres, checked")
    mine, loops = (1e6 * statistics.median(spent[whose]) / (head + 1) for whose in ("ours", "bare"))
    note = "bare: the loop, HTTP and JSON alone; neither the node nor Postgres; less is good"
    say(f"processor time of a block of {options.per_block} transactions", mine, loops, None, note, "us")


def say(measure: str, ours: float, raw: float, aim: float | None, note: str, unit: str = "blocks/s") -> None:
    """Print one measure as a JSON line."""
    rates = {"ratio": round(ours / raw, 2), "aim": aim, "ours": round(ours), "raw": round(raw), "unit": unit}
    print(json.dumps({"bench": "follower", "measure": measure, **rates, "note": note}))


if __name__ == "__main__":
    main()
