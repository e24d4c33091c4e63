"""The fake node of tests is what it says: answers of its chain, and each of its manners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.fake_chain import FakeChain, ethereum
from tests.support.fake_node import FakeNode, Manners, Refusal, arrays, everything, fake_node

CHAIN = FakeChain(1, ethereum(10))
LATEST = ("eth_getBlockByNumber", ["latest", False])


def post(node: FakeNode, *calls: tuple[str, list[Any]], array: bool = True) -> httpx.Response:
    body = [
        {"jsonrpc": "2.0", "id": at, "method": method, "params": params}
        for at, (method, params) in enumerate(calls)
    ]
    return httpx.post(node.url, json=body if array else body[0])


def results(node: FakeNode, *calls: tuple[str, list[Any]]) -> list[Any]:
    return [entry.get("result", entry.get("error")) for entry in post(node, *calls).json()]


def test_a_node_answers_as_its_chain_does_and_counts() -> None:
    with fake_node(CHAIN) as node:
        chain_id, latest, receipts = results(node, ("eth_chainId", []), LATEST, ("eth_getBlockReceipts", ["0x9"]))
        assert post(node, ("eth_blockNumber", []), array=False).json()["result"] == "0x9"
        assert results(node, ("eth_nothing", []))[0]["code"] == -32601
        assert node.calls["eth_getBlockByNumber"] == 1
        assert [(one.array, len(one.methods)) for one in node.requests] == [(True, 3), (False, 1), (True, 1)]
    assert (chain_id, latest["number"], len(receipts)) == ("0x1", "0x9", 2)


@pytest.mark.parametrize("manners", [Manners(lag=3), Manners(stalled_at=6)])
def test_a_node_that_is_behind_shows_nothing_beyond_its_head(manners: Manners) -> None:
    beyond = CHAIN.heights[7]
    with fake_node(CHAIN, manners) as node:
        latest, block, receipts, by_hash, receipt = results(
            node,
            LATEST,
            ("eth_getBlockByNumber", ["0x7", True]),
            ("eth_getBlockReceipts", ["0x7"]),
            ("eth_getBlockByHash", [beyond.block["hash"], False]),
            ("eth_getTransactionReceipt", [beyond.receipts[0]["transactionHash"]]),
        )
    assert (latest["number"], block, receipts, by_hash, receipt) == ("0x6", None, None, None, None)


SHAPES: dict[str, tuple[Manners, Callable[[httpx.Response], bool]]] = {
    "another chain": (Manners(chain_id=5), lambda got: got.json()[0]["result"] == "0x5"),
    "a lie": (Manners(lie=lambda _method, _params, _result: "no"), lambda got: got.json()[1]["result"] == "no"),
    "arrays refused": (
        Manners(refuse=arrays(Refusal(400, -32600, "no"), over=1)),
        lambda got: got.status_code == 400,
    ),
    "a smaller array": (Manners(refuse=arrays(Refusal(400), over=2)), lambda got: got.status_code == 200),
    "a page": (Manners(refuse=everything(Refusal(503, body="<html>"))), lambda got: got.text == "<html>"),
    "a redirect": (
        Manners(refuse=everything(Refusal(301, headers={"Location": "http://localhost/"}, body=""))),
        lambda got: got.headers["location"] == "http://localhost/",
    ),
    "a method missing": (
        Manners(refuse_methods={"eth_chainId": Refusal(code=-32601, message="no")}),
        lambda got: got.json()[0]["error"]["code"] == -32601,
    ),
    "a limit": (Manners(requests_per_second=0), lambda got: got.status_code == 429),
    "too large": (Manners(max_response=100), lambda got: got.json()["error"]["code"] == -32003),
    "another order": (Manners(reversed_order=True), lambda got: [one["id"] for one in got.json()] == [1, 0]),
    "an entry missing": (Manners(drop_last=True), lambda got: [one["id"] for one in got.json()] == [0]),
    "one object": (Manners(one_object=True), lambda got: got.json()["id"] == 0),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_manner_shows(shape: str) -> None:
    manners, shows = SHAPES[shape]
    with fake_node(CHAIN, manners) as node:
        assert shows(post(node, ("eth_chainId", []), LATEST))


def test_a_closed_connection_is_no_answer() -> None:
    with fake_node(CHAIN, Manners(close=True)) as node, pytest.raises(httpx.RemoteProtocolError):
        post(node, LATEST)
