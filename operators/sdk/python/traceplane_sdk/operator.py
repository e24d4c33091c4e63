"""What an operator declares about itself.

The platform must know three things about an operator before it runs any of its code: whether a config is
right, which columns each output will have, and what part of the definition decides those outputs. All three
are answered by one `Operator` object, which is cheap to import: the code that does the work is named by
`entrypoint` and imported only in the process that runs it, so the controller never loads DuckDB.

Operators are found through the entry point group `traceplane.operators`; built-in ones register the same way
a third party's would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from traceplane_sdk.columns import ColumnType as ColumnType  # part of what a declaration is written with
from traceplane_sdk.where import Where


class Storage(StrEnum):
    """Where the rows of an output live."""

    POSTGRES = "Postgres"
    S3 = "S3"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an output: `name` is lower_snake_case, at most 63 bytes (Postgres's identifier limit).

    `description` says to its readers what a value is; it is no part of a hash.
    """

    name: str
    type: ColumnType
    nullable: bool = False
    pii: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """The shape of one output for one config.

    `scope_column` is the column of whole numbers that partitions, invalidations and relocations are ranges of.
    `sort_by` is the order of rows in cold files. `finality_depth` is how many values behind the cursor a row
    may still change; `first_value` is where the dataset begins. Both None where the notion does not apply.
    `unverified` names rules that hold where the rows come from but are not checked. `sparse`: a value of the scope
    column may have no row, and a writer records which (`hot.HotTransaction.record_empty`). Neither decides a row,
    so neither is part of a hash: changing them rebuilds nothing.
    """

    storage: Storage
    columns: tuple[Column, ...]
    unique_key: tuple[str, ...]
    scope_column: str
    sort_by: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    finality_depth: int | None = None
    first_value: int | None = None
    unverified: tuple[str, ...] = ()
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class InputSchema:
    """What a job's input looks like to the operator that declares outputs from it."""

    name: str
    """Output name in the upstream job."""
    schema: OutputSchema
    trigger: bool
    where: Where = field(default_factory=dict)
    """Of its rows those that the job reads."""
    execution_strategy: str | None = None
    """How the job that declares outputs reads it: PerUpdate or PerPartition."""
    foreign: bool = False
    """Another DAG publishes it: it is read, and nothing is moved out of it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A SELECT in a config, which tasks send to the query service. The platform checks it before it deploys the
    job: over the job's inputs, with `parameters` as numbers, it must give the columns of `output`."""

    field: str
    """Where it stands: a path below the job, such as `config.sql`."""
    sql: str
    parameters: tuple[str, ...]
    output: OutputSchema
    columns_field: str
    """Where the list of its columns stands, in the order of `output`."""


class OperatorRefusal(ValueError):
    """A config or a use of the operator that it refuses; `field` is a path below the job (`config.rangeSize`)."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


DeclareOutputs = Callable[[Any, Sequence[InputSchema], Sequence[str]], Mapping[str, OutputSchema]]
"""(validated config, inputs in order, output names in order) -> schema of every output; raises OperatorRefusal."""


def _no_pools(_config: Any) -> tuple[str, ...]:
    return ()


def _no_statement(_config: Any) -> Statement | None:
    return None


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator, as the platform sees it.

    `output_revision` rises when the same config would produce other rows; it is part of the job's config hash.
    `neutral_config` names config fields that never change the rows (batch sizes, concurrency), so that tuning
    them rebuilds nothing. `entrypoint` is `module:function`, called as `run(ctx: Context) -> Result`.
    """

    name: str
    output_revision: int
    summary: str
    config_model: type[BaseModel]
    activations: frozenset[str]
    """Subset of {"Source", "Reactive"}."""
    runtimes: frozenset[str]
    """Subset of {"Pod", "Dispatcher"}."""
    execution_strategies: frozenset[str]
    """Subset of {"PerUpdate", "PerPartition"}; empty for sources."""
    update_strategies: frozenset[str]
    """Subset of {"Append", "Replace"}."""
    declare_outputs: DeclareOutputs
    entrypoint: str
    neutral_config: frozenset[str] = field(default_factory=frozenset)
    rpc_pools: Callable[[Any], tuple[str, ...]] = _no_pools
    """Which rpcPools a config reads: their provider URLs are mounted into the job's pods and no others."""
    calls_per_value: int = 0
    """RPC calls that a source spends on one value of its scope column: what a plan of a rebuild reckons with."""
    statement: Callable[[Any], Statement | None] = _no_statement
    """The SELECT in a config, where there is one. It must not raise."""
    applies_where: bool = False
    """Whether it reads only the rows that the `where` of an input lets through; else no job of it may have one.
    The query service does so for whatever is asked of it, `traceplane_sdk.where` helps with the rest."""
