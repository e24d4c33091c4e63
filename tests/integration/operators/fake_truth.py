"""A chain written by hand, asked as `chain_truth` asks a node: what ought to be stored of it."""

from __future__ import annotations

from typing import Any

from tests.support.fake_chain import FakeChain


class FakeTruth:
    """Answers what `tests.services.Chain` does, without a node between."""

    def __init__(self, chain: FakeChain) -> None:
        self._chain = chain

    @property
    def head(self) -> int:
        return self._chain.head

    def block(self, height: int) -> Any:
        return self._chain.answer("eth_getBlockByNumber", [hex(height), True])

    def rpc(self, method: str, *params: Any) -> Any:
        if method != "eth_getLogs":
            return self._chain.answer(method, list(params))
        low, high = (int(params[0][end], 16) for end in ("fromBlock", "toBlock"))
        heights = [height for number, height in sorted(self._chain.heights.items()) if low <= number <= high]
        return [log for height in heights for receipt in height.receipts for log in receipt["logs"]]
