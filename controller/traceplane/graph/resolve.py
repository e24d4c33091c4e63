"""Effective values: what a job says, else what its DAG's defaults say, else what the platform says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traceplane.graph.declare import Declared
from traceplane.graph.hashing import digest
from traceplane.graph.model import PRIORITIES, Graph, GraphInput, GraphJob, GraphOutput, Placement, Publication
from traceplane.graph.nodes import Node
from traceplane.graph.quantities import effective
from traceplane.kinds import DAG
from traceplane.kinds.dag import Defaults
from traceplane.kinds.fields import idle_seconds
from traceplane.kinds.job import JobTemplate

TIMEOUT_SECONDS = {"Pod": 1800, "Dispatcher": 300}
"""Longest attempt by runtime: a dispatcher's own work shares its process, so it must be shorter."""
IDLE_TIMEOUT = "5m"


def graph_of(dag: DAG, nodes: Mapping[str, Node], declared: Mapping[str, Declared]) -> Graph:
    """The graph of nodes that are all declared; `declared` is in topological order."""
    jobs = tuple(_job(dag, nodes[name], of) for name, of in declared.items())
    publications = tuple(
        Publication(p.asset, p.from_.job, p.from_.output) for p in sorted(dag.spec.publish, key=lambda p: p.asset)
    )
    spec: dict[str, Any] = {
        "rollout": {"cutover": dag.spec.rollout.cutover},
        "jobs": [_canonical(job) for job in sorted(jobs, key=lambda job: job.name)],
        "publish": [{"asset": p.asset, "job": p.job, "output": p.output} for p in publications],
    }
    reads_assets = any(edge.asset for job in jobs for edge in job.inputs)
    if reads_assets:
        # They follow from those of the inputs, which another DAG may change without a version of what it publishes.
        spec["marks"] = digest([[job.name, o.name, *_marks(o)] for job in jobs for o in job.outputs])
    spec_hash = digest(spec)
    return Graph(
        namespace=dag.metadata.namespace,
        dag=dag.name,
        spec_hash=spec_hash,
        written_hash=digest(_written(spec)) if reads_assets else spec_hash,
        spec=spec,
        jobs=jobs,
        publications=publications,
        cutover=dag.spec.rollout.cutover,
        preview=(preview.range.start, preview.range.end) if (preview := dag.spec.rollout.preview) else None,
    )


def _marks(output: GraphOutput) -> tuple[Any, ...]:
    """What is said of an output beyond what its place and its rows depend on (`versions.rows.marks`)."""
    schema = output.schema
    return output.columns, schema.finality_depth, schema.first_value, schema.sparse, list(schema.unverified)


def _written(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical spec without what follows from other DAGs' assets: their versions and their marks."""
    jobs = [
        {key: value for key, value in job.items() if key != "configHash"}
        | {"inputs": [{key: value for key, value in edge.items() if key != "version"} for edge in job["inputs"]]}
        for job in spec["jobs"]
    ]
    return {key: value for key, value in spec.items() if key != "marks"} | {"jobs": jobs}


def _job(dag: DAG, node: Node, declared: Declared) -> GraphJob:
    job, defaults = node.template, dag.spec.defaults
    is_source = job.activation == "Source"
    scaling = job.scaling
    min_workers = (scaling.min_workers if scaling else None) or 0
    max_workers = (scaling.max_workers if scaling else None) or 1
    return GraphJob(
        name=node.name,
        config_hash=declared.config_hash,
        operator=declared.operator.name,
        activation=job.activation,
        execution_strategy=job.execution_strategy,
        update_strategy=job.update_strategy,
        config=declared.config.model_dump(mode="json", by_alias=True),
        unique_key=tuple(job.unique_key or ()),
        scope_column=job.scope_column,
        rebuild_token=job.rebuild_token,
        inputs=declared.inputs,
        outputs=declared.outputs,
        source_kind=job.source.kind if job.source else None,
        runtime=job.runtime,
        max_attempts=None if is_source else job.max_attempts or defaults.max_attempts,
        timeout_seconds=None if is_source else job.timeout_seconds or TIMEOUT_SECONDS[job.runtime],
        max_concurrency=scaling.max_concurrency if scaling else None,
        min_workers=min_workers if job.runtime == "Pod" and not is_source else 0,
        max_workers=max_workers if job.runtime == "Pod" and not is_source else 0,
        idle_timeout_seconds=idle_seconds(job.idle_timeout or IDLE_TIMEOUT),
        placement=_placement(node),
        paused=job.paused,
        rpc_pools=tuple(declared.operator.rpc_pools(declared.config)),
        declared_by=node.declared_by,
        manifest=node.manifest(dag.name),
        **_queue(job, defaults),
    )


def _queue(job: JobTemplate, defaults: Defaults) -> dict[str, Any]:
    """The values that a DAG's defaults may set."""
    return {
        "priority": PRIORITIES[job.priority or defaults.priority],
        "heartbeat_timeout_seconds": job.heartbeat_timeout_seconds or defaults.heartbeat_timeout_seconds,
    }


def _placement(node: Node) -> Placement:
    job = node.template
    if job.runtime != "Pod":
        return Placement({"requests": {}, "limits": {}}, {}, ())
    requests, limits = effective(node)
    resources = {"requests": requests, "limits": limits}
    tolerations = tuple(t.model_dump(mode="json", by_alias=True, exclude_none=True) for t in job.tolerations or ())
    pod = job.pod.model_dump(mode="json", by_alias=True, exclude_none=True) if job.pod else {}
    return Placement(resources, dict(job.node_selector or {}), tolerations, job.service_account_name, pod)


def _canonical(job: GraphJob) -> dict[str, Any]:
    """The job in the DAG version's spec: everything effective, whatever the author or the order.

    `paused` is not in it: to pause is no new version.
    """
    canonical = {
        "name": job.name,
        "configHash": job.config_hash,
        "operator": job.operator,
        "activation": job.activation,
        "runtime": job.runtime,
        "source": job.source_kind,
        "executionStrategy": job.execution_strategy,
        "updateStrategy": job.update_strategy,
        "config": job.config,
        "uniqueKey": list(job.unique_key),
        "scopeColumn": job.scope_column,
        "rebuildToken": job.rebuild_token,
        "inputs": [
            _origin(i) | {"trigger": i.trigger} | ({"where": i.where} if i.where else {}) for i in job.inputs
        ],
        "outputs": [output.name for output in job.outputs],
        "priority": job.priority,
        "maxAttempts": job.max_attempts,
        "timeoutSeconds": job.timeout_seconds,
        "heartbeatTimeoutSeconds": job.heartbeat_timeout_seconds,
        "maxConcurrency": job.max_concurrency,
        "minWorkers": job.min_workers,
        "maxWorkers": job.max_workers,
        "idleTimeoutSeconds": job.idle_timeout_seconds,
        "placement": job.placement.json(),
    }
    # "never" is the one None that means something; any other is left out, so that a field the platform
    # gains does not change the hash of those who do not use it.
    return {key: value for key, value in canonical.items() if value is not None or key == "idleTimeoutSeconds"}


def _origin(edge: GraphInput) -> dict[str, Any]:
    if edge.asset is None:
        return {"job": edge.job, "output": edge.output}
    return {"asset": edge.asset.title, "version": edge.asset.version_id}
