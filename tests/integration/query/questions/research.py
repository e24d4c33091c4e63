"""A chain with what researchers ask about, followed and half compacted by the operators themselves, and queried.

It spans two and a half days that end now, in pairs of blocks: for statements over days, hours, the last 24 hours
and gaps between blocks. The seam between cold and hot lies in the midst, and some rows below it are in both.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from hack.chain import token
from tests import services
from tests.integration.operators.following import OUTPUTS, Activity, Following
from tests.integration.operators.workbench import JobUnderTest, Run, scratch_folder, task_credentials
from tests.integration.query.world import World
from tests.services import CHAIN_ID, Chain
from traceplane_sdk import wire

HOURS = 60
PAIRS = 16
SLOT_SECONDS = 12
SEAM = 17
"""Blocks below it are cold. The hot rows of the first are deleted, those of others are there still."""
DELETED = 8
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
PRODUCERS = ("0x" + "a1" * 20, "0x" + "b2" * 20, "0x" + "c3" * 20)
TOKEN = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
"""The first contract of the first account of a development node."""
ACCOUNT = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"


@contextmanager
def chain() -> Iterator[Chain]:
    """The node, with all blocks mined."""
    start = int(time.time()) - HOURS * 3600
    with services.chain(options=("--timestamp", str(start))) as node:
        activity = Activity(node)
        assert activity.token == TOKEN
        for pair in range(PAIRS):
            for half in range(2):
                node.rpc("anvil_setCoinbase", PRODUCERS[pair * pair % 3])
                _transactions(activity, 2 * pair + half)
                moment = start + (pair + 1) * HOURS * 3600 // (PAIRS + 1) + half * SLOT_SECONDS
                node.rpc("evm_setNextBlockTimestamp", moment)
                node.mine()
        yield node


def _transactions(activity: Activity, seed: int) -> None:
    """What `Activity` sends, and contracts, approvals, transfers between holders and addresses that are new."""
    accounts = activity.accounts
    activity.block(seed, mine=False)
    sender, receiver = accounts[seed % 7], accounts[(3 * seed + 1) % 10]
    gas = hex(200_000)
    if seed % 3 == 0:
        fresh = f"0x{seed + 1:040x}"
        activity.send({"from": sender, "to": fresh, "value": hex(10**17 * (seed + 1)), "gas": hex(21_000)})
        activity.send(
            {"from": accounts[0], "to": activity.token, "data": token.transfer(fresh, 10**20), "gas": gas}
        )
    if seed % 4 == 0:
        activity.send({"from": sender, "data": _nft(sender, receiver, seed), "gas": hex(100_000)})
    if seed % 5 == 1:
        everything = token.approve(receiver, 2**256 - 1)
        activity.send({"from": sender, "to": activity.token, "data": everything, "gas": gas})
    if seed % 8 == 2:
        activity.send({"from": sender, "data": token.deployment(10**18 * seed), "gas": hex(2_000_000)})
    if seed % 6 == 5:  # a contract without code, which calls reach as well
        activity.send({"from": sender, "to": PRODUCERS[0], "data": token.transfer(receiver, 1), "gas": gas})
    if seed > 12:
        moved = token.transfer(accounts[(seed + 5) % 10], 1 + seed)
        activity.send({"from": accounts[(seed + 1) % 10], "to": activity.token, "data": moved, "gas": gas})
    if seed % 4 == 3:
        unknown = {"from": sender, "to": activity.token, "data": "0x095ea7b4", "gas": hex(100_000 + seed)}
        activity.send(unknown)  # reverts: the token has no such method


def _nft(sender: str, receiver: str, number: int) -> str:
    """Init code of a contract that logs the transfer of an NFT and is empty: four topics and no data."""
    topics = (number, int(receiver, 16), int(sender, 16), int(TRANSFER, 16))
    return "0x" + "".join(f"7f{topic:064x}" for topic in topics) + "60006000a400"


def store(world: World, node: Chain, folder: Path) -> None:
    """Publish `blocks`, `transactions` and `logs`, filled by a follower and a compaction of the lower half."""
    hot, cold = {}, {}
    for name in OUTPUTS:
        hot[name], cold[name] = world.publish(
            (f"follow-{name}", "Postgres", f"hot-{name}"), (f"compact-{name}", "S3", f"cold-{name}"), table=name
        )
        federation = {"hot": f"hot-{name}", "cold": f"cold-{name}", "column": "block_number"}
        world.policy(name, "Federated", federation=federation)
    follower = _follower(hot)
    run = Following(follower, world.databases, [node.url]).run()
    run.reaches(node.head)
    run.stop()
    compaction = _compacted(world, follower, folder)
    for output in OUTPUTS:
        world.compact(hot[output], cold[output], 0, SEAM - 1, compaction[output])
        world.forget(hot[output], 0, DELETED - 1)


def _follower(hot: dict[str, UUID]) -> JobUnderTest:
    config = {"chainId": CHAIN_ID, "rpcPool": "local", "pollSeconds": 0.05, "finalityDepthBlocks": 10}
    job = JobUnderTest.declare("block_follower", config, OUTPUTS)
    job.outputs = [replace(one, version=str(hot[one.name])) for one in job.outputs]
    return job


def _compacted(world: World, follower: JobUnderTest, folder: Path) -> dict[str, bytes]:
    """The files of the blocks below the seam, as a compaction writes them."""
    ranges = JobUnderTest.declare(
        "range_aggregator",
        {"cursorColumn": "block_number", "rangeSize": SEAM},
        ("ranges",),
        [(follower.dataset("blocks"), True)],
    )
    inputs = [(ranges.dataset("ranges"), True), *((one, False) for one in follower.outputs)]
    job = JobUnderTest.declare("parquet_compact", {}, OUTPUTS, inputs, bucket=world.bucket)
    partition = wire.Partition(f"0-{SEAM - 1}", 0, SEAM - 1)
    run = Run(
        job.claim(1, {"kind": "partition"}, partition=partition),
        data_dsn=lambda: world.databases.writer_dsn,
        credentials=lambda: task_credentials(world.store),
        scratch=scratch_folder(folder),
    )
    completion = run.finish()
    assert completion is not None
    assert completion.status == "Completed", completion
    return {
        one.name: _object(world, f"{one.location}{one.name}_{partition.start}_{partition.end}.parquet")
        for one in completion.outputs
    }


def _object(world: World, uri: str) -> bytes:
    key = uri.removeprefix(f"s3://{world.bucket}/")
    return bytes(world.store.client().get_object(Bucket=world.bucket, Key=key)["Body"].read())
