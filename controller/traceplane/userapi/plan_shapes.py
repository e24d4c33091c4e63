"""What a plan is asked with and made from: the shapes of the routes that `tracectl plan` calls."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec


class PlanJob(msgspec.Struct, forbid_unknown_fields=True):
    """A job of a definition, by the hash of what decides its output."""

    name: Annotated[str, msgspec.Meta(max_length=63)]
    config_hash: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class PreviewRange(msgspec.Struct, forbid_unknown_fields=True):
    """Both ends are inclusive."""

    start: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
    end: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class PlanRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A definition that somebody is about to apply. `written_hash` leaves out the versions of assets of other DAGs,
    which are what it `reads`; `preview` is the range that it is built over at first."""

    spec_hash: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    written_hash: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    jobs: Annotated[list[PlanJob], msgspec.Meta(max_length=2000)]
    reads: Annotated[list[UUID], msgspec.Meta(max_length=2000)] = []
    preview: PreviewRange | None = None


class Generation(msgspec.Struct):
    """A job generation. `built`: a version that was active once holds it."""

    id: UUID
    name: str
    config_hash: str
    operator: str
    activation: str
    execution_strategy: str | None
    update_strategy: str
    definition: dict[str, Any]
    active: bool
    staged: bool
    built: bool


class OutputSize(msgspec.Struct):
    """An output of a running job: partitions `announced` to who reads it, how far it is, what is in cold files."""

    version: UUID
    job: str
    output: str
    tasks: int
    announced: int
    position: int | None
    partitions: int
    rows: int
    bytes: int


class Reader(msgspec.Struct):
    """A job of another DAG that reads `output` of `job` as `asset`."""

    job: str
    output: str
    namespace: str
    dag: str
    reader: str
    asset: str


class PlanFacts(msgspec.Struct):
    """What is built of a definition, and what runs. `version` is the one that it had before, if any; `purged`: the
    data of that one is gone."""

    active_version: str | None
    active_spec_hash: str | None
    staged_version: str | None
    held: bool
    version: str | None
    purged: bool
    generations: list[Generation]
    sizes: list[OutputSize]
    readers: list[Reader]


class AssetName(msgspec.Struct, forbid_unknown_fields=True):
    """An asset that a DAG reads. An empty `namespace` is the DAG's own."""

    namespace: Annotated[str, msgspec.Meta(max_length=63)]
    asset: Annotated[str, msgspec.Meta(max_length=128)]


class InputsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Assets of other DAGs that a definition reads."""

    assets: Annotated[list[AssetName], msgspec.Meta(max_length=2000)]


class InputAsset(msgspec.Struct):
    """An asset as a DAG finds it that wants to read it: where nobody publishes it, or it is not `allowed`, its name
    alone. `made_from`: jobs of that DAG."""

    namespace: str
    asset: str
    dag: str | None
    job: str | None
    output: str | None
    dataset_id: UUID | None
    version_id: UUID | None
    storage: str | None
    location: str | None
    columns: list[dict[str, Any]] | None
    unique_key: list[str] | None
    scope_column: str | None
    sort_by: list[str] | None
    finality_depth: int | None
    first_value: int | None
    sparse: bool | None
    unverified: list[str] | None
    allowed: bool
    federation: dict[str, str] | None
    made_from: list[str]


class Inputs(msgspec.Struct):
    """The assets that were asked for, by a DAG of `namespace`."""

    namespace: str
    items: list[InputAsset]
