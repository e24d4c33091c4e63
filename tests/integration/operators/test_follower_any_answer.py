"""Whatever a provider says of heads, hashes, tags and its chain, a follower ends with the chain's rows.

One answer in a few is any JSON or a mutation of the right one, while the chain grows and is reorganised. Whole
blocks and receipts become any JSON only: a wrong value of a right form is not to be told from a right one
(`tests/unit/chains/test_any_answer.py` has the decoder's part).
"""

from __future__ import annotations

import copy
import random
from typing import Any, cast

import pytest

from operators.block_follower import confirmation
from operators.block_follower import run as follower_run
from operators.chain import pool, standing
from tests.integration.operators.fake_truth import FakeTruth
from tests.integration.operators.following import follow
from tests.integration.operators.workbench import Run
from tests.services import Chain, Databases
from tests.support.chains.mutations import KINDS, NASTY, mutate
from tests.support.fake_chain import FakeChain, ethereum
from tests.support.fake_node import fake_node

pytestmark = pytest.mark.services

FIRST, DEPTH, LIES = 24, 4, 60
"""Blocks at first, blocks that a reorg replaces, wrong answers."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes half a minute and more, in less."""
    monkeypatch.setattr(pool, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(confirmation, "CONFIRM_SECONDS", 0.2)
    monkeypatch.setattr(standing, "_LEFT_ALONE", {})
    monkeypatch.setattr(standing, "_BRIEF", (0.02, 0.05))
    monkeypatch.setattr(follower_run, "BACKOFF_BASE", 0.02)
    monkeypatch.setattr(follower_run, "BACKOFF_LIMIT", 0.05)
    monkeypatch.setattr(follower_run, "MAX_FAILURES", 10**6)  # no node is as wrong for 15 minutes


class Liar:
    """Every third answer or so is wrong, `LIES` times."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.told = 0

    def __call__(self, method: str, params: list[Any], result: Any) -> Any:
        if self.told >= LIES or self._random.random() > 0.3:
            return result
        self.told += 1
        whole = method == "eth_getBlockReceipts" or (method == "eth_getBlockByNumber" and params[1])
        if whole or self._random.random() < 0.3:
            return self._random.choice(NASTY)
        chosen = [
            (self._random.choice(KINDS), self._random.randrange(10**6), self._random.randrange(10**6), value)
            for value in self._random.sample(NASTY, self._random.randint(1, 2))
        ]
        return mutate(copy.deepcopy(result), chosen)


def change(chain: FakeChain, branch: str, depth: int) -> None:
    """Other blocks in place of the newest `depth`, and two more."""
    start = chain.head - depth + 1
    parent = chain.heights[start - 1].block["hash"]
    chain.replace(start, ethereum(depth + 2, start=start, parent=parent, branch=branch))


def goes_on(run: Run, liar: Liar, lies: int) -> None:
    run.wait(f"{lies} wrong answers", lambda seen: liar.told >= lies or seen.completion is not None)
    assert run.completion is None, run.completion


@pytest.mark.parametrize("finality", ["Depth", "Finalized"])
@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(4, 40))]
)
def test_a_follower_goes_on_whatever_a_provider_says(databases: Databases, seed: int, finality: str) -> None:
    chain, liar = FakeChain(1, ethereum(FIRST)), Liar(seed)
    chain.tags["finalized"] = FIRST - 12
    with fake_node(chain) as node, fake_node(chain) as other:
        following = follow(databases, [node.url, other.url], chainId=1, finality=finality)
        run = following.run()
        run.reaches(FIRST - 1)
        node.manners.lie = other.manners.lie = liar
        for quarter in range(1, 5):
            change(chain, f"{seed}-{quarter}", random.Random(seed + quarter).randint(0, DEPTH))
            goes_on(run, liar, quarter * LIES // 4)
        change(chain, "last", 2)
        run.reaches(chain.head)
        assert run.stop() is None or run.completion.error is None
    following.equals(cast(Chain, FakeTruth(chain)))
