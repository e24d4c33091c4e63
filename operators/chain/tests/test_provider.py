"""What a provider's answers do: results in order, smaller batches, another provider, or a fault of its class."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from operators.chain.calls import blocks_with_receipts
from operators.chain.faults import BatchTooLarge, MethodMissing, ProviderFault, WrongChain, classify
from operators.chain.head import disputed, hashes, head
from operators.chain.pool import TRIES, ProviderPool
from operators.chain.provider import Provider

Answer = Callable[[list[dict[str, Any]]], Any]
"""The calls of one request -> the decoded body of the answer, or a whole response."""


def provider_of(answer: Answer, max_bytes: int = 10_000) -> Provider:
    def respond(request: httpx.Request) -> httpx.Response:
        answered = answer(json.loads(request.content))
        return answered if isinstance(answered, httpx.Response) else httpx.Response(200, json=answered)

    return Provider("provider 0", "http://node", httpx.Client(transport=httpx.MockTransport(respond)), max_bytes)


def results(calls: list[dict[str, Any]], value: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    return [{"id": call["id"], "result": value(call)} for call in calls]


def echo(calls: list[dict[str, Any]]) -> Any:
    return results(calls, lambda call: call["params"][0])


def test_answers_are_matched_by_id_whatever_their_order() -> None:
    provider = provider_of(lambda calls: list(reversed(echo(calls))))
    assert provider.batch([("m", [n]) for n in range(5)]) == [0, 1, 2, 3, 4]


def test_a_batch_that_is_refused_for_its_size_is_split_until_it_passes() -> None:
    sizes: list[int] = []

    def answer(calls: list[dict[str, Any]]) -> Any:
        sizes.append(len(calls))
        return echo(calls) if len(calls) <= 2 else httpx.Response(413)

    assert provider_of(answer).batch([("m", [n]) for n in range(5)]) == [0, 1, 2, 3, 4]
    assert sizes == [5, 2, 3, 1, 2]


def test_an_answer_beyond_the_bound_counts_as_too_large() -> None:
    with pytest.raises(BatchTooLarge):
        provider_of(lambda calls: results(calls, lambda _: "x" * 200), max_bytes=100).call("m", 1)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (413, None, BatchTooLarge),
        (500, None, ProviderFault),
        (200, -32601, MethodMissing),
        (200, -32005, BatchTooLarge),
        (200, -32000, ProviderFault),
        (200, None, ProviderFault),
        (200, [], ProviderFault),
        (200, "-32601", ProviderFault),
    ],
)
def test_an_answer_has_one_class(status: int, code: object, kind: type[ProviderFault]) -> None:
    assert classify(status, code) is kind


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"\xff"),
        httpx.Response(502, json=[]),
        "text",
        5,
        [],
        [None, 5],
        [{"id": [], "result": 1}],
        [{"id": 999, "result": 1}],
        [{"id": 1, "error": {"code": []}}],
        [{"id": 1, "error": "no"}],
        {"id": None, "error": {"code": {}, "message": None}},
        {},
    ],
    ids=str,
)
def test_whatever_a_provider_answers_is_a_result_or_its_fault(answer: Any) -> None:
    with pytest.raises(ProviderFault, match=r"^provider 0: "):
        provider_of(lambda _: answer).call("m", 1)


def test_receipts_come_one_by_one_from_a_provider_without_block_receipts() -> None:
    asked: list[str] = []

    def answer(calls: list[dict[str, Any]]) -> Any:
        asked.extend(call["method"] for call in calls)
        if any(call["method"] == "eth_getBlockReceipts" for call in calls):
            return {"id": None, "error": {"code": -32601, "message": "no such method"}}
        blocks = {"0x1": {"transactions": [{"hash": "a"}, {"hash": "b"}]}, "0x2": {"transactions": []}, "0x3": None}
        return results(calls, lambda call: blocks.get(call["params"][0], f"receipt {call['params'][0]}"))

    provider = provider_of(answer)
    for _ in range(2):
        blocks, receipts = blocks_with_receipts(provider, [1, 2, 3], batch_calls=64)
        assert [block and len(block["transactions"]) for block in blocks] == [2, 0, None]
        assert receipts == [["receipt a", "receipt b"], [], []]
    assert asked.count("eth_getBlockReceipts") == 3, "the method is tried once, not with every batch"


def pool_of(*chains: Answer) -> ProviderPool:
    """A pool of chain 1 with one provider per function; `eth_chainId` is answered for them."""
    pool = ProviderPool([f"http://{n}" for n in range(len(chains))], 1, timeout=1, max_bytes=10_000, connections=1)

    def respond(request: httpx.Request) -> httpx.Response:
        answered = chains[int(request.url.host)](json.loads(request.content))
        return answered if isinstance(answered, httpx.Response) else httpx.Response(200, json=answered)

    client = httpx.Client(transport=httpx.MockTransport(respond))
    for provider in pool._all:
        provider._http = client
    return pool


def chain_of(chain_id: int, height: int, branch: str = "", down: bool = False) -> Answer:
    """A provider whose chain has blocks 0 to `height`, hashed `<height><branch>`."""

    def value(call: dict[str, Any]) -> Any:
        if call["method"] == "eth_chainId":
            return hex(chain_id)
        number = height if call["params"][0] == "latest" else int(call["params"][0], 16)
        return {"number": hex(number), "hash": f"{number}{branch}"} if number <= height else None

    return lambda calls: httpx.Response(503) if down else results(calls, value)


def test_the_next_provider_is_used_when_one_fails_and_stays_in_use() -> None:
    pool = pool_of(chain_of(1, 5, down=True), chain_of(1, 7))
    assert pool.with_failover(lambda provider: (provider.name, head(provider, None).number)) == ("provider 1", 7)
    assert pool.current().name == "provider 1"


def test_a_provider_of_another_chain_is_never_used() -> None:
    pool = pool_of(chain_of(2, 9), chain_of(1, 7))
    assert pool.with_failover(lambda provider: provider.name) == "provider 1"
    assert pool.second(pool.current()) is None


def test_a_pool_of_other_chains_is_refused() -> None:
    with pytest.raises(WrongChain, match="chain 1"):
        pool_of(chain_of(2, 9), chain_of(3, 9)).current()


def test_a_pool_that_does_not_answer_is_no_wrong_chain() -> None:
    with pytest.raises(ProviderFault):
        pool_of(chain_of(2, 9), chain_of(1, 9, down=True)).current()


def test_a_request_is_tried_a_bounded_number_of_times() -> None:
    tried: list[str] = []

    def request(provider: Provider) -> None:
        tried.append(provider.name)
        raise ProviderFault(f"number {len(tried)}")

    with pytest.raises(ProviderFault, match=f"number {TRIES}"):
        pool_of(chain_of(1, 1), chain_of(1, 1)).with_failover(request)
    assert tried == ["provider 0", "provider 1"] * (TRIES // 2)


def test_threads_that_saw_one_provider_fail_move_on_once() -> None:
    pool = pool_of(chain_of(1, 1), chain_of(1, 1), chain_of(1, 1))
    failed = pool.current()
    pool.rotate(failed)
    pool.rotate(failed)
    assert pool.current().name == "provider 1"


def test_the_head_comes_with_the_hash_at_the_tip() -> None:
    pool = pool_of(chain_of(1, 7))
    seen = [head(pool.current(), tip) for tip in (None, 5, 9)]
    assert [(one.number, one.block_hash, one.at_tip) for one in seen] == [
        (7, "7", None),
        (7, "7", "5"),
        (7, "7", None),
    ]


def test_hashes_leave_out_heights_the_chain_lacks() -> None:
    assert hashes(pool_of(chain_of(1, 100)).current(), range(30, 110)) == {n: str(n) for n in range(30, 101)}


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ([], False),
        ([chain_of(1, 7)], False),
        ([chain_of(1, 7, "b")], True),
        ([chain_of(1, 6)], True),
        ([chain_of(1, 7, "b", down=True)], False),
        ([chain_of(2, 7, "b")], False),
    ],
)
def test_a_block_is_disputed_by_a_second_provider_that_answers_otherwise(
    second: list[Answer], expected: bool
) -> None:
    assert disputed(pool_of(chain_of(1, 7), *second), 7, "7") is expected
