"""cryo over a real node into a real store: the rows of each dataset are what our own reading of the chain says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from operators.cryo_ingest.datasets import DATASETS
from tests.integration.operators import chain_truth
from tests.integration.operators.compacting import completed, failed
from tests.integration.operators.extracting import Extraction
from tests.integration.operators.following import Activity
from tests.integration.operators.rewriting_proxy import Proxy, Tamper, proxy_of
from tests.integration.operators.workbench import Run
from tests.services import Chain, ObjectStore
from traceplane_sdk.columns import TYPE_MARK
from traceplane_sdk.errors import StopReason

pytestmark = pytest.mark.services

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
KEY = "0123456789abcdef0123456789abcdef"
RENAMED = {"timestamp": "block_timestamp", "author": "miner", "transaction_type": "type"}
"""cryo's column to ours of the tables of a chain, where the names differ."""
ONLY_CRYOS = {"blocks": {"chain_id", "total_difficulty"}, "transactions": {"success"}, "logs": {"chain_id"}}


@pytest.fixture
def extraction(object_store: ObjectStore, bucket: str, chain: Chain, tmp_path: Path) -> Extraction:
    return Extraction(object_store, bucket, tmp_path, lambda: [chain.url])


@pytest.fixture
def proxy(chain: Chain, extraction: Extraction) -> Iterator[Proxy]:
    """Between cryo and the node, at an address that ends in a key."""
    with proxy_of(chain.url) as running:
        extraction.urls = lambda: [f"{running.url}/{KEY}"]
        yield running


def _expected(dataset: str, columns: list[str], chain: Chain, start: int, end: int) -> list[dict[str, Any]]:
    names = [name for name in columns if name not in ONLY_CRYOS[dataset]]
    truth = chain_truth.TABLES[dataset](chain, start, end)
    return [{name: row[RENAMED.get(name, name)] for name in names} for row in truth]


@pytest.mark.parametrize("dataset", ["blocks", "transactions", "logs"])
def test_rows_are_those_of_our_own_reading_of_the_chain(dataset: str, extraction: Extraction, chain: Chain) -> None:
    head = Activity(chain).blocks(14)
    start, end = 3, head - 2
    columns = list(DATASETS[dataset].all)
    found = {}
    for chunk in (1000, 4):  # one file of cryo, and several
        completion = completed(extraction.run(dataset, start, end, columns=columns, chunkBlocks=chunk))
        (committed,) = completion.outputs
        assert [event.partition for event in completion.events] == [committed.partition]
        found[chunk] = extraction.table(committed)
    assert found[4].equals(found[1000])
    table = found[1000]
    marks = {field.name: field.metadata[TYPE_MARK.encode()].decode() for field in table.schema}
    assert marks["block_number"] == "Int64"
    numbers = [name for name, mark in marks.items() if mark == "UInt256"]
    rows = [
        {name: int(value) if name in numbers and value is not None else value for name, value in row.items()}
        for row in table.to_pylist()
    ]
    assert len(rows) > (0 if dataset == "logs" else end - start)
    shared = [{name: row[name] for name in row if name not in ONLY_CRYOS[dataset]} for row in rows]
    assert shared == _expected(dataset, table.column_names, chain, start, end)


def test_a_range_without_rows_is_committed_with_its_schema(extraction: Extraction, chain: Chain) -> None:
    chain.mine(5)
    (committed,) = completed(extraction.run("logs", 1, 4)).outputs
    table = extraction.table(committed)
    assert (committed.rows, table.num_rows) == (0, 0)
    assert table.column_names[:1] == ["block_number"]


def test_parameters_choose_rows(extraction: Extraction, chain: Chain) -> None:
    activity = Activity(chain)
    head = activity.blocks(4)
    every = [row for row in chain_truth.logs(chain, 0, head) if row["address"] == activity.token]
    topic = every[0]["topic0"]
    due = [row["log_index"] for row in every if row["topic0"] == topic]
    assert 0 < len(due) < len(every)
    parameters = {"address": [activity.token], "topic0": [topic]}
    (committed,) = completed(extraction.run("logs", 0, head, parameters=parameters)).outputs
    assert extraction.table(committed)["log_index"].to_pylist() == due
    (none,) = completed(extraction.run("logs", 0, head, parameters={"address": [activity.accounts[0]]})).outputs
    assert none.rows == 0


