"""JSON-RPC to the example chain: what the node itself says, for comparison.

Standard library only, and one HTTP request for many calls (JSON-RPC 2.0 batches).
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Sequence
from typing import Any

from hack.localcluster.layout import ClusterError

BATCH = 200
_REPLACEMENTS = 5


def calls(url: str, requests: Sequence[tuple[str, list[Any]]]) -> list[Any]:
    """Results of many calls in their order, asked in batches. ClusterError where the node refuses one."""
    results: list[Any] = []
    for at in range(0, len(requests), BATCH):
        part = requests[at : at + BATCH]
        body = [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": params}
            for index, (method, params) in enumerate(part)
        ]
        answers = sorted(_post(url, body), key=lambda answer: answer["id"])
        for answer, (method, _) in zip(answers, part, strict=True):
            if "error" in answer:
                raise ClusterError(f"{method}: {answer['error'].get('message')}")
            results.append(answer["result"])
    return results


def call(url: str, method: str, *params: Any) -> Any:
    """The result of one call."""
    return calls(url, [(method, list(params))])[0]


def head(url: str) -> int:
    """Number of the node's newest block."""
    return int(call(url, "eth_blockNumber"), 16)


def blocks(url: str, numbers: Iterable[int]) -> list[dict[str, Any]]:
    """Blocks by number, with the hashes of their transactions only. ClusterError where the node lacks one."""
    wanted = list(numbers)
    found = calls(url, [("eth_getBlockByNumber", [hex(number), False]) for number in wanted])
    for number, block in zip(wanted, found, strict=True):
        if block is None:
            raise ClusterError(f"the node has no block {number}")
    return found


def replace(url: str, depth: int) -> None:
    """Have an anvil replace its newest blocks. ClusterError where it does not come to a whole chain.

    It unwinds while its miner may be about to store a block on the old ones: then the heights between have no block
    any more. Replaced once more from below the hole, they have.
    """
    for _ in range(_REPLACEMENTS):
        call(url, "anvil_reorg", depth, [])
        newest = head(url)
        heights = range(max(0, newest - 2 * depth), newest + 1)
        found = calls(url, [("eth_getBlockByNumber", [hex(number), False]) for number in heights])
        hole = next((number for number, block in zip(heights, found, strict=True) if block is None), None)
        if hole is None:
            return
        depth = head(url) - hole + 1
    raise ClusterError(f"the node has no block {hole} after {_REPLACEMENTS} reorgs")


def logs(url: str, first: int, last: int) -> list[dict[str, Any]]:
    """Logs of an inclusive range of blocks."""
    spans = [(start, min(start + BATCH - 1, last)) for start in range(first, last + 1, BATCH)]
    asked = [("eth_getLogs", [{"fromBlock": hex(start), "toBlock": hex(end)}]) for start, end in spans]
    return [log for found in calls(url, asked) for log in found]


def _post(url: str, body: list[dict[str, Any]]) -> list[dict[str, Any]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)
    except OSError as error:
        raise ClusterError(f"the chain at {url} does not answer: {error}") from error
    if not isinstance(found, list) or len(found) != len(body):
        raise ClusterError(f"the chain at {url} answered {str(found)[:200]} to a batch of {len(body)} calls")
    return found
