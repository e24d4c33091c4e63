"""Sends real transactions through the unlocked accounts of a development node, a bounded number per block.

    python -m hack.chain.traffic --rpc http://127.0.0.1:8545 --per-block 5 [--blocks N] [--seed S]

Deploys the ERC-20 of `Token.sol`, then, for every block the node mines, sends ether transfers, token transfers and
now and then an approval; what is sent follows from the seed and the block's number. Waits for the node to come up,
and deploys anew when the node was restarted with an empty chain. Never has more than a few blocks' worth pending.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from typing import Any

from hack.chain import token
from hack.chain.rpc import Node, RpcError

SUPPLY = 10**30
MAX_PENDING_BLOCKS = 4
POLL_SECONDS = 0.2
RETRY_SECONDS = 2.0


class BeganAnewError(Exception):
    """The node has no token any more: it was restarted with an empty chain."""


class Traffic:
    """The generator. `step` handles at most one new block."""

    def __init__(self, node: Node, per_block: int, seed: int) -> None:
        self._node = node
        self._per_block = per_block
        self._seed = seed
        self._accounts: list[str] = []
        self._token = ""
        self._last = -1
        self.sent = 0

    def prepare(self) -> None:
        """Deploy the token and give every account a share of it."""
        self._accounts = [str(account) for account in self._node.call("eth_accounts")]
        if len(self._accounts) < 2:
            raise RpcError("the node has fewer than two unlocked accounts; is it a development node?")
        owner = self._accounts[0]
        deployed = self._node.call("eth_sendTransaction", {"from": owner, "data": token.deployment(SUPPLY)})
        receipt = self._mined(deployed)
        if receipt["status"] != "0x1":
            raise RpcError("the token could not be deployed")
        self._token = str(receipt["contractAddress"])
        share = SUPPLY // (2 * len(self._accounts))
        self._send([self._token_call(owner, token.transfer(to, share)) for to in self._accounts[1:]])
        self._last = int(self._node.call("eth_blockNumber"), 16)
        _say("token deployed", address=self._token, block=self._last)

    def step(self) -> bool:
        """Send one block's transactions if there is a new block. Raises BeganAnewError."""
        number, code, pending = self._node.batch(
            [("eth_blockNumber", ()), ("eth_getCode", (self._token, "latest")), ("txpool_status", ())]
        )
        head = int(number, 16)
        if code == "0x":
            raise BeganAnewError("the token is gone: the chain began anew")
        waiting = int(pending["pending"], 16) + int(pending["queued"], 16)
        if head == self._last or waiting > MAX_PENDING_BLOCKS * self._per_block:
            return False
        self._last = head
        self._send(self._transactions(random.Random(f"{self._seed}/{head}")))
        return True

    def _transactions(self, chance: random.Random) -> list[dict[str, Any]]:
        chosen = []
        for _ in range(self._per_block):
            sender, receiver = chance.sample(self._accounts, 2)
            kind = chance.random()
            if kind < 0.45:
                value = hex(chance.randrange(1, 10**15))
                chosen.append({"from": sender, "to": receiver, "value": value, "gas": hex(21_000)})
            elif kind < 0.95:
                chosen.append(self._token_call(sender, token.transfer(receiver, chance.randrange(1, 10**20))))
            else:
                chosen.append(self._token_call(sender, token.approve(receiver, chance.randrange(10**20))))
        return chosen

    def _token_call(self, sender: str, data: str) -> dict[str, Any]:
        return {"from": sender, "to": self._token, "data": data, "gas": hex(100_000)}

    def _send(self, transactions: list[dict[str, Any]]) -> None:
        self._node.batch([("eth_sendTransaction", (transaction,)) for transaction in transactions])
        self.sent += len(transactions)

    def _mined(self, transaction: str, seconds: float = 120) -> dict[str, Any]:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            receipt = self._node.call("eth_getTransactionReceipt", transaction)
            if receipt is not None:
                return dict(receipt)
            time.sleep(POLL_SECONDS)
        raise RpcError(f"transaction {transaction} was not mined within {seconds:g} s")


def run(rpc: str, per_block: int, seed: int, blocks: int | None) -> None:
    """Generate until `blocks` blocks were served, or for ever."""
    served = 0
    traffic = Traffic(Node(rpc), per_block, seed)
    prepared = False
    while blocks is None or served < blocks:
        try:
            if not prepared:
                traffic.prepare()
                prepared = True
            if traffic.step():
                served += 1
                if served % 100 == 0:
                    _say("sending", blocks=served, transactions=traffic.sent)
            else:
                time.sleep(POLL_SECONDS)
        except (BeganAnewError, OSError, RpcError) as error:
            _say("node not ready", error=str(error))
            # A call that was refused, or was not answered in time, is no reason for another token.
            prepared = prepared and not isinstance(error, BeganAnewError)
            time.sleep(RETRY_SECONDS)


def _say(event: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Send transactions to a development node.")
    parser.add_argument("--rpc", required=True, help="HTTP address of the node")
    parser.add_argument("--per-block", type=int, default=5, help="transactions per block, 1 to 200")
    parser.add_argument("--blocks", type=int, default=None, help="stop after this many blocks")
    parser.add_argument("--seed", type=int, default=1, help="the same seed sends the same transactions")
    options = parser.parse_args()
    if not 1 <= options.per_block <= 200:
        parser.error("--per-block must be 1 to 200")
    run(options.rpc, options.per_block, options.seed, options.blocks)


if __name__ == "__main__":
    main()