@pytest.mark.parametrize(
    "dataset", ["balances", "code_reads", "erc20_transfers", "native_transfers", "traces", "geth_calls"]
)
def test_other_datasets_are_extracted_as_well(dataset: str, extraction: Extraction, chain: Chain) -> None:
    activity = Activity(chain)
    head = activity.blocks(3)
    parameters = {"address": [activity.accounts[1]]} if dataset == "balances" else {}
    (committed,) = completed(extraction.run(dataset, 1, head, parameters=parameters)).outputs
    table = extraction.table(committed)
    assert set(table["block_number"].to_pylist()) <= set(range(1, head + 1))
    if dataset == "balances":
        truth = [int(chain.rpc("eth_getBalance", activity.accounts[1], hex(n)), 16) for n in range(1, head + 1)]
        assert [int(value) for value in table["balance"].to_pylist()] == truth
    if dataset == "erc20_transfers":
        logs = [row for row in chain_truth.logs(chain, 1, head) if row["topic0"] == TRANSFER]
        found = zip(table["log_index"].to_pylist(), map(int, table["value"].to_pylist()), strict=True)
        assert list(found) == [(row["log_index"], int(row["data"], 16)) for row in logs]
    if dataset == "code_reads":
        codes = zip(table["contract_address"].to_pylist(), table["code"].to_pylist(), strict=True)
        assert dict(codes) == {activity.token: chain.rpc("eth_getCode", activity.token, "latest")}
    if dataset in ("traces", "geth_calls"):
        hashes = {row["transaction_hash"] for row in chain_truth.transactions(chain, 1, head)}
        assert set(table["transaction_hash"].to_pylist()) == hashes


def _no_secret(run: Run) -> None:
    said = json.dumps([run.events, run.completion.error.message if run.completion and run.completion.error else ""])
    assert KEY not in said


def test_a_block_that_the_provider_does_not_have_yet_is_waited_for(extraction: Extraction, chain: Chain) -> None:
    head = chain.mine(3)
    error = failed(extraction.run("logs", 0, head + 1))
    assert (error.code, error.retryable) == ("ProviderUnavailable", True)
    assert f"does not have block {head + 1}" in error.message


def test_a_provider_of_another_chain_is_never_read(proxy: Proxy, extraction: Extraction, chain: Chain) -> None:
    chain.mine(3)
    run = extraction.run("blocks", 0, 2, chainId=1)
    assert "serves chain 31337, not 1" in failed(run).message
    assert "eth_getBlockByNumber" not in proxy.calls
    _no_secret(run)


def test_the_next_provider_is_tried_where_one_fails(proxy: Proxy, extraction: Extraction, chain: Chain) -> None:
    head = Activity(chain).blocks(3)

    def tamper(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] != "eth_getLogs":
            return answer
        return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32000, "message": f"no logs for {KEY}"}}

    proxy.tamper = tamper
    bad = f"{proxy.url}/{KEY}"
    extraction.urls = lambda: [bad, chain.url]
    run = extraction.run("logs", 0, head)
    assert completed(run).outputs[0].rows == len(chain_truth.logs(chain, 0, head))
    assert proxy.calls["eth_getLogs"] > 0
    extraction.urls = lambda: [bad]
    alone = extraction.run("logs", 0, head)
    error = failed(alone)
    assert (error.code, error.retryable) == ("ProviderUnavailable", True)
    assert "no logs for" in error.message, "cryo's words are gone"
    _no_secret(alone)


def test_a_method_that_no_provider_serves_ends_the_task(proxy: Proxy, extraction: Extraction, chain: Chain) -> None:
    chain.mine(3)

    def tamper(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if not call["method"].startswith("trace_"):
            return answer
        message = f"the method {call['method']} does not exist/is not available"
        return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32601, "message": message}}

    proxy.tamper = tamper
    run = extraction.run("traces", 0, 2)
    error = failed(run)
    assert (error.code, error.retryable) == ("MethodMissing", False)
    assert "no provider of rpcPool local serves the dataset traces" in error.message
    _no_secret(run)


def _refusing(code: int, message: str) -> Tamper:
    """A node that refuses its `trace_` methods so."""

    def tamper(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if not call["method"].startswith("trace_"):
            return answer
        return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}

    return tamper


def _without_blocks(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "result": None} if call["method"] == "eth_getBlockByNumber" else answer


