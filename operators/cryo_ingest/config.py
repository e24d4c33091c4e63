"""What a user may set on an extraction: which dataset of which chain, of what, and how gently.

All that cryo would refuse is refused here: a run that fails for its config would fail for each partition.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from operators.cryo_ingest.datasets import DATASETS, Dataset

DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
# Hex and nothing else: cryo takes another text for the name of a file to read values from.
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$"), AfterValidator(str.lower)]
Word = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{64}$"), AfterValidator(str.lower)]
Data = Annotated[str, Field(pattern=r"^0x([0-9a-fA-F]{2})+$", max_length=65_536), AfterValidator(str.lower)]
_CAMEL = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)
_QUOTED = 66
_Value = TypeVar("_Value", bound=str)


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    # cryo would extract its rows twice, which are refused, or kept where rows have no key.
    if twice := next((value for value, count in Counter(values).items() if count > 1), None):
        raise ValueError(f"names {twice[:_QUOTED]} twice: remove one")
    return values


_Many = Annotated[tuple[_Value, ...], Field(max_length=1000), AfterValidator(_each_once)]


class Parameters(BaseModel):
    """What to extract: of several values of one parameter, rows of each; of several parameters, rows of all."""

    model_config = _CAMEL

    address: _Many[Address] = ()
    contract: _Many[Address] = ()
    from_address: _Many[Address] = ()
    to_address: _Many[Address] = ()
    topic0: _Many[Word] = ()
    topic1: _Many[Word] = ()
    topic2: _Many[Word] = ()
    topic3: _Many[Word] = ()
    slot: _Many[Word] = ()
    call_data: _Many[Data] = ()
    js_tracer: str | None = Field(None, min_length=1, max_length=65_536, description="JavaScript for the node.")

    def given(self) -> dict[str, list[str] | str]:
        """What is set, by cryo's names."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value if isinstance(value, str) else list(value) for name, value in values.items() if value}


class CryoIngestConfig(BaseModel):
    """Config of `cryo_ingest`; written in camelCase."""

    model_config = _CAMEL

    chain_id: int = Field(
        ge=1, lt=2**63, description="EIP-155 chain id; a provider of another chain is never read."
    )
    rpc_pool: DnsLabel = Field(description="Named set of provider URLs.")
    dataset: str = Field(description="Dataset of cryo, such as blocks, transactions, logs or traces.")
    columns: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Columns to extract; unset: cryo's default ones. Those that rows are sorted by always are.",
    )
    parameters: Parameters = Field(Parameters(), description="What to extract, where the dataset takes parameters.")
    chunk_blocks: int = Field(100, ge=1, le=100_000, description="Blocks held in memory at once.")
    concurrency: int = Field(16, ge=1, le=1000, description="Requests in flight.")
    requests_per_second: int | None = Field(
        None, ge=1, le=100_000, description="Most requests in a second; unlimited where unset."
    )
    timeout_seconds: float = Field(1500.0, gt=0, le=86_400, description="Longest run of cryo for one partition.")

    @property
    def known(self) -> Dataset:
        """The dataset's columns and parameters."""
        return DATASETS[self.dataset]

    @model_validator(mode="after")
    def _cryo_takes_it(self) -> Self:
        if self.dataset not in DATASETS:
            raise ValueError(f"dataset: cryo has no {self.dataset!r}; it has {', '.join(sorted(DATASETS))}")
        named = self.columns or ()
        if unknown := sorted(set(named) - set(self.known.all)):
            raise ValueError(
                f"columns: {self.dataset} has no {', '.join(unknown)}; it has {', '.join(self.known.all)}"
            )
        if len(set(named)) != len(named):
            raise ValueError("columns: names a column twice")
        given = self.parameters.given()
        if missing := [to_camel(name) for name in self.known.needs if name not in given]:
            raise ValueError(f"parameters: {self.dataset} needs {', '.join(missing)}")
        takes = {*self.known.needs, *self.known.takes}
        if others := [to_camel(name) for name in given if name not in takes]:
            known = ", ".join(map(to_camel, sorted(takes))) or "none"
            raise ValueError(f"parameters: {self.dataset} takes no {', '.join(others)}; it takes {known}")
        return self


NEUTRAL = frozenset({"rpcPool", "columns", "chunkBlocks", "concurrency", "requestsPerSecond", "timeoutSeconds"})
"""In the spelling of the YAML. Which columns there are counts as part of the output's schema."""
