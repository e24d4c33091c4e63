"""The generator of the example chain's traffic, on a node that refuses calls and forgets its chain."""

from __future__ import annotations

import pytest

from hack.chain import traffic
from hack.chain.rpc import RpcError


class Node:
    """Mines a block a look; at block `refused` it takes no transaction, at `forgotten` its chain begins anew."""

    def __init__(self, refused=None, forgotten=None):
        self.refused, self.forgotten = refused, forgotten
        self.deployed: list[str] = []
        self.block = 0

    def call(self, method, *_params):
        if method == "eth_accounts":
            return ["0x" + 40 * "1", "0x" + 40 * "2"]
        if method == "eth_sendTransaction":
            self.deployed.append(f"0x{len(self.deployed):040x}")
            return "0x1"
        return {
            "eth_getTransactionReceipt": {"status": "0x1", "contractAddress": self.deployed[-1]},
            "eth_blockNumber": hex(self.block),
        }[method]

    def batch(self, calls):
        if calls[0][0] == "eth_sendTransaction":
            if self.block == self.refused:
                self.refused = None
                raise RpcError("replacement transaction underpriced")
            return []
        self.block += 1
        code = "0x" if self.block == self.forgotten else "0x60"
        return [hex(self.block), code, {"pending": "0x0", "queued": "0x0"}]


@pytest.mark.parametrize(
    ("node", "tokens"),
    [(Node(), 1), (Node(refused=2), 1), (Node(forgotten=2), 2)],
    ids=["as usual", "refused", "anew"],
)
def test_a_token_stays_for_as_long_as_its_chain_does(monkeypatch, node, tokens):
    monkeypatch.setattr(traffic, "Node", lambda _rpc: node)
    monkeypatch.setattr(traffic, "RETRY_SECONDS", 0)
    traffic.run("http://node", per_block=2, seed=1, blocks=4)
    assert len(node.deployed) == tokens
