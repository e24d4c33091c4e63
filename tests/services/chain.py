"""A real Ethereum node to follow: anvil, with blocks under the test's control.

By default nothing is mined until the test says `mine`, so that a test knows its blocks. `anvil_reorg` replaces
the newest blocks by other ones, which is what a follower has to survive.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests.services.process import Part, ServiceError, on_free_port, start, temporary_folder, tool

CHAIN_ID = 31337
_calls = count(1)


@dataclass
class Chain:
    """A running node."""

    part: Part
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of one JSON-RPC call. ServiceError with the node's own message where it refuses."""
        body = {"jsonrpc": "2.0", "id": next(_calls), "method": method, "params": list(params)}
        request = urllib.request.Request(self.url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        if "error" in answer:
            raise ServiceError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    @property
    def head(self) -> int:
        """Number of the newest block."""
        return int(self.rpc("eth_blockNumber"), 16)

    def block(self, number: int) -> dict[str, Any]:
        """A block with whole transactions."""
        found: dict[str, Any] = self.rpc("eth_getBlockByNumber", hex(number), True)
        return found

    def mine(self, blocks: int = 1, interval_seconds: int = 1) -> int:
        """Mine `blocks` blocks, the first with what is pending; returns the new head."""
        self.rpc("anvil_mine", hex(blocks), hex(interval_seconds))
        return self.head

    def reorg(self, depth: int, transactions: Sequence[tuple[dict[str, Any], int]] = ()) -> None:
        """Replace the newest `depth` blocks; each of `transactions` goes into the block at its offset."""
        self.rpc("anvil_reorg", depth, [list(pair) for pair in transactions])

    def accounts(self) -> list[str]:
        """Funded, unlocked accounts."""
        found: list[str] = self.rpc("eth_accounts")
        return found

    def transfer(self, value: int = 1, sender: int = 0, receiver: int = 1) -> str:
        """Send `value` wei between two of `accounts`; returns the transaction's hash. Pending until mined."""
        accounts = self.accounts()
        sent: str = self.rpc(
            "eth_sendTransaction",
            {"from": accounts[sender], "to": accounts[receiver], "value": hex(value), "gas": hex(21_000)},
        )
        return sent


@contextmanager
def chain(*, block_seconds: float | None = None, options: Sequence[str] = ()) -> Iterator[Chain]:
    """An anvil node that mines every `block_seconds`, or only when told (None)."""
    with temporary_folder("chain") as folder:
        mining = ("--no-mining",) if block_seconds is None else ("--block-time", f"{block_seconds:g}")

        def run(port: int) -> Part:
            argv = [
                *(tool("anvil"), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(CHAIN_ID)),
                *("--silent", "--accounts", "10", *mining, *options),
            ]
            environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
            part = start("anvil", folder, argv, env=environment, cwd=folder)
            part.wait_ready(lambda: _answers(Chain(part, port)))
            return part

        part, port = on_free_port(run)
        try:
            yield Chain(part, port)
        finally:
            part.stop()


def _answers(node: Chain) -> bool:
    try:
        return int(node.rpc("eth_chainId"), 16) == CHAIN_ID
    except OSError:
        return False
