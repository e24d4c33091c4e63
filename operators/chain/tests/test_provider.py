"""What one provider's answers do: results in order, smaller batches, another pace, or a fault of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from operators.chain.calls import blocks_with_receipts
from operators.chain.faults import Kind, ProviderFault
from operators.chain.pace import UNPACED
from operators.chain.provider import MISSING_SECONDS
from operators.chain.sizes import GROW_AFTER, GROW_AFTER_LIMIT, BatchSize
from operators.chain.tests.providers import Clock, echo, provider_of, results

CALLS: list[tuple[str, list[Any]]] = [("m", [n]) for n in range(8)]
REFUSED = {"id": None, "error": {"code": -32600, "message": "Invalid Request"}}


def limited_to(most: int, sizes: list[int], refusal: Any = None) -> Any:
    """A provider that takes at most `most` calls in one request; `sizes` gets how many each request had."""

    def answer(calls: list[dict[str, Any]]) -> Any:
        sizes.append(len(calls))
        return echo(calls) if len(calls) <= most else httpx.Response(413) if refusal is None else refusal

    return answer


def test_answers_are_matched_by_id_whatever_their_order() -> None:
    provider = provider_of(lambda calls: list(reversed(echo(calls))))
    assert provider.batch(CALLS) == list(range(8))


@pytest.mark.parametrize(
    "refusal",
    [
        httpx.Response(413),
        httpx.Response(400, text="no"),
        httpx.Response(500, json={"code": 31}),
        REFUSED,
        [REFUSED],
    ],
    ids=str,
)
def test_a_batch_that_is_refused_is_halved_until_it_passes_and_the_size_is_remembered(refusal: Any) -> None:
    sizes: list[int] = []
    provider = provider_of(limited_to(2, sizes, refusal))
    assert provider.batch(CALLS) == list(range(8))
    assert sizes == [8, 4, 2, 2, 2, 2]
    assert provider.batch(CALLS) == list(range(8))
    assert sizes[6:] == [2, 2, 2, 2]


def test_a_provider_that_takes_no_arrays_gets_objects_at_once() -> None:
    sent: list[Any] = []

    def respond(request: httpx.Request) -> httpx.Response:
        sent.append(request.content[:1])
        if request.content[:1] == b"[":
            return httpx.Response(400, text="batch requests are disabled")
        return httpx.Response(200, json={"id": 1, "result": "0x1"})

    provider = provider_of(echo)
    provider._http = httpx.Client(transport=httpx.MockTransport(respond))
    assert provider.call("eth_chainId") == "0x1"
    assert sent == [b"{"], "its first question is no array"
    assert provider.batch(CALLS) == ["0x1"] * 8
    assert provider.batch(CALLS) == ["0x1"] * 8
    assert sent[1:] == [b"[", *[b"{"] * 16]


def test_an_array_that_one_object_answers_is_sent_one_by_one() -> None:
    provider = provider_of(lambda calls: echo(calls)[0])
    assert provider.batch(CALLS) == list(range(8))
    assert provider.size.limit == 1


def test_calls_that_a_server_leaves_out_are_sent_in_smaller_batches() -> None:
    assert provider_of(lambda calls: echo(calls)[:3]).batch(CALLS) == list(range(8))


def test_an_outage_says_nothing_of_sizes() -> None:
    up = False
    provider = provider_of(lambda calls: echo(calls) if up else httpx.Response(500))
    with pytest.raises(ProviderFault, match=r"^provider 0: HTTP 500: unreachable: "):
        provider.batch(CALLS)
    up = True
    assert (provider.batch(CALLS), provider.size.limit) == (list(range(8)), None)


def test_an_answer_in_parts_that_took_too_long_is_asked_for_in_smaller_parts() -> None:
    def answer(calls: list[dict[str, Any]]) -> Any:
        if len(calls) > 2:
            raise httpx.ReadTimeout("slow")
        return echo(calls)

    provider = provider_of(answer)
    for limit in (4, 2):
        with pytest.raises(ProviderFault, match=r"^provider 0: unreachable: no answer in time$"):
            provider.batch(CALLS)
        assert provider.size.limit == limit
    assert provider.batch(CALLS) == list(range(8))


def test_a_size_grows_again_after_a_run_and_each_time_later() -> None:
    size = BatchSize()
    size.shrunk(refused=8, passed=4)
    assert size.next(3) == 3
    for _ in range(GROW_AFTER):
        assert size.next(64) == 4
        size.passed(4)
    assert size.next(64) == 8, "twice as many are tried"
    assert size.next(64) == 4, "by one request"
    size.shrunk(refused=8, passed=4)
    assert size.limit == 4
    for _ in range(2 * GROW_AFTER):
        assert size.next(64) == 4
        size.passed(4)
    assert size.next(64) == 8
    size.passed(8)
    assert size.next(64) == 8
    for _ in range(20):
        size.shrunk(refused=16, passed=8)
    assert size._grow_after == GROW_AFTER_LIMIT


@pytest.mark.parametrize("status", [200, 503])
def test_an_answer_that_comes_drop_by_drop_is_given_up(status: int) -> None:
    clock, drops = Clock(), 0

    def dripping() -> Iterator[bytes]:
        nonlocal drops
        while drops < 1_000:
            drops += 1
            clock.now += 1
            yield b" "

    provider = provider_of(lambda _calls: httpx.Response(status, content=dripping()), clock=clock)
    with pytest.raises(ProviderFault, match="unreachable: no answer in time"):
        provider.call("m", 1)
    assert drops < 10, "httpx waits five seconds by default"


def test_an_answer_beyond_the_bound_is_halved_and_at_one_call_names_the_remedy() -> None:
    sizes: list[int] = []

    def answer(calls: list[dict[str, Any]]) -> Any:
        sizes.append(len(calls))
        return results(calls, lambda _: "x" * 200)

    provider = provider_of(answer, max_bytes=500)
    assert len(provider.batch(CALLS)) == 8
    assert sizes == [8, 4, 2, 2, 2, 2]
    with pytest.raises(ProviderFault, match=r"response too large.*maxResponseMb") as fault:
        provider_of(answer, max_bytes=100).call("m", 1)
    assert fault.value.kind is Kind.RESPONSE_TOO_LARGE


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"\xff"),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(502, json=[]),
        "text",
        5,
        [],
        [None, 5],
        [{"id": [], "result": 1}, 7],
        [{"id": 999, "result": 1}, 7],
        [{"id": 1, "error": {"code": []}}],
        [{"id": 1, "error": "no"}],
        {"id": None, "error": {"code": {}, "message": None}},
        {"error": {"code": 10**400, "message": ["x"], "data": {"backoff_seconds": {}}}},
        {},
    ],
    ids=lambda answer: str(answer)[:30],
)
def test_whatever_a_provider_answers_is_a_result_or_its_fault(answer: Any) -> None:
    with pytest.raises(ProviderFault, match=r"^provider 0: "):
        provider_of(lambda _: answer, max_bytes=1_000_000).call("m", 1)
    with pytest.raises(ProviderFault, match=r"^provider 0: "):
        provider_of(lambda _: answer, max_bytes=1_000_000).batch([("m", [1]), ("m", [2])])


def test_a_redirect_is_not_followed_and_its_target_not_quoted() -> None:
    asked: list[str] = []

    def answer(calls: list[dict[str, Any]]) -> Any:
        asked.extend(call["method"] for call in calls)
        return httpx.Response(301, headers={"Location": "http://elsewhere/key"})

    with pytest.raises(ProviderFault, match=r"HTTP 301: moved: .*correct the Secret") as fault:
        provider_of(answer).call("m", 1)
    assert (asked, "elsewhere" in str(fault.value)) == (["m"], False)


def block_answer(call: dict[str, Any]) -> Any:
    blocks = {"0x1": {"transactions": [{"hash": "a"}, {"hash": "b"}]}, "0x2": {"transactions": []}, "0x3": None}
    return blocks.get(call["params"][0], f"receipt {call['params'][0]}")


@pytest.mark.parametrize(
    "refusal",
    [
        {"code": -32601, "message": "no such method"},
        {"code": -32602, "message": "Invalid params"},
        {"code": -32000, "message": "unsupported method: eth_getBlockReceipts"},
        {"code": -32001, "message": "rpc method is not whitelisted"},
        {"code": -32603, "message": "Internal error"},
        {"code": 35, "message": "upgrade"},
    ],
    ids=str,
)
@pytest.mark.parametrize("whole", [True, False])
def test_receipts_come_one_by_one_from_a_provider_without_block_receipts(refusal: Any, whole: bool) -> None:
    asked: list[str] = []

    def answer(calls: list[dict[str, Any]]) -> Any:
        methods = [call["method"] for call in calls]
        asked.extend(methods)
        if "eth_getBlockReceipts" in methods and whole:
            return {"id": None, "error": refusal}
        return [
            {"id": call["id"], "error": refusal}
            if call["method"] == "eth_getBlockReceipts"
            else results([call], block_answer)[0]
            for call in calls
        ]

    clock = Clock()
    provider = provider_of(answer, clock=clock)
    for _ in range(2):
        blocks, receipts = blocks_with_receipts(provider, [1, 2, 3], batch_calls=64)
        assert [block and len(block["transactions"]) for block in blocks] == [2, 0, None]
        assert receipts == [["receipt a", "receipt b"], [], []]
    first = asked.count("eth_getBlockReceipts")
    blocks_with_receipts(provider, [1], batch_calls=64)
    assert asked.count("eth_getBlockReceipts") == first <= 6, "it is not tried with every batch"
    clock.now += MISSING_SECONDS
    blocks_with_receipts(provider, [1], batch_calls=64)
    assert asked.count("eth_getBlockReceipts") > first, "it is tried again after a while"


@pytest.mark.parametrize("receipts", [None, "too large"])
def test_receipts_of_a_block_that_does_not_come_whole_come_one_by_one(receipts: str | None) -> None:
    def answer(calls: list[dict[str, Any]]) -> Any:
        return [
            {"id": call["id"], "error": {"code": -32003, "message": "response too large"}}
            if call["method"] == "eth_getBlockReceipts" and receipts is not None
            else {"id": call["id"], "result": None if "Receipts" in call["method"] else block_answer(call)}
            for call in calls
        ]

    provider = provider_of(answer)
    _, found = blocks_with_receipts(provider, [1, 2, 3], batch_calls=64)
    assert found == [["receipt a", "receipt b"], [], None if receipts is None else []]
    assert provider.block_receipts, "the method is there"


@pytest.mark.parametrize("block", [5, {}, {"transactions": None}, {"transactions": ["0x1"]}], ids=str)
def test_a_block_without_whole_transactions_is_its_providers_fault(block: Any) -> None:
    provider = provider_of(lambda calls: results(calls, lambda _: block))
    provider.lacks_block_receipts()
    with pytest.raises(ProviderFault, match=r"^provider 0: malformed"):
        blocks_with_receipts(provider, [1], batch_calls=64)


def test_a_provider_that_limits_is_asked_half_as_fast_and_gradually_faster_again() -> None:
    clock = Clock()
    limited = False
    provider = provider_of(lambda calls: httpx.Response(429) if limited else echo(calls), clock=clock)
    for _ in range(20):  # 20 requests a second
        clock.now += 0.05
        provider.call("m", 1)
    assert (clock.waited, provider.pace.rate) == ([], None)
    limited = True
    for _ in range(2):  # two that were on their way together count once
        with pytest.raises(ProviderFault, match="HTTP 429: rate limited") as fault:
            provider.call("m", 1)
    assert fault.value.kind is Kind.RATE_LIMITED
    limited = False
    slow = provider.pace.rate or 0
    assert 9 <= slow <= 12
    before = clock.now
    for _ in range(20):
        provider.call("m", 1)
    assert 1.0 < clock.now - before < 2.5
    assert slow < (provider.pace.rate or 0) < slow + 1, "it recovers by a little each second"
    provider.pace.rate = UNPACED
    provider.call("m", 1)
    assert provider.pace.rate is None, "beyond that there is no pace"
