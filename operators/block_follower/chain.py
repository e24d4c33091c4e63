"""What the follower asks about the chain as a whole: its head, and hashes of single heights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from operators.block_follower.fetch import Fetcher, block_call
from operators.block_follower.rpc import Json, Provider, ProviderFault, Providers


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block, and what the chain now has at the height of our tip (None: nothing, or not asked)."""

    number: int
    block_hash: str
    at_tip: str | None


class Chain:
    """Questions small enough to be asked often."""

    def __init__(self, fetcher: Fetcher, providers: Providers) -> None:
        self._fetcher = fetcher
        self._providers = providers

    def head(self, tip: int | None) -> Head:
        """The head, and the hash at height `tip`, in one request."""

        def question(provider: Provider) -> Head:
            calls = [block_call("latest", full=False)]
            if tip is not None:
                calls.append(block_call(tip, full=False))
            answers = provider.batch(calls)
            if answers[0] is None:
                raise ProviderFault(f"{provider.name}: there is no latest block")
            at_tip = _hash(answers[1]) if tip is not None and answers[1] is not None else None
            return Head(_number(answers[0]), _hash(answers[0]), at_tip)

        return self._fetcher.ask(question)

    def hashes(self, numbers: Iterable[int]) -> dict[int, str]:
        """Height to hash; heights the chain does not have are left out."""
        wanted = list(numbers)

        def question(provider: Provider) -> dict[int, str]:
            answers: list[Json] = []
            for low in range(0, len(wanted), 64):
                answers += provider.batch([block_call(number, full=False) for number in wanted[low : low + 64]])
            return {_number(block): _hash(block) for block in answers if block is not None}

        return self._fetcher.ask(question)

    def disputed(self, number: int, block_hash: str) -> bool:
        """Whether a second provider, where one answers, has another block or none at this height."""
        first = self._providers.current()
        second = self._providers.second(first)
        if second is None:
            return False
        try:
            block = second.batch([block_call(number, full=False)])[0]
        except ProviderFault:
            return False
        return block is None or _hash(block) != block_hash

    def turn_away(self) -> None:
        """Ask another provider from now on."""
        self._providers.rotate(self._providers.current())


def _number(block: Json) -> int:
    try:
        return int(block["number"], 16)
    except (KeyError, TypeError, ValueError) as error:
        raise ProviderFault("a block without a height") from error


def _hash(block: Json) -> str:
    value = block.get("hash") if isinstance(block, dict) else None
    if not isinstance(value, str):
        raise ProviderFault("a block without a hash")
    return value.lower()
