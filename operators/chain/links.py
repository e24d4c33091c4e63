"""From block to block: a chain is one as long as each block names the hash of the one before it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Header:
    """What linking and reporting need of a block."""

    number: int
    block_hash: str
    parent_hash: str
    time: datetime


class BrokenChain(Exception):
    """A block does not build on the one before it: the chain changed between two requests. `number`: its height."""

    def __init__(self, number: int) -> None:
        super().__init__(f"block {number} does not build on the block before it")
        self.number = number


def check_links(parent_hash: str | None, headers: Iterable[Header]) -> None:
    """Raise BrokenChain unless each builds on the one before, the first on `parent_hash` (None: unknown)."""
    for header in headers:
        if parent_hash is not None and header.parent_hash != parent_hash:
            raise BrokenChain(header.number)
        parent_hash = header.block_hash
