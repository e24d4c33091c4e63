"""What a user may set on a block follower.

Fields that decide rows (`chainId`, `chain`, `startBlock`, `finality`, `finalityDepthBlocks`) are part of the job's
config hash; the rest is how fast and from where the same rows are fetched, and is neutral: tuning it rebuilds
nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from operators.chain.profiles import CUSTOM, Profile, Rule, is_known, profile_of

DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


class ChainConfig(BaseModel):
    """Which consistency rules hold on the chain."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    profile: (
        Literal[
            "Ethereum",
            "OpStack",
            "Arbitrum",
            "PolygonPos",
            "Bsc",
            "Avalanche",
            "ZkStack",
            "Filecoin",
            "Celo",
            "Custom",
        ]
        | None
    ) = Field(
        None,
        description="Kind of chain (docs/reference/chains.md). Default: guessed from chainId, else Ethereum.",
    )
    skip: tuple[Rule, ...] = Field(
        (), description="Rules that this chain breaks; with profile Custom, which has Ethereum's but these."
    )

    @model_validator(mode="after")
    def _skips_in_custom(self) -> Self:
        if self.skip and self.profile != CUSTOM:
            raise ValueError("skip: goes with profile: Custom; the other profiles name their own rules")
        return self


class BlockFollowerConfig(BaseModel):
    """Config of `block_follower`; written in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    chain_id: int = Field(
        ge=1, lt=2**63, description="EIP-155 chain id; a provider of another chain is never read."
    )
    chain: ChainConfig = Field(
        ChainConfig(), description="Which consistency rules hold; what is off is listed as unverified."
    )
    rpc_pool: DnsLabel = Field(description="Named set of provider URLs.")
    start_block: int = Field(0, ge=0, lt=2**53, description="First block of the datasets.")
    finality: Literal["Depth", "Finalized", "Safe"] = Field(
        "Depth",
        description="What is final: blocks finalityDepthBlocks behind the head, or the chain's block of that tag.",
    )
    finality_depth_blocks: int = Field(
        64, ge=1, le=1_000_000, description="How many blocks behind the head may still be replaced by a reorg."
    )
    emit_strategy: Literal["PerUpdate", "Threshold"] = Field(
        "PerUpdate", description="An event per written batch, or one each time a multiple of a threshold is passed."
    )
    emit_threshold_blocks: int = Field(100, ge=1, le=1_000_000, description="Used by emitStrategy Threshold.")
    batch_blocks: int = Field(32, ge=1, le=1000, description="Blocks fetched and written together.")
    batch_calls: int = Field(64, ge=1, le=1000, description="Most JSON-RPC calls in one HTTP request.")
    concurrency: int = Field(4, ge=1, le=64, description="HTTP requests in flight, and batches fetched ahead.")
    poll_seconds: float = Field(
        1.0, ge=0.05, le=600, description="How often the head is requested, once caught up."
    )
    request_timeout_seconds: float = Field(20.0, gt=0, le=600, description="Longest wait for one HTTP response.")
    max_response_mb: int = Field(256, ge=1, le=4096, description="Largest HTTP response that is read, in MiB.")

    @property
    def profile(self) -> Profile:
        """The rules in use."""
        return profile_of(self.chain_id, self.chain.profile, self.chain.skip)

    @property
    def rules(self) -> str:
        """Which rules those are and why, for people."""
        if self.chain.profile is not None:
            return f"chain {self.chain_id} by the rules of profile {self.profile.name}, as configured"
        if is_known(self.chain_id):
            return f"chain {self.chain_id} by the rules of profile {self.profile.name}, known by its id"
        return f"chain {self.chain_id} by Ethereum's rules, since no profile lists its id"


NEUTRAL = frozenset(
    {
        "rpcPool",
        "emitStrategy",
        "emitThresholdBlocks",
        "batchBlocks",
        "batchCalls",
        "concurrency",
        "pollSeconds",
        "requestTimeoutSeconds",
        "maxResponseMb",
    }
)
"""In the spelling of the YAML."""
