"""The assembled graph: what a DAG, its Jobs and its Assets mean, with every default made explicit.

Resources are what people write; this is what the rest of Trace works with. It holds no Kubernetes object, no
optional that means "the default", and nothing that depends on when or where it was made: two equal manifests
give two equal graphs and the same hashes. Durations are seconds, names are those of the manifest, and tuples
keep the order that positions speak of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from traceplane_sdk.columns import ColumnType
from traceplane_sdk.operator import Column, OutputSchema
from traceplane_sdk.where import Where

PRIORITIES: Mapping[str, int] = {"Normal": 0, "Bulk": 1}
"""Order of claiming: a lower number first; Bulk is shed first."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One reason why manifests are refused.

    `path` is the field (`spec.jobs[2].inputs[0].from.job`), `code` a stable CamelCase word, `message` says what
    is wrong and what would be right. `source` is `Kind/name` of the object that has the field.
    """

    source: str
    path: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.path}: {self.message} [{self.code}]"


@dataclass(frozen=True, slots=True)
class AssetVersion:
    """What another DAG publishes under an asset now: the dataset version that its readers are tied to.

    As an input, one of the DAG's own namespace has an empty `namespace`: a manifest need not say where it lies.
    """

    namespace: str
    asset: str
    dag: str
    job: str
    output: str
    dataset_id: str
    version_id: str
    location: str
    schema: OutputSchema
    made_from: frozenset[str] = frozenset()
    """Jobs of the DAG that asks, whose outputs this one is made from."""

    @property
    def title(self) -> str:
        """`namespace/asset`, or the asset alone."""
        return f"{self.namespace}/{self.asset}" if self.namespace else self.asset


@dataclass(frozen=True, slots=True)
class GraphInput:
    """An edge: output `output` of job `job` of the same DAG, read by the job that holds this at `position`.

    Where `asset` is given, job and output are those of the DAG that publishes it.
    """

    position: int
    job: str
    output: str
    trigger: bool
    where: Where = field(default_factory=dict)
    """Of its rows those that the job reads; canonical."""
    asset: AssetVersion | None = None

    @property
    def own(self) -> tuple[str, str] | None:
        """The output of this DAG that is read; None for what another one publishes."""
        return (self.job, self.output) if self.asset is None else None


@dataclass(frozen=True, slots=True)
class GraphOutput:
    """One output and its schema. `schema_hash` covers what a table or file of it looks like."""

    name: str
    schema: OutputSchema
    schema_hash: str

    @property
    def columns(self) -> list[dict[str, Any]]:
        """The columns as JSON: `[{"name", "type", "nullable", "pii", "description"}]`."""
        return [
            {
                "name": c.name,
                "type": c.type.value,
                "nullable": c.nullable,
                "pii": c.pii,
                "description": c.description,
            }
            for c in self.schema.columns
        ]


def columns_of(stored: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns of a schema, of what `GraphOutput.columns` made of them. Those stored by releases that knew no
    descriptions have none."""
    return tuple(
        Column(one["name"], ColumnType(one["type"]), one["nullable"], one["pii"], one.get("description") or "")
        for one in stored
    )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and with how much a worker pod runs; empty values leave it to the cluster's defaults."""

    resources: Mapping[str, Mapping[str, str]]
    """`{"requests": {"cpu": "100m", ...}, "limits": {...}}`, always both."""
    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, Any], ...]
    service_account_name: str | None = None
    pod: Mapping[str, Any] = field(default_factory=dict)
    """The job's `pod`, as it was written."""

    def json(self) -> dict[str, Any]:
        """The pod template's own spelling: `resources`, `nodeSelector`, `tolerations`, and more where it is set."""
        always = {
            "resources": {k: dict(v) for k, v in self.resources.items()},
            "nodeSelector": dict(self.node_selector),
            "tolerations": [dict(t) for t in self.tolerations],
        }
        # Left out where empty: a field that the platform gained changes no hash of those who do not use it.
        more = {"serviceAccountName": self.service_account_name, "pod": dict(self.pod)}
        return always | {key: value for key, value in more.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphJob:
    """One node, resolved against the DAG's defaults and its operator."""

    # What decides its output: all of this is under `config_hash`.
    name: str
    config_hash: str
    operator: str
    activation: str
    """Source | Reactive"""
    execution_strategy: str | None
    """PerUpdate | PerPartition; None for a source."""
    update_strategy: str
    """Append | Replace"""
    config: Mapping[str, Any]
    """As the operator's model validated it: JSON values, the manifest's spelling, defaults explicit."""
    unique_key: tuple[str, ...]
    """The job's `uniqueKey`; empty where it gave none (outputs then keep the operator's own key)."""
    scope_column: str | None
    """The job's `scopeColumn`; None where it gave none (outputs then keep the operator's own)."""
    rebuild_token: str | None
    inputs: tuple[GraphInput, ...]
    outputs: tuple[GraphOutput, ...]

    # What does not: carried by the DAG version, changed without a new generation.
    source_kind: str | None
    """AlwaysOn for a source; None for a reactive job."""
    runtime: str
    """Pod | Dispatcher"""
    priority: int
    """0 Normal, 1 Bulk."""
    max_attempts: int | None
    """None for a source: it is restarted for ever."""
    timeout_seconds: int | None
    """None for a source: its run has no end."""
    heartbeat_timeout_seconds: int
    max_concurrency: int | None
    min_workers: int
    max_workers: int
    idle_timeout_seconds: int | None
    """0 leaves at once, None stays."""
    placement: Placement
    paused: bool
    rpc_pools: tuple[str, ...]
    """rpcPools that its pods may reach: the operator reads them out of its config."""
    declared_by: str | None
    """Name of the hand-written Job object; None for a job inline in the DAG."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """The job as it was written (a Job's `spec`, with `name`), for the projected Job object."""

    @property
    def definition(self) -> dict[str, Any]:
        """The immutable definition stored with the job generation (JSON); `where`, `assets` by position, if any."""
        where = {str(i.position): i.where for i in self.inputs if i.where}
        assets = {str(i.position): [i.asset.title, i.asset.version_id] for i in self.inputs if i.asset}
        return (
            ({"where": where} if where else {})
            | ({"assets": assets} if assets else {})
            | {
                "operator": self.operator,
                "config": dict(self.config),
                "unique_key": list(self.unique_key),
                "scope_column": self.scope_column,
                "outputs": [output.name for output in self.outputs],
                "outputs_schema": {output.name: output.columns for output in self.outputs},
            }
        )


@dataclass(frozen=True, slots=True)
class Publication:
    """Output `output` of job `job` is published as asset `asset`."""

    asset: str
    job: str
    output: str


@dataclass(frozen=True, slots=True)
class Graph:
    """One DAG version. `jobs` are in topological order: a job stands after everything it reads."""

    namespace: str
    dag: str
    spec_hash: str
    """Of the canonical spec; equal manifests have equal hashes."""
    spec: Mapping[str, Any]
    """The canonical spec (JSON): effective values, jobs by name."""
    jobs: tuple[GraphJob, ...]
    publications: tuple[Publication, ...]
    cutover: str = "Auto"
    preview: tuple[int, int] | None = None
    """Both ends, inclusive, of what is built of a staged version for now. No part of the spec's hash."""
    written_hash: str = ""
    """Of the canonical spec without the versions of other DAGs' assets: what a person wrote. Where it reads none,
    `spec_hash`."""

    def job(self, name: str) -> GraphJob:
        """The job of that name. KeyError where there is none."""
        for job in self.jobs:
            if job.name == name:
                return job
        raise KeyError(name)
