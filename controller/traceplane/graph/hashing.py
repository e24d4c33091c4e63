"""What makes two definitions the same: canonical JSON and the hashes over it.

`config_hash` covers what decides a job's rows and nothing else, so that tuning (scaling, timeouts, runtime, a
new release) keeps the data while a change of meaning makes a new dataset version. Config fields at their default
are left out: an operator may gain a field without rebuilding anybody; one that changes a default's effect
raises its `output_revision`. Everything upstream is in the hash by the upstream job's own hash, and by its name
and output, because a generation is tied to the very datasets it reads. Of an asset of another DAG that is the
dataset version that its readers get.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from traceplane.graph.model import GraphInput, GraphOutput
from traceplane.kinds import JobTemplate
from traceplane_sdk.operator import Operator, OutputSchema


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces. ValueError for NaN and infinities, which JSON does not have."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, 64 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def schema_hash(schema: OutputSchema) -> str:
    """Of what a table or file with this schema looks like; marks and indexes do not change it."""
    return digest(
        {
            "storage": schema.storage.value,
            "columns": [[c.name, c.type.value, c.nullable] for c in schema.columns],
            "uniqueKey": schema.unique_key,
            "scopeColumn": schema.scope_column,
            "sortBy": schema.sort_by,
        }
    )


def config_hash(
    job: JobTemplate,
    operator: Operator,
    config: BaseModel,
    inputs: Iterable[GraphInput],
    outputs: Iterable[GraphOutput],
    upstream: Mapping[str, str],
) -> str:
    """Of everything that decides the job's rows; `upstream` is the config_hash of each job it reads, by name."""
    return digest(
        {
            "operator": operator.name,
            "outputRevision": operator.output_revision,
            "config": _meaningful(config, operator.neutral_config),
            "activation": job.activation,
            "executionStrategy": job.execution_strategy,
            "updateStrategy": job.update_strategy,
            "uniqueKey": job.unique_key,
            "scopeColumn": job.scope_column,
            "rebuildToken": job.rebuild_token,
            "outputs": [[output.name, output.schema_hash] for output in outputs],
            # Only where there is one: a field that the platform gained changes no hash of those who do not use it.
            "inputs": [[*_origin(i, upstream), *([i.where] if i.where else [])] for i in inputs],
        }
    )


def _origin(edge: GraphInput, upstream: Mapping[str, str]) -> list[Any]:
    if edge.asset is not None:
        return ["asset", edge.asset.version_id, edge.trigger]
    return [edge.job, edge.output, edge.trigger, upstream[edge.job]]


def _meaningful(config: BaseModel, neutral: frozenset[str]) -> dict[str, Any]:
    """The config without defaults and without neutral fields, which may be named either way."""
    spelling = {name: info.alias or name for name, info in type(config).model_fields.items()}
    left_out = neutral | {spelling[name] for name in neutral if name in spelling}
    dumped = config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {name: value for name, value in dumped.items() if name not in left_out}
