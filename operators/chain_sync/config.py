"""What a user may set on a sync: which blocks of which chain, in what ranges, how many of them at a time."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
Blocks = Annotated[int, Field(ge=1, le=1_000_000)]


class ChainSyncConfig(BaseModel):
    """Config of `chain_sync`; written in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    chain_id: int = Field(
        ge=1, lt=2**63, description="EIP-155 chain id; a provider of another chain is never read."
    )
    rpc_pool: DnsLabel = Field(description="Named set of provider URLs.")
    start_block: int = Field(0, ge=0, lt=2**53, description="First block.")
    target_block: int | None = Field(
        None, ge=0, lt=2**53, description="Last block; without it the sync follows the head."
    )
    lag_blocks: int = Field(
        64, ge=0, le=1_000_000, description="How many blocks behind the head may still be replaced by a reorg."
    )
    chunk_blocks: Blocks = Field(1000, description="Blocks in one range.")
    chunk_blocks_of: dict[str, Blocks] = Field(
        {}, max_length=64, description="The same for single outputs, such as {traces: 100}."
    )
    max_in_flight: int = Field(8, ge=1, le=1000, description="Ranges of one output that are being worked off.")
    poll_seconds: float = Field(
        5.0, ge=0.05, le=600, description="How often the head and what is done are looked at."
    )

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.target_block is not None and self.target_block < self.start_block:
            raise ValueError(f"targetBlock: lies before startBlock, {self.start_block}")
        return self

    def chunk(self, output: str) -> int:
        """Blocks in a range of this output."""
        return self.chunk_blocks_of.get(output, self.chunk_blocks)


NEUTRAL = frozenset({"rpcPool", "lagBlocks", "maxInFlight", "pollSeconds"})
"""In the spelling of the YAML. None decides which ranges there are, only when each is emitted."""
