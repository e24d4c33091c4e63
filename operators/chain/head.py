"""The head of the chain and hashes of single heights: requests to one provider, small enough to be sent often.

A head counts once its provider answers for the block: `latest` may come from another node behind the same address,
or be made up, and a follower that believed it would request blocks that nobody has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from operators.chain.calls import block_call, hash_call, in_batches
from operators.chain.faults import Kind, ProviderFault
from operators.chain.provider import Json, Provider
from operators.chain.values import quantity

_BATCH = 64
"""Headers in one HTTP request."""
_DOUBLINGS = 24
"""Heights that are tried between a tip and a head that is not there: the tip and 1, 2, 4, ... blocks."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block, and the hash of the chain's block at the height of the caller's tip (None: it has none).

    `final`: the height of the block that a tag names; None where no tag was asked for, or names no block yet.
    """

    number: int
    block_hash: str
    at_tip: str | None
    final: int | None = None


def head(provider: Provider, tip: int | None, believed: int = -1, tag: str | None = None, final: int = -1) -> Head:
    """The highest block the provider answers for and, in the same request, the hash at height `tip` and the
    height of `tag` (`finalized` or `safe`).

    A head of at most `believed` is not looked at twice, nor a tag at or below `final`. Raises ProviderFault.
    """
    wanted: list[int | str] = ["latest", *([] if tip is None else [tip]), *([] if tag is None else [tag])]
    latest, *others = provider.batch([block_call(one, full=False) for one in wanted])
    tagged = None if tag is None else others.pop()
    at_tip = others[0] if others else None
    if latest is None:
        raise ProviderFault("there is no latest block", Kind.NOT_THERE_YET, provider=provider.name)
    if tagged is not None and _number(tagged) > final:
        _check_tagged(provider, tagged, str(tag))
    if _number(latest) > believed:
        latest = _there(provider, latest, -1 if tip is None else tip)
    return Head(
        _number(latest),
        _hash(latest),
        None if at_tip is None else _hash(at_tip),
        # Never beyond its head: one made-up answer would make every block to come final as well.
        None if tagged is None else min(_number(tagged), _number(latest)),
    )


def hashes(provider: Provider, numbers: Sequence[int]) -> dict[int, str]:
    """Height to hash; heights the chain does not have are left out. Raises ProviderFault."""
    blocks = in_batches(provider, [block_call(number, full=False) for number in numbers], _BATCH)
    return {_number(block): _hash(block) for block in blocks if block is not None}


def _there(provider: Provider, latest: Json, tip: int) -> Json:
    """`latest` where the provider has it also by its number, else the highest block above `tip` that it has."""
    claimed = _number(latest)
    if (again := provider.batch([block_call(claimed, full=False)])[0]) is not None and _number(again) == claimed:
        return again
    tried = sorted({tip + 2**k for k in range(_DOUBLINGS)} | {claimed - 2**k for k in range(3)}, reverse=True)
    found = hashes(provider, [number for number in tried if tip < number < claimed])
    if not found:
        words = f"it says that its head is block {claimed}, and does not have it"
        raise ProviderFault(words, Kind.NOT_THERE_YET, provider=provider.name)
    number = max(found)
    return {"number": hex(number), "hash": found[number]}


def _check_tagged(provider: Provider, tagged: Json, tag: str) -> None:
    """Raise ProviderFault unless the block that a tag names is the provider's block at that height: what is final
    stays so, and one made-up height would make a reorg above it the end of the source."""
    number, block_hash = number_and_hash(tagged)
    if hashes(provider, [number]).get(number) != block_hash:
        raise ProviderFault(
            f"it says that block {number} is {tag}, and has not that block there", provider=provider.name
        )


def number_and_hash(block: Json) -> tuple[int, str]:
    """Of a block that a provider answered with. Raises ProviderFault."""
    return _number(block), _hash(block)


def height_of(provider: Provider, block_hash: str) -> int | None:
    """The height of a block, or None where the provider does not have it. Raises ProviderFault."""
    block = provider.batch([hash_call(block_hash)])[0]
    return None if block is None else _number(block)


def require_chain(provider: Provider, chain_id: int) -> None:
    """Raise ProviderFault unless the provider serves that chain."""
    said = provider.call("eth_chainId")
    try:
        own = quantity(said)
    except (TypeError, ValueError, AttributeError):
        raise ProviderFault("its chain id is no quantity", Kind.MALFORMED) from None
    if own != chain_id:
        words = f"it serves chain {own}, not {chain_id}: correct the Secret of the rpcPool, or chainId"
        raise ProviderFault(words, Kind.WRONG_CHAIN)


def require_tag(provider: Provider, tag: str) -> None:
    """Raise ProviderFault unless the provider names a block by `tag`."""
    if provider.batch([block_call(tag, full=False)])[0] is None:
        raise ProviderFault(f"no block has the tag {tag}", Kind.NOT_THERE_YET, provider=provider.name)


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
