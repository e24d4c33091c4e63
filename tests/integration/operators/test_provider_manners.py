"""Whatever the manners of its providers are, a follower ends with the rows of the chain."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import pytest

from operators.block_follower import confirmation, reporting
from operators.block_follower.measures import MEASURES, labels_of
from operators.chain import pool, standing
from tests.integration.operators.fake_truth import FakeTruth
from tests.integration.operators.following import Following, follow
from tests.integration.operators.workbench import Run
from tests.services import Chain, Databases
from tests.support.fake_chain import FakeChain, ethereum
from tests.support.fake_node import Manners, Refusal, fake_node
from tests.support.manners import MANNERS, Manner
from traceplane_sdk.context import Report

pytestmark = pytest.mark.services

FIRST = 24
"""Blocks that are there when the follower begins."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes half a minute and more, in less."""
    monkeypatch.setattr(pool, "WATCH_SECONDS", 0.2)
    monkeypatch.setattr(standing, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(confirmation, "CONFIRM_SECONDS", 0.5)
    monkeypatch.setattr(standing, "_LEFT_ALONE", dict.fromkeys(standing._LEFT_ALONE, (0.5, 1.0)))


def grow(chain: FakeChain, count: int) -> int:
    """More blocks on top; returns the new head."""
    top = chain.heights[chain.head].block
    chain.extend(ethereum(count, start=chain.head + 1, parent=top["hash"]))
    return chain.head


def holds(following: Following, chain: FakeChain) -> None:
    following.equals(cast(Chain, FakeTruth(chain)))


def says(run: Run, words: str) -> None:
    run.wait(words, lambda seen: any(words in str(fields.get("error")) for _, fields in seen.events))


@pytest.mark.parametrize("manner", MANNERS, ids=lambda manner: manner.name)
def test_a_follower_ends_with_the_rows_of_the_chain(databases: Databases, manner: Manner) -> None:
    chain = FakeChain(1, ethereum(FIRST))
    with fake_node(chain, manner.manners()) as node, fake_node(chain) as other:
        urls = [node.url, other.url] if manner.second else [node.url]
        config: dict[str, Any] = dict(manner.config)
        following = follow(databases, urls, chainId=1, **config)
        run = following.run()
        if manner.until_said:
            says(run, manner.until_said)
            assert following.rows("blocks") == []
            node.manners = Manners()
        run.reaches(FIRST - 1)
        run.reaches(grow(chain, 2))
        assert run.stop() is None or run.completion.error is None
        assert manner.seen(node), node.requests[-5:]
    holds(following, chain)


def test_the_names_of_manners_are_unique_and_each_says_what_it_is() -> None:
    assert len({manner.name for manner in MANNERS}) == len(MANNERS)
    assert all(manner.behaviour and manner.reaction and manner.source for manner in MANNERS)


def test_the_lag_is_measured_against_the_best_head(databases: Databases) -> None:
    chain = FakeChain(1, ethereum(FIRST))
    with fake_node(chain, Manners(stalled_at=5)) as node, fake_node(chain) as other:
        busy = Refusal(code=-32005, message="limit exceeded", data={"backoff_seconds": 0.3})
        other.manners.refuse_methods = {"eth_getBlockReceipts": busy}
        following = follow(databases, [node.url, other.url], chainId=1)
        run = following.run()
        run.wait("lag", lambda seen: seen.measures.get("source_lag_blocks") == FIRST - 1 - 5)
        other.manners.refuse_methods = {}
        run.reaches(FIRST - 1)
        run.stop()
    holds(following, chain)


def test_a_corrected_secret_revives_the_source_by_itself(databases: Databases) -> None:
    chain = FakeChain(1, ethereum(FIRST))
    with fake_node(chain, Manners(chain_id=5)) as wrong, fake_node(chain) as right:
        following = follow(databases, [wrong.url], chainId=1)
        run = following.run()
        says(run, "provider 0: wrong chain")
        following.urls[:] = [right.url]
        run.reaches(FIRST - 1)
        assert run.logged("the providers of the pool have changed") == {}
        run.stop()
    holds(following, chain)


def reorged(chain: FakeChain, depth: int) -> None:
    """Other blocks in place of the newest `depth`, and one more."""
    start = chain.head - depth + 1
    parent = chain.heights[start - 1].block["hash"]
    chain.replace(start, ethereum(depth + 1, start=start, parent=parent, branch="b"))


@pytest.mark.parametrize("lag", [4, 0])
def test_a_provider_that_lags_neither_confirms_nor_denies_a_reorg(
    databases: Databases, lag: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "STALL_SECONDS", 600)  # else one that stands still for a while lags too
    chain = FakeChain(1, ethereum(FIRST))
    slow_chain = FakeChain(1, ethereum(FIRST))
    with fake_node(chain) as node, fake_node(slow_chain, Manners(lag=lag)) as slow:
        following = follow(databases, [node.url, slow.url], chainId=1)
        run = following.run()
        run.reaches(FIRST - 1)
        before = following.rows("blocks")
        reorged(chain, 3)
        if lag:  # it cannot know: the wait is bounded
            fields = run.logged("reorg not confirmed by a second provider")
            assert (fields["verdict"], fields["providers"]) == ("pending", ["provider 1"])
            run.logged("reorg not confirmed in time, and denied by none")
        else:  # it knows, and denies until it has come to know better
            fields = run.logged("reorg not confirmed by a second provider")
            assert (fields["verdict"], fields["providers"]) == ("denied", ["provider 1"])
            assert following.rows("blocks") == before
            reorged(slow_chain, 3)
        run.logged("reorg applied")
        run.reaches(chain.head)
        run.stop()
    holds(following, chain)


def shortened(chain: FakeChain) -> None:
    """Other blocks in place of the newest four, and only two of them."""
    start = chain.head - 3
    parent = chain.heights[start - 1].block["hash"]
    chain.replace(start, ethereum(2, start=start, parent=parent, branch="b"))


@pytest.mark.parametrize("lags", [True, False])
def test_that_a_chain_became_shorter_is_confirmed_by_none_that_never_had_the_old_tip(
    databases: Databases, lags: bool
) -> None:
    chain = FakeChain(1, ethereum(FIRST))
    other_chain = FakeChain(1, ethereum(FIRST))
    if lags:  # it has the new blocks, and has not heard of those that they replaced
        shortened(other_chain)
        other_chain = FakeChain(1, other_chain.heights.values())
    with fake_node(chain) as node, fake_node(other_chain) as other:
        following = follow(databases, [node.url, other.url], chainId=1)
        run = following.run()
        run.reaches(FIRST - 1)
        for one in [chain] if lags else [other_chain, chain]:
            shortened(one)
        run.logged("reorg applied")
        waited = [(event, fields) for event, fields in run.events if event.startswith("reorg not")]
        run.reaches(grow(chain, 4))
        run.stop()
    holds(following, chain)
    assert [event for event, _ in waited] == (
        ["reorg not confirmed by a second provider", "reorg not confirmed in time, and denied by none"]
        if lags
        else []
    )
    assert all((f["verdict"], f["providers"]) == ("pending", ["provider 1"]) for _, f in waited)


def test_a_source_that_does_not_go_on_says_so_and_why(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "STALL_SECONDS", 0.5)
    chain = FakeChain(1, ethereum(FIRST))
    with fake_node(chain) as node:
        following = follow(databases, [node.url], chainId=1)
        run = following.run()
        run.reaches(FIRST - 1)
        assert run.measures["source_healthy"] == 1
        node.manners.close = True
        stuck = run.logged("source is stuck")
        assert "provider 0: unreachable" in stuck["reason"]
        assert (stuck["position"], stuck["head"]) == (FIRST - 1, FIRST - 1)
        run.wait("measured", lambda seen: seen.measures["source_healthy"] == 0)
        assert Report(False, stuck["reason"], FIRST - 1, FIRST - 1) in run.reports
        node.manners.close = False
        run.logged("source goes on")
        assert run.reports[-1].healthy
        run.stop()
    holds(following, chain)


def test_the_state_of_the_pool_is_measured_and_logged_when_it_changes(databases: Databases) -> None:
    chain = FakeChain(1, ethereum(FIRST))
    with fake_node(chain, Manners(lag=15)) as node, fake_node(chain) as other:
        following = follow(databases, [node.url, other.url], chainId=1)
        run = following.run()
        run.reaches(FIRST - 1)
        run.wait("in use", lambda seen: seen.measures.get("source_provider_in_use{provider=1}") == 1)
        run.wait("head", lambda seen: seen.measures.get("source_provider_head_block{provider=1}") == FIRST - 1)
        run.stop()
        logged = [fields["providers"] for event, fields in run.events if event == "providers"]
    assert all(before != after for before, after in pairwise(logged))
    assert [one["in_use"] for one in logged[-1]] == [False, True]
    assert run.measures["source_provider_head_block{provider=0}"] == FIRST - 1 - 15
    for shown in run.measures:
        name, _, labels = shown.partition("{")
        assert name in MEASURES
        assert {part.split("=")[0] for part in labels.split("{") if part} == set(labels_of(name)), shown
