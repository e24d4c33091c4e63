"""A fetcher that asks a hand-written chain without HTTP between: for tests that ask thousands of times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from operators.block_follower.config import BlockFollowerConfig
from operators.chain.fetch import Fetcher
from operators.chain.provider import Call, Json, Provider
from operators.chain.schemas import OUTPUTS
from tests.support.chains import Shape
from tests.support.fake_chain import FakeChain

_NO_HTTP: Any = None
Answered = Callable[[str, list[Json], Json], Json]


class DirectProvider(Provider):
    """Answers from a chain. `answered`: what becomes of each result."""

    def __init__(self, chain: FakeChain, answered: Answered) -> None:
        super().__init__("provider 0", "http://nowhere", _NO_HTTP, 1)
        self._chain, self._answered = chain, answered

    def batch(self, calls: Sequence[Call]) -> list[Json]:
        return [self._answered(method, params, self._chain.answer(method, params)) for method, params in calls]


def config_of(shape: Shape) -> BlockFollowerConfig:
    """A follower's config for a chain of this shape."""
    chosen: dict[str, Any] = {"chainId": shape.chain_id, "rpcPool": "local"}
    return BlockFollowerConfig.model_validate(chosen | ({"chain": dict(shape.config)} if shape.config else {}))


def fetcher_of(shape: Shape, chain: FakeChain, answered: Answered | None = None) -> Fetcher:
    """A fetcher of all tables, without failover: a provider's fault reaches the caller."""
    lie = shape.manners.lie or (lambda _method, _params, result: result)
    provider = DirectProvider(chain, answered or lie)
    pool: Any = SimpleNamespace(with_failover=lambda request: request(provider))
    return Fetcher(pool, config_of(shape).profile, OUTPUTS, batch_calls=64, threads=1)
