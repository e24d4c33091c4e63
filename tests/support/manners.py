"""The manners of providers that a follower has to live with: what each does, what the follower does, and who saw
it.

Each row is tried by `tests/integration/operators/test_provider_manners.py`. The texts are plain strings, since the
page about providers is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.fake_node import FakeNode, Manners, Refusal, Request, arrays, everything

Json = Any
BLOCK_RECEIPTS = "eth_getBlockReceipts"


@dataclass(frozen=True)
class Manner:
    """One way of behaving. `manners`: of the node that the follower begins with.

    `second`: the pool also has a node without any of this. `until_said`: the node mends its ways once the follower
    has said this. `seen`: what has to be true of the node at the end. `config`: of the follower.
    """

    name: str
    behaviour: str
    reaction: str
    source: str
    manners: Callable[[], Manners]
    second: bool = False
    until_said: str = ""
    seen: Callable[[FakeNode], bool] = lambda _node: True
    config: tuple[tuple[str, Any], ...] = ()


def _without_logs(method: str, _params: list[Json], result: Json) -> Json:
    if method == BLOCK_RECEIPTS and result:
        return [{**receipt, "logs": []} for receipt in result]
    return result


def _far_ahead(method: str, params: list[Json], result: Json) -> Json:
    if method == "eth_getBlockByNumber" and params[0] == "latest":
        return {**result, "number": hex(int(result["number"], 16) + 1_000)}
    return result


def _null_receipts(method: str, _params: list[Json], result: Json) -> Json:
    return None if method == BLOCK_RECEIPTS else result


def _refused(node: FakeNode) -> list[Request]:
    return [request for request in node.requests if request.status == 429]


def _largest(node: FakeNode) -> int:
    return max(len(request.methods) for request in node.requests[-10:])


def _arrays(node: FakeNode) -> int:
    return sum(request.array for request in node.requests)


def _refuses(refusal: Refusal, over: int = 0) -> Callable[[], Manners]:
    return lambda: Manners(refuse=arrays(refusal, over=over))


def _lacks(refusal: Refusal) -> Callable[[], Manners]:
    return lambda: Manners(refuse_methods={BLOCK_RECEIPTS: refusal})


MANNERS: Sequence[Manner] = (
    # Arrays
    Manner(
        "no arrays",
        "refuses every array with HTTP 400 and a sentence",
        "sends single objects, and tries an array again now and then",
        "0xPolygon/cdk-validium-node#50",
        _refuses(Refusal(400, body="batch requests are disabled")),
        seen=lambda node: _arrays(node) <= 8,  # four that are on their way at first, and tries after 20, 40, 80
    ),
    Manner(
        "no arrays, without a reason",
        "refuses every array as an invalid request",
        "halves the array until single objects pass",
        "JSON-RPC 2.0, 'Batch'; hiero-ledger/hiero-json-rpc-relay#1802",
        _refuses(Refusal(400, -32600, "Invalid Request")),
        seen=lambda node: _largest(node) == 1,
    ),
    Manner(
        "small arrays",
        "refuses arrays of more than three calls",
        "halves the array, remembers the size for this provider, and tries more after a while",
        "base/node#234; AcalaNetwork/bodhi.js#383",
        _refuses(Refusal(200, -32600, "batch too large"), over=3),
        seen=lambda node: _largest(node) <= 3,
    ),
    Manner(
        "small arrays, as a server error",
        "answers larger arrays with HTTP 500 and an error without a frame",
        "halves the array, since fewer calls pass",
        "hemilabs/ui-monorepo#887",
        _refuses(Refusal(500, body='{"code": 31, "message": "upgrade your tier"}'), over=3),
        seen=lambda node: _largest(node) <= 3,
    ),
    Manner(
        "small arrays, as wrong parameters",
        "answers larger arrays with -32602",
        "halves the array, since fewer calls pass",
        "JSON-RPC 2.0, 'Batch'",
        _refuses(Refusal(200, -32602, "unexpected array"), over=2),
        seen=lambda node: _largest(node) <= 2,
    ),
    Manner(
        "small arrays, silently",
        "leaves the last entry of an array out",
        "asks for what is missing in smaller arrays",
        "ethereum/go-ethereum#1537",
        lambda: Manners(drop_last=True),
    ),
    Manner(
        "one object for an array",
        "answers an array with the answer to its first call",
        "sends single objects",
        "erigontech/erigon#17245",
        lambda: Manners(one_object=True),
        seen=lambda node: _largest(node) == 1,
    ),
    Manner(
        "an array for one object",
        "answers a single object with an array",
        "takes its only entry",
        "JSON-RPC 2.0, 'Response object'",
        lambda: Manners(array_of_one=True),
    ),
    Manner(
        "another order",
        "answers the calls of an array in another order",
        "matches answers by their id",
        "JSON-RPC 2.0, 'Batch'",
        lambda: Manners(reversed_order=True),
    ),
    Manner(
        "small answers",
        "refuses to answer with more than some kilobytes",
        "asks for less at a time, and takes the receipts of a large block one by one",
        "ethereum/go-ethereum#33814; hyperliquid-dex/node#65",
        lambda: Manners(max_response=6_000, too_large=Refusal(200, -32008, "Response is too big")),
    ),
    Manner(
        "slow",
        "needs longer for a large array than the follower waits",
        "asks for less at a time",
        "NodeReal, Chainstack: gateways end a request after a fixed time",
        lambda: Manners(seconds_per_call=0.06),
        config=(("requestTimeoutSeconds", 0.4),),
        seen=lambda node: _largest(node) < 8,
    ),
    # Methods
    *(
        Manner(
            f"no block receipts ({said})",
            f"answers eth_getBlockReceipts with {said}",
            "takes receipts one by one, and tries the method again after ten minutes",
            source,
            _lacks(refusal),
            seen=lambda node: node.calls["eth_getTransactionReceipt"] >= 40 and node.calls[BLOCK_RECEIPTS] <= 40,
        )
        for said, source, refusal in (
            ("-32601", "base/node#153", Refusal(code=-32601, message="the method does not exist/is not available")),
            ("-32602", "graphprotocol/graph-node#5341", Refusal(code=-32602, message="Invalid params")),
            ("-32001", "paradigmxyz/cryo#93", Refusal(code=-32001, message="rpc method is not whitelisted")),
        )
    ),
    Manner(
        "null for block receipts",
        "answers eth_getBlockReceipts with null for a block that it has",
        "takes the receipts of that block one by one",
        "ava-labs/avalanchego#4614",
        lambda: Manners(lie=_null_receipts),
    ),
    # Limits
    Manner(
        "a limit, with a time",
        "answers more than six requests a second with HTTP 429 and Retry-After",
        "leaves the provider alone for that time, and asks it more slowly afterwards",
        "RFC 6585, 4; RFC 9110, 10.2.3",
        lambda: Manners(requests_per_second=6, limited=Refusal(429, 429, "Too many", headers={"Retry-After": "1"})),
        seen=lambda node: 1 <= len(_refused(node)) <= 8,
    ),
    Manner(
        "a limit, with a time of its own",
        "answers more than some requests a second with -32005 and data.rate.backoff_seconds",
        "leaves that provider alone for the time, while another serves",
        "Infura, 'Avoid rate limiting'",
        lambda: Manners(
            requests_per_second=3,
            limited=Refusal(429, -32005, "request rate exceeded", data={"rate": {"backoff_seconds": 30}}),
        ),
        second=True,
        seen=lambda node: 1 <= len(_refused(node)) <= 4,  # as many as were on their way together
    ),
    # Heads
    Manner(
        "lags",
        "is many blocks behind",
        "uses a provider that is further, and measures the lag against the best head",
        "erpc/erpc evm_state_poller.go",
        lambda: Manners(lag=15),
        second=True,
    ),
    Manner(
        "stands still",
        "stays at one block while another goes on",
        "uses the other after half a minute",
        "okx/Deploy#4",
        lambda: Manners(stalled_at=20),
        second=True,
    ),
    Manner(
        "says that it is far ahead",
        "names a latest block that it does not have",
        "goes on to the highest block that the provider answers for",
        "besu-eth/besu#8007 (several nodes behind one address)",
        lambda: Manners(lie=_far_ahead),
    ),
    Manner(
        "errors for blocks to come",
        "answers -32000 instead of null for a block that it does not have yet",
        "waits, or asks another, and blames nobody",
        "DeFiCh/ain#2120; ethereum/go-ethereum#31949",
        lambda: Manners(lie=_far_ahead, beyond=Refusal(code=-32000, message="header not found")),
        second=True,
    ),
    Manner(
        "pruned",
        "does not have old blocks any more",
        "asks another for these",
        "EIP-4444; ethereum/execution-apis#636",
        lambda: Manners(pruned_below=10),
        second=True,
    ),
    # What a person has to mend
    Manner(
        "another chain, beside a right one",
        "serves another chain",
        "asks nothing but the chain id, now and then",
        "erpc/erpc evm_state_poller_chainid_heal_test.go",
        lambda: Manners(chain_id=5),
        second=True,
        seen=lambda node: set(node.calls) == {"eth_chainId"},
    ),
    Manner(
        "another chain, alone",
        "serves another chain for a while",
        "says so, and goes on by itself once the chain is right",
        "erpc/erpc evm_state_poller_chainid_heal_test.go",
        lambda: Manners(chain_id=5),
        until_said="provider 0: wrong chain: it serves chain 5, not 1",
    ),
    Manner(
        "a wrong key",
        "answers HTTP 401",
        "says so, and asks again now and then",
        "Alchemy and QuickNode, 'Error reference'",
        lambda: Manners(refuse=everything(Refusal(401, -32000, "invalid API key"))),
        until_said="provider 0: HTTP 401, JSON-RPC error -32000: not authorised: invalid API key",
    ),
    Manner(
        "a redirect",
        "sends its callers to another address",
        "does not follow, since the key would go along, and says so",
        "RFC 9110, 15.4",
        lambda: Manners(refuse=everything(Refusal(301, headers={"Location": "http://127.0.0.1:9/"}, body=""))),
        until_said="provider 0: HTTP 301: moved",
    ),
    # Answers that are none
    Manner(
        "a page",
        "answers with a page of HTML",
        "uses another, and asks again after a while",
        "INFURA/infura#58",
        lambda: Manners(refuse=everything(Refusal(200, body="<html>busy</html>"))),
        second=True,
    ),
    Manner(
        "down",
        "answers HTTP 503 for a while",
        "says so, and asks again after a growing pause",
        "RFC 9110, 15.6.4",
        lambda: Manners(refuse=everything(Refusal(503, body="<html>down</html>"))),
        until_said="provider 0: HTTP 503: unreachable: an HTML page",
    ),
    Manner(
        "closes",
        "ends the connection without an answer",
        "uses another, and asks again after a growing pause",
        "erigontech/erigon#18074",
        lambda: Manners(close=True),
        second=True,
    ),
    Manner(
        "lies in a block",
        "answers with receipts that lack their logs",
        "stores nothing of it, and uses another",
        "ava-labs/avalanchego#4614; celo-org/celo-blockchain#2293",
        lambda: Manners(lie=_without_logs),
        second=True,
    ),
)
