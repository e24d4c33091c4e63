"""Shared parts of the follower's tests: a job with its tables, activity on a chain, and what was stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import dict_row

from hack.chain import token
from tests.integration.operators import chain_truth
from tests.integration.operators.workbench import JobUnderTest, Run
from tests.services import CHAIN_ID, Chain, Databases
from traceplane_sdk import wire

OUTPUTS = ("blocks", "transactions", "logs")
ORDER = {
    "blocks": "block_number",
    "transactions": "block_number, transaction_index",
    "logs": "block_number, log_index",
}


@dataclass
class Following:
    """A follower's job on fresh tables."""

    job: JobUnderTest
    databases: Databases
    urls: list[str]
    epoch: int = 0

    def claim(self, epoch: int | None = None) -> wire.ClaimedTask:
        """The next lease, or a given one."""
        self.epoch = epoch if epoch is not None else self.epoch + 1
        return self.job.claim(self.epoch, {"kind": "source"})

    def io(self, **more: Any) -> dict[str, Any]:
        """What a run is lent: the worker's database login, not the owner's."""
        return {"data_dsn": lambda: self.databases.writer_dsn, "rpc_urls": lambda _pool: list(self.urls), **more}

    def run(self, epoch: int | None = None, **more: Any) -> Run:
        """Start following."""
        return Run(self.claim(epoch), **self.io(**more))

    def rows(self, output: str) -> list[dict[str, Any]]:
        """All stored rows, in the table's natural order."""
        table = self.job.dataset(output).location
        with psycopg.connect(self.databases.data_dsn, row_factory=dict_row) as connection:
            rows = connection.execute(f"select * from {table} order by {ORDER[output]}").fetchall()
        return [
            {name: int(value) if isinstance(value, Decimal) else value for name, value in row.items()}
            for row in rows
        ]

    def outbox(self, kind: str) -> list[dict[str, Any]]:
        """Payloads of one kind in the source outbox, in order."""
        with psycopg.connect(self.databases.data_dsn) as connection:
            found = connection.execute(
                "select payload from trace.source_outbox where kind = %s order by seq", (kind,)
            ).fetchall()
        return [row[0] for row in found]

    def equals(self, chain: Chain, start: int = 0, outputs: Sequence[str] = OUTPUTS) -> None:
        """Assert that every field of every stored row is what the chain says, no row missing, none more."""
        head = chain.head
        for output in outputs:
            assert self.rows(output) == chain_truth.TABLES[output](chain, start, head), output


def follow(databases: Databases, urls: Sequence[str], **config: Any) -> Following:
    """A follower's job with its hot tables made."""
    chosen = {"chainId": CHAIN_ID, "rpcPool": "local", "pollSeconds": 0.05, "batchBlocks": 4, **config}
    outputs = chosen.pop("outputs", OUTPUTS)
    job = JobUnderTest.declare("block_follower", chosen, outputs)
    for dataset in job.outputs:
        dataset.provision(databases.data_dsn)
    return Following(job, databases, list(urls))


class Activity:
    """Puts transactions on a chain: ether, tokens, contract creation, every type an unlocked account can send."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.accounts = chain.accounts()
        deployed = self.send({"from": self.accounts[0], "data": token.deployment(10**24), "gas": hex(2_000_000)})
        chain.mine()
        self.token = chain.rpc("eth_getTransactionReceipt", deployed)["contractAddress"]

    def block(self, seed: int, mine: bool = True) -> None:
        """One block's worth of transactions of several kinds."""
        a, b, c = (self.accounts[(seed + k) % 10] for k in range(3))
        self.send({"from": a, "to": b, "value": hex(10**18 + seed), "gas": hex(21_000)})
        self.send({"from": b, "to": c, "value": hex(seed), "gas": hex(21_000), "gasPrice": hex(3 * 10**9)})
        access = [{"address": self.token, "storageKeys": ["0x" + "00" * 31 + "01"]}]
        call = {"from": self.accounts[0], "to": self.token, "gas": hex(200_000)}
        self.send(
            {
                **call,
                "data": token.approve(c, seed),
                "accessList": access,
                "gasPrice": hex(3 * 10**9),
                "type": "0x1",
            }
        )
        self.send({**call, "data": token.transfer(b, 10**9 + seed)})
        self.send({**call, "from": c, "data": token.transfer(a, 10**40)})  # reverts: status 0, no log
        if mine:
            self.chain.mine()

    def blocks(self, count: int, seed: int = 0) -> int:
        """Several such blocks; returns the head."""
        for index in range(count):
            self.block(seed + index)
        return self.chain.head

    def send(self, transaction: dict[str, Any]) -> str:
        return str(self.chain.rpc("eth_sendTransaction", transaction))


def reorg_transactions(activity: Activity, depth: int) -> list[tuple[dict[str, Any], int]]:
    """Transactions for the replacement blocks of a reorg."""
    a, b = activity.accounts[7], activity.accounts[8]
    return [({"from": a, "to": b, "value": hex(777 + k), "gas": hex(21_000)}, k) for k in range(0, depth, 2)]
