"""A reorg is applied down to the finality depth, and no further. The chain and the tables are dicts of hashes."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from operators.block_follower import replacing
from operators.block_follower.config import BlockFollowerConfig
from operators.block_follower.finality import Finality, check_tag
from operators.block_follower.follow import Follower
from operators.block_follower.position import Tip
from operators.chain.faults import Kind, ProviderFault
from operators.chain.head import Head
from traceplane_sdk.errors import OperatorError

TIP = 50
FINALITY_DEPTH = 10
HEAD = Head(TIP, f"new-{TIP}", f"new-{TIP}")


def config(start_block: int = 0, finality: str = "Depth") -> BlockFollowerConfig:
    chosen = {"startBlock": start_block, "finalityDepthBlocks": FINALITY_DEPTH, "finality": finality}
    return BlockFollowerConfig.model_validate({"chainId": 1, "rpcPool": "local", **chosen})


def follower(monkeypatch: pytest.MonkeyPatch, fork: int, start_block: int = 0, finality: str = "Depth") -> Follower:
    """A follower that stored the blocks up to TIP, of which the chain replaced those after `fork`. It has nothing
    to fetch blocks with, and no transaction to write them in."""
    stored = {number: f"old-{number}" for number in range(start_block, TIP + 1)}
    chain = {number: block_hash if number <= fork else f"new-{number}" for number, block_hash in stored.items()}

    def of_tables(_connection: object, low: int, high: int) -> dict[int, str]:
        return {number: stored[number] for number in range(low, high + 1) if number in stored}

    def of_chain(_provider: object, numbers: Sequence[int]) -> dict[int, str]:
        return {number: chain[number] for number in numbers if number in chain}

    context: Any = SimpleNamespace(
        config=config(start_block, finality),
        task=SimpleNamespace(outputs=[SimpleNamespace(name="blocks")]),
        connection=lambda: None,
    )
    pool: Any = SimpleNamespace(with_failover=lambda call: call(None))
    fetcher: Any = SimpleNamespace()
    made = Follower(context, fetcher, pool)
    monkeypatch.setattr(replacing, "hashes", of_chain)
    monkeypatch.setattr(made.parts.blocks, "hashes", of_tables)
    made._set_tip(Tip(TIP, stored[TIP]))
    return made


def tip(number: int = TIP) -> Tip:
    return Tip(number, f"old-{number}")


@pytest.mark.parametrize("fork", [TIP - 1, TIP - 9, TIP - FINALITY_DEPTH])
def test_a_fork_at_or_above_the_highest_final_block_is_found(fork: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert follower(monkeypatch, fork)._replacing.find_fork(tip()) == fork


@pytest.mark.parametrize("fork", [TIP - FINALITY_DEPTH - 1, 20, 0])
def test_a_reorg_of_a_final_block_is_refused_before_anything_is_fetched_or_written(
    fork: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OperatorError) as refused:
        follower(monkeypatch, fork)._replacing.apply(tip(), HEAD)
    assert refused.value.code == "ReorgBelowFinality"
    assert not refused.value.retryable


def test_what_was_final_stays_final_when_the_chain_became_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    following = follower(monkeypatch, TIP - FINALITY_DEPTH - 1)
    following._set_tip(tip(TIP - 5))
    with pytest.raises(OperatorError, match="finalityDepthBlocks"):
        following._replacing.find_fork(tip(TIP - 5))


def test_every_block_since_the_first_may_be_replaced_while_none_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    start = TIP - FINALITY_DEPTH + 1
    assert follower(monkeypatch, fork=0, start_block=start)._replacing.find_fork(tip()) == start - 1


def test_the_first_block_may_not_be_replaced_once_it_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OperatorError, match="finalityDepthBlocks"):
        follower(monkeypatch, fork=0, start_block=TIP - FINALITY_DEPTH)._replacing.find_fork(tip())


@pytest.mark.parametrize(("finality", "tag"), [("Depth", None), ("Finalized", "finalized"), ("Safe", "safe")])
def test_the_tag_that_is_asked_for_is_the_configured_one(finality: str, tag: str | None) -> None:
    assert Finality(config(finality=finality)).tag == tag


def test_by_depth_an_event_says_nothing_since_its_dataset_does() -> None:
    finality = Finality(config())
    finality.reached(TIP)
    assert (finality.final, finality.at(TIP)) == (TIP - FINALITY_DEPTH, None)


def test_by_tag_the_highest_known_block_of_the_tag_is_final_and_never_goes_back() -> None:
    finality = Finality(config(finality="Finalized"))
    finality.reached(TIP)
    assert finality.at(TIP) == -1, "not by the depth, which the user said is not what counts"
    for tagged, final in [(None, -1), (30, 30), (20, 30), (None, 30), (40, 40)]:
        finality.tagged(tagged)
        assert finality.final == final
    assert finality.at(TIP) == 40
    assert finality.at(35) == 35


@pytest.mark.parametrize("how", ["Depth", "Finalized"])
def test_what_was_committed_as_final_stays_final_for_the_next_run(how: str) -> None:
    finality = Finality(config(finality=how))
    finality.committed(45)
    finality.reached(TIP - 10)  # a chain that has become shorter
    finality.tagged(20)  # by a provider that lags
    assert (finality.final, finality.known, finality.is_committed) == (45, 45, True)
    assert finality.at(TIP) == (None if how == "Depth" else 45)
    finality.reached(TIP + 20)
    finality.tagged(60)
    assert (finality.final, finality.is_committed) == (60, False)


@pytest.mark.parametrize(("how", "final"), [("Depth", TIP + 5 - FINALITY_DEPTH), ("Finalized", TIP + 5)])
def test_what_a_batch_makes_final_is_committed_with_it(how: str, final: int) -> None:
    finality = Finality(config(finality=how))
    finality.reached(TIP)
    finality.tagged(TIP + 8)
    assert finality.final_with(TIP + 5) == final
    assert finality.final_with(TIP - 20) == finality.final, "a shorter chain takes nothing back"


def test_by_tag_what_is_not_written_yet_is_not_final() -> None:
    finality = Finality(config(finality="Safe"))
    finality.reached(10)
    finality.tagged(90)
    assert finality.final == 10
    finality.reached(50)
    assert finality.final == 50


@pytest.mark.parametrize(("fork", "found"), [(30, True), (45, True), (29, False)])
def test_by_tag_a_reorg_reaches_down_to_the_tag_whatever_the_depth(
    fork: int, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = follower(monkeypatch, fork, finality="Finalized")
    following.parts.finality.tagged(30)
    if found:
        assert following._replacing.find_fork(tip()) == fork
        return
    with pytest.raises(OperatorError, match="the chain's finalized block"):
        following._replacing.find_fork(tip())


@pytest.mark.parametrize(
    ("kind", "retried"),
    [(Kind.REFUSED, False), (Kind.METHOD_MISSING, False), (Kind.MALFORMED, False), (Kind.NOT_THERE_YET, True)],
)
def test_a_chain_without_the_tag_is_said_at_the_start(kind: Kind, retried: bool) -> None:
    with pytest.raises(OperatorError, match="Set finality: Depth") as refused:
        check_tag(pool_that_fails(kind), "finalized")
    assert (refused.value.code, refused.value.retryable) == ("NoFinalityTag", retried)


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.NOT_AUTHORISED, Kind.UNREACHABLE, Kind.WRONG_CHAIN])
def test_a_provider_that_is_away_says_nothing_of_the_tag(kind: Kind) -> None:
    with pytest.raises(ProviderFault):
        check_tag(pool_that_fails(kind), "finalized")


def pool_that_fails(kind: Kind) -> Any:
    def failing(_request: object) -> None:
        raise ProviderFault("no", kind)

    return SimpleNamespace(with_failover=failing)