@pytest.mark.parametrize("capable_first", [False, True])
@pytest.mark.parametrize(
    "capable",
    [
        pytest.param(_without_blocks, id="not there yet"),
        pytest.param(_refusing(-32005, "rate limit exceeded, retry in 60s"), id="rate limited"),
        pytest.param(_refusing(-32000, "unauthorized"), id="not authorised"),
    ],
)
def test_a_method_that_another_provider_may_serve_is_tried_again(
    capable: Tamper, capable_first: bool, proxy: Proxy, extraction: Extraction, chain: Chain
) -> None:
    chain.mine(3)
    proxy.tamper = _refusing(-32601, "the method does not exist/is not available")
    with proxy_of(chain.url) as other:
        other.tamper = capable
        urls = [f"{proxy.url}/{KEY}", other.url]
        extraction.urls = lambda: urls[::-1] if capable_first else urls
        error = failed(extraction.run("traces", 0, 2))
        assert (error.code, error.retryable) == ("ProviderUnavailable", True)
        assert proxy.calls["eth_getBlockByNumber"]
        assert other.calls["eth_getBlockByNumber"]
        other.tamper = lambda _call, answer: answer
        completed(extraction.run("traces", 0, 2))


def test_each_attempt_begins_with_the_next_provider(proxy: Proxy, extraction: Extraction, chain: Chain) -> None:
    Activity(chain).blocks(3)
    released = Event()

    def hangs(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getLogs":
            released.wait(60)
        return answer

    def wrong(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getLogs":
            return {**answer, "result": [{**log, "blockNumber": "0x63"} for log in answer["result"]]}
        return answer

    extraction.urls = lambda: [f"{proxy.url}/{KEY}", chain.url]
    for manner, code, config in ((hangs, "CryoTimeout", {"timeoutSeconds": 2}), (wrong, "RowOutsidePartition", {})):
        proxy.tamper = manner
        assert failed(extraction.run("logs", 0, 3, **config)).code == code
        seen = dict(proxy.calls)
        (committed,) = completed(extraction.run("logs", 0, 3, attempt=2)).outputs
        assert committed.rows == len(chain_truth.logs(chain, 0, 3)) > 0
        assert proxy.calls == seen, "the first was asked again"
        released.set()
    assert failed(extraction.run("logs", 0, 3, attempt=3)).code == "RowOutsidePartition", "it has its turn again"


def test_a_provider_has_its_place_in_the_secret_at_each_attempt(
    proxy: Proxy, extraction: Extraction, chain: Chain
) -> None:
    chain.mine(3)
    proxy.tamper = _without_blocks
    extraction.urls = lambda: [f"{proxy.url}/first", f"{proxy.url}/second"]
    for attempt, last in ((1, "provider 1"), (2, "provider 0")):
        assert last in failed(extraction.run("logs", 0, 2, attempt=attempt)).message


def test_a_block_of_another_height_is_not_committed(proxy: Proxy, extraction: Extraction, chain: Chain) -> None:
    chain.mine(9)

    def tamper(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByNumber" and call["params"][0] == "0x3":
            return {**answer, "result": {**answer["result"], "number": "0x8"}}
        return answer

    proxy.tamper = tamper
    error = failed(extraction.run("blocks", 2, 5))
    assert error.code == "RowOutsidePartition"


def test_a_last_block_that_is_replaced_meanwhile_commits_nothing(
    proxy: Proxy, extraction: Extraction, chain: Chain
) -> None:
    Activity(chain).blocks(4)
    asked: list[str] = []

    def tamper(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByNumber" and call["params"] == ["0x3", False]:
            asked.append("")
            if len(asked) == 2:
                return {**answer, "result": {**answer["result"], "hash": "0x" + "11" * 32}}
        return answer

    proxy.tamper = tamper
    error = failed(extraction.run("logs", 1, 3))
    assert (error.code, error.retryable) == ("ProviderUnavailable", True)
    assert "block 3 was replaced while cryo read" in error.message


def test_a_provider_that_hangs_is_left_when_time_is_up(proxy: Proxy, extraction: Extraction, chain: Chain) -> None:
    Activity(chain).blocks(3)
    released = Event()

    def tamper(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getLogs":
            released.wait(60)
        return answer

    proxy.tamper = tamper
    run = extraction.run("logs", 0, 3, timeoutSeconds=2)
    error = failed(run)
    released.set()
    assert (error.code, error.retryable) == ("CryoTimeout", True)
    assert "raise timeoutSeconds" in error.message
    _no_secret(run)


def test_a_run_that_is_stopped_ends_cryo(proxy: Proxy, extraction: Extraction, chain: Chain) -> None:
    Activity(chain).blocks(3)
    reached, released = Event(), Event()

    def tamper(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getLogs":
            reached.set()
            released.wait(60)
        return answer

    proxy.tamper = tamper
    run = extraction.run("logs", 0, 3)
    assert reached.wait(60)
    run.control.stop(StopReason.DRAINING)
    completion = run.finish()
    released.set()
    assert completion is not None
    assert completion.status == "Released"
