"""What a provider gets wrong is never stored: it is asked again, or another one is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.operators.following import Activity, follow
from tests.integration.operators.rewriting_proxy import proxy_of
from tests.services import Chain, Databases

pytestmark = pytest.mark.services


def _receipts(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[dict[str, Any], Any], Any]:
    """A tamper that changes the receipts of every block that has some."""

    def tamper(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getBlockReceipts" and answer.get("result"):
            changed = copy.deepcopy(answer)
            changed["result"] = change(changed["result"])
            return changed
        return answer

    return tamper


def _block(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any], Any], Any]:
    def tamper(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByNumber" and call["params"][1] and answer["result"]["transactions"]:
            changed = copy.deepcopy(answer)
            change(changed["result"])
            return changed
        return answer

    return tamper


def _no_logs(receipts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for receipt in receipts:
        receipt["logs"] = []
    return receipts


def _no_logs_nor_blooms(receipts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for receipt in _no_logs(receipts):
        receipt["logsBloom"] = "0x" + "00" * 256
    return receipts


def _from_another_block(receipts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    receipts[-1]["blockHash"] = "0x" + "ab" * 32
    return receipts


FAULTS = {
    "no receipts": _receipts(lambda _: []),
    "null instead of receipts": _receipts(lambda _: None),
    "last receipt missing": _receipts(lambda receipts: receipts[:-1]),
    "a null receipt": _receipts(lambda receipts: [None, *receipts[1:]]),
    "logs missing": _receipts(_no_logs),
    "logs and blooms missing": _receipts(_no_logs_nor_blooms),
    "last log missing": _receipts(
        lambda receipts: [*receipts[:-1], {**receipts[-1], "logs": receipts[-1]["logs"][:-1]}]
    ),
    "receipts of another block": _receipts(_from_another_block),
    "receipts in another order": _receipts(lambda receipts: receipts[::-1]),
    "bad hex": _block(lambda block: block.update(gasLimit="0xzz")),
    "a field missing": _block(lambda block: block.pop("stateRoot")),
    "another height": _block(lambda block: block.update(number=hex(int(block["number"], 16) + 1))),
    "transactions of another block": _block(
        lambda block: block["transactions"][0].update(blockHash="0x" + "cd" * 32)
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_answer_is_not_stored_and_another_provider_is_asked(
    databases: Databases, chain: Chain, fault: str
) -> None:
    head = Activity(chain).blocks(4)
    with proxy_of(chain.url) as bad:
        bad.tamper = FAULTS[fault]
        following = follow(databases, [bad.url, chain.url])
        run = following.run()
        run.reaches(head)
        run.stop()
        assert bad.calls["eth_getBlockReceipts"] > 0
    following.equals(chain)


def test_alone_with_a_wrong_answer_nothing_is_stored_until_it_is_right(databases: Databases, chain: Chain) -> None:
    head = Activity(chain).blocks(4)
    with proxy_of(chain.url) as only:
        only.tamper = FAULTS["logs missing"]
        following = follow(databases, [only.url])
        run = following.run()
        run.logged("following failed")
        assert following.rows("logs") == []
        only.tamper = lambda _call, answer: answer
        run.reaches(head)
        run.stop()
    following.equals(chain)


def test_a_provider_without_block_receipts_is_asked_per_transaction(databases: Databases, chain: Chain) -> None:
    def tamper(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getBlockReceipts":
            return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32601, "message": "no such method"}}
        return answer

    head = Activity(chain).blocks(5)
    with proxy_of(chain.url) as old:
        old.tamper = tamper
        following = follow(databases, [old.url])
        run = following.run()
        run.reaches(head)
        run.stop()
        assert old.calls["eth_getTransactionReceipt"] == len(following.rows("transactions"))
    following.equals(chain)


def test_a_batch_that_is_too_large_is_split(databases: Databases, chain: Chain) -> None:
    head = Activity(chain).blocks(8)
    with proxy_of(chain.url) as strict:
        strict.max_batch = 3
        following = follow(databases, [strict.url])
        run = following.run()
        run.reaches(head)
        run.stop()
    following.equals(chain)


def test_a_provider_of_another_chain_is_never_read(databases: Databases, chain: Chain) -> None:
    def tamper(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "result": "0x1"} if call["method"] == "eth_chainId" else answer

    head = Activity(chain).blocks(3)
    with proxy_of(chain.url) as foreign:
        foreign.tamper = tamper
        following = follow(databases, [foreign.url, chain.url])
        run = following.run()
        run.reaches(head)
        run.stop()
        assert set(foreign.calls) == {"eth_chainId"}
        alone = follow(databases, [foreign.url])
        run = alone.run()
        assert "provider 0: wrong chain: it serves chain 1" in run.logged("following failed")["error"]
        assert alone.rows("blocks") == []
        alone.urls[:] = [chain.url]  # a corrected Secret
        run.reaches(head)
        run.stop()
    for one in (following, alone):
        one.equals(chain)


def test_a_reorg_that_a_second_provider_denies_is_not_applied(
    databases: Databases, chain: Chain, start_chain: Callable[..., Chain]
) -> None:
    head = Activity(chain).blocks(6)
    with proxy_of(chain.url) as second:
        following = follow(databases, [chain.url, second.url], finalityDepthBlocks=6)
        run = following.run()
        run.reaches(head)
        before = following.rows("blocks")
        honest = {row["block_number"]: row["block_hash"] for row in before}

        def old_view(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
            if call["method"] == "eth_getBlockByNumber" and answer.get("result"):
                number = int(answer["result"]["number"], 16)
                return {**answer, "result": {**answer["result"], "hash": honest[number]}}
            return answer

        second.tamper = old_view
        chain.reorg(2)
        run.logged("reorg not confirmed by a second provider")
        assert following.rows("blocks") == before
        second.tamper = lambda _call, answer: answer
        run.logged("reorg applied")
        run.stop()
    following.equals(chain)
