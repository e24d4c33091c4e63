"""What real nodes and providers answer, and the kind of fault each answer is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from operators.chain.answers import MAX_RETRY_AFTER, decoded_error, error_of, retry_after
from operators.chain.faults import RULES, Kind, ProviderFault, classify

BLOCKS = {"eth_getBlockByNumber"}
RECEIPTS = {"eth_getBlockReceipts"}
BOTH = BLOCKS | RECEIPTS

# (HTTP status, JSON-RPC code, message, methods, whether an array was refused as a whole) -> kind
SAID: list[tuple[int, Any, str, set[str], bool, Kind]] = [
    # geth, erigon, nethermind, reth (jsonrpsee)
    (200, -32600, "batch too large", BOTH, True, Kind.BATCH_TOO_LARGE),
    (200, -32000, "batch limit 100 exceeded (can increase by --rpc.batch.limit)", BOTH, True, Kind.BATCH_TOO_LARGE),
    (413, -32005, "Batch size limit exceeded", BOTH, True, Kind.BATCH_TOO_LARGE),
    (200, -32010, "The batch request was too large", BOTH, True, Kind.BATCH_TOO_LARGE),
    (200, -32005, "Batched requests are not supported by this server", BOTH, True, Kind.BATCHES_NOT_TAKEN),
    (200, -32003, "response too large", BLOCKS, False, Kind.RESPONSE_TOO_LARGE),
    (200, -32008, "Response is too big", BLOCKS, False, Kind.RESPONSE_TOO_LARGE),
    (200, -32011, "The batch response was too large", BOTH, True, Kind.RESPONSE_TOO_LARGE),
    (200, -32009, "Server is busy, try again later", BLOCKS, False, Kind.RATE_LIMITED),
    (
        200,
        -32601,
        "the method eth_getBlockReceipts does not exist/is not available",
        BOTH,
        True,
        Kind.METHOD_MISSING,
    ),
    (200, 4444, "pruned history unavailable", BLOCKS, False, Kind.PRUNED),
    (200, -32000, "missing trie node b797f637 (path )", BLOCKS, False, Kind.PRUNED),
    (200, -32000, "header not found", BLOCKS, False, Kind.NOT_THERE_YET),
    (200, -32000, "unknown block", BLOCKS, False, Kind.NOT_THERE_YET),
    (200, -32000, "block not found: 0x7", RECEIPTS, False, Kind.NOT_THERE_YET),
    # Providers
    (429, 429, "Your app has exceeded its compute units per second capacity.", BLOCKS, False, Kind.RATE_LIMITED),
    (200, 429, "Your app has exceeded its compute units per second capacity.", BLOCKS, False, Kind.RATE_LIMITED),
    (400, -32600, "Response size is larger than 150MB limit", BOTH, True, Kind.RESPONSE_TOO_LARGE),
    (400, -32600, "Unsupported methods [trace_block] in batch call.", BOTH, True, Kind.BATCHES_NOT_TAKEN),
    (429, -32005, "project ID request rate exceeded", BLOCKS, False, Kind.RATE_LIMITED),
    (200, -32005, "daily request count exceeded, request rate limited", BLOCKS, False, Kind.RATE_LIMITED),
    (200, -32005, "limit exceeded", BOTH, True, Kind.RATE_LIMITED),
    (402, -32005, "free calls are used up", BLOCKS, False, Kind.RATE_LIMITED),
    (200, -32007, "50/second request limit reached - reduce calls per second", BLOCKS, False, Kind.RATE_LIMITED),
    (200, -32012, "credits limited to 6000/sec", BLOCKS, False, Kind.RATE_LIMITED),
    (200, -32016, "over rate limit", BLOCKS, False, Kind.RATE_LIMITED),
    (200, -32090, "Too many requests, reason: call rate limit exhausted", BLOCKS, False, Kind.RATE_LIMITED),
    (500, 31, "Batch of more than 3 requests are not allowed on free tier", BOTH, True, Kind.BATCH_TOO_LARGE),
    (200, -32600, 'Too many ["eth_getLogs"] methods in the batch', BOTH, True, Kind.BATCH_TOO_LARGE),
    (200, -32600, "Exceeded maximum batch size", BOTH, True, Kind.BATCH_TOO_LARGE),
    (400, None, "batch requests are disabled", BOTH, True, Kind.BATCHES_NOT_TAKEN),
    (200, -32202, "Batch requests are disabled. See BATCH_REQUESTS_ENABLED.", BOTH, True, Kind.BATCHES_NOT_TAKEN),
    (200, -32001, "rpc method is not whitelisted", RECEIPTS, False, Kind.METHOD_MISSING),
    (200, -32000, "method not supported on the free plan", RECEIPTS, False, Kind.METHOD_MISSING),
    (200, -32602, "Invalid params", RECEIPTS, False, Kind.METHOD_MISSING),
    (200, -32000, "receipts length mismatch: 0 vs 1", RECEIPTS, False, Kind.METHOD_MISSING),
    (403, None, "", RECEIPTS, False, Kind.METHOD_MISSING),
    (401, -32000, "Must be authenticated!", BLOCKS, False, Kind.NOT_AUTHORISED),
    (401, None, "", BOTH, True, Kind.NOT_AUTHORISED),
    (403, None, "an HTML page", BLOCKS, False, Kind.NOT_AUTHORISED),
    (
        200,
        -32000,
        "Unauthorized: You must authenticate your request with an API key",
        BLOCKS,
        False,
        Kind.NOT_AUTHORISED,
    ),
    (200, -32002, "invalid project id", BLOCKS, False, Kind.NOT_AUTHORISED),
    # Whatever an array is refused with, fewer may pass; alone, the same is a plain refusal.
    (200, -32600, "Invalid Request", BOTH, True, Kind.BATCH_TOO_LARGE),
    (200, -32602, "expected an object", BOTH, True, Kind.BATCH_TOO_LARGE),
    (200, -32700, "Parse error", BOTH, True, Kind.BATCH_TOO_LARGE),
    (400, None, "Bad Request", BOTH, True, Kind.BATCH_TOO_LARGE),
    (500, None, "internal error", BOTH, True, Kind.BATCH_TOO_LARGE),
    (413, None, "", BOTH, True, Kind.BATCH_TOO_LARGE),
    (200, -32600, "Invalid Request", BLOCKS, False, Kind.REFUSED),
    (400, None, "Bad Request", BLOCKS, False, Kind.REFUSED),
    # HTTP
    (301, None, "", BLOCKS, False, Kind.MOVED),
    (308, None, "", BOTH, True, Kind.MOVED),
    (404, None, "not found", BLOCKS, False, Kind.MOVED),
    (404, -32601, "no", BLOCKS, False, Kind.METHOD_MISSING),
    (500, None, "internal error", BLOCKS, False, Kind.UNREACHABLE),
    (503, None, "", BOTH, True, Kind.UNREACHABLE),
    # Anything may stand where a code belongs.
    (200, None, "", BLOCKS, False, Kind.REFUSED),
    (200, [], "", BLOCKS, False, Kind.REFUSED),
    (200, "-32601", "", BLOCKS, False, Kind.REFUSED),
]


@pytest.mark.parametrize(("status", "code", "message", "methods", "array", "kind"), SAID)
def test_an_answer_has_one_kind(
    status: int, code: Any, message: str, methods: set[str], array: bool, kind: Kind
) -> None:
    assert classify(status, code, message, methods, array=array) is kind


def test_each_row_names_its_source_and_each_is_reached() -> None:
    assert all(rule.source for rule in RULES)
    firsts = {
        next(at for at, rule in enumerate(RULES) if rule.holds(*said[:5])) for said in SAID if said[5] != "refused"
    }
    unreached = set(range(len(RULES))) - firsts
    # Rows for a code or status alone stand behind the words that commonly come with it.
    assert all(not RULES[at].words for at in unreached)


@pytest.mark.parametrize(
    ("headers", "error", "words", "expected"),
    [
        ({}, None, "", None),
        ({"retry-after": "30"}, None, "", 30),
        ({"retry-after": "100000"}, None, "", MAX_RETRY_AFTER),
        ({"retry-after": "soon"}, None, "", None),
        ({"retry-after": "-5"}, None, "", None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None, "", 0),
        ({}, {"data": {"backoff_seconds": 30.0}}, "", 30),
        ({}, {"data": {"rate": {"backoff_seconds": 2, "allowed_rps": 1}}}, "", 2),
        ({}, {"data": {"try_again_in": "1.5s"}}, "", 1.5),
        ({}, {"data": {"try_again_in": "250ms"}}, "", 0.25),
        ({}, {"data": {"backoff_seconds": []}}, "", None),
        ({}, {"data": {"backoff_seconds": True}}, "", None),
        ({}, {"data": ["backoff_seconds"]}, "", None),
        ({}, None, "call rate limit exhausted, retry in 10s", 10),
        ({}, None, "try again after 2m", 120),
        ({"retry-after": "3"}, {"data": {"backoff_seconds": 9}}, "retry in 10s", 3),
    ],
)
def test_the_time_to_stay_away_is_found_and_bounded(
    headers: dict[str, str], error: Any, words: str, expected: float | None
) -> None:
    assert retry_after(headers, error, words) == expected


def test_a_date_to_come_back_at_is_a_time_to_stay_away() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < (retry_after({"retry-after": date}) or 0) <= 100


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"error": {"code": 1, "message": "m"}}', {"code": 1, "message": "m"}),
        (b'[{"id": 1, "error": {"code": 1}}]', {"code": 1}),
        (b'{"message": "m", "code": 31}', {"message": "m", "code": 31}),
        (b'{"error": "no"}', "no"),
        (b"batch requests are disabled", "batch requests are disabled"),
        (b"<!doctype html>", "an HTML page"),
        (b"  <html>Sorry</html>", "an HTML page"),
        (b"a\x00b\nc", "a b c"),
        (b"", ""),
    ],
)
def test_the_words_of_an_http_error_are_found_wherever_they_are(content: bytes, expected: Any) -> None:
    assert decoded_error(content) == expected


def test_an_answer_that_is_no_error_has_none() -> None:
    assert error_of([{"id": 1, "result": 2}, 5, None]) is None


def test_a_fault_says_who_what_and_why() -> None:
    fault = ProviderFault("bad key", Kind.NOT_AUTHORISED, provider="provider 0", said="HTTP 401")
    assert str(fault) == "provider 0: HTTP 401: not authorised: bad key"
    assert str(ProviderFault("block 7: malformed")) == "block 7: malformed"
