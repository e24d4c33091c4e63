"""The head of the chain, hashes of single heights, and whether a second provider agrees: requests small enough to
be sent often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from operators.chain.calls import block_call, in_batches
from operators.chain.faults import ProviderFault
from operators.chain.pool import ProviderPool
from operators.chain.provider import Json, Provider
from operators.chain.values import quantity

_BATCH = 64
"""Headers in one HTTP request."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block, and the hash of the chain's block at the height of the caller's tip (None: it has none)."""

    number: int
    block_hash: str
    at_tip: str | None


def head(provider: Provider, tip: int | None) -> Head:
    """The head and, in the same request, the hash at height `tip`. Raises ProviderFault."""
    calls = [block_call("latest", full=False)]
    if tip is not None:
        calls.append(block_call(tip, full=False))
    latest, *at_tip = provider.batch(calls)
    if latest is None:
        raise ProviderFault(f"{provider.name}: there is no latest block")
    return Head(_number(latest), _hash(latest), next((_hash(block) for block in at_tip if block is not None), None))


def hashes(provider: Provider, numbers: Sequence[int]) -> dict[int, str]:
    """Height to hash; heights the chain does not have are left out. Raises ProviderFault."""
    blocks = in_batches(provider, [block_call(number, full=False) for number in numbers], _BATCH)
    return {_number(block): _hash(block) for block in blocks if block is not None}


def disputed(pool: ProviderPool, number: int, block_hash: str) -> bool:
    """Whether a second provider, where one answers, has another block or none at this height."""
    second = pool.second(pool.current())
    if second is None:
        return False
    try:
        block = second.batch([block_call(number, full=False)])[0]
    except ProviderFault:
        return False  # no answer is no objection: a pool of one provider could never confirm either
    return block is None or _hash(block) != block_hash


def _number(block: Json) -> int:
    try:
        return quantity(block["number"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProviderFault("a block without a height") from error


def _hash(block: Json) -> str:
    value = block.get("hash") if isinstance(block, dict) else None
    if not isinstance(value, str):
        raise ProviderFault("a block without a hash")
    return value.lower()
