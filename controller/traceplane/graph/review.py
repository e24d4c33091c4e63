"""Everything that is wrong with a set of manifests, without a cluster.

The set is taken for the whole world: a Job's DAG, a federation's two assets must be in it. Where that cannot be
known (a Job whose DAG is in another repository), only what the Job says alone is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from traceplane.graph.assemble import assemble_nodes
from traceplane.graph.assets import Assets, Found, may_not_read
from traceplane.graph.declare import configure
from traceplane.graph.model import AssetVersion, Graph, Problem
from traceplane.graph.nodes import AssetRef, Node, asset_refs, gather, joins
from traceplane.graph.parse import parse, unknown_kind
from traceplane.graph.policy import check_asset, check_bundle, check_federation
from traceplane.graph.salvage import Salvaged, is_inside, job_names, salvage, stand_in
from traceplane.graph.statements import Checker, alone, trusting
from traceplane.graph.wiring import topological
from traceplane.kinds import DAG, Asset, Bundle, Job
from traceplane.kinds.rules import DUPLICATE, violations
from traceplane_sdk.operator import Operator, OutputSchema

LookUp = Callable[[DAG, Collection[AssetRef]], Found]
"""What is known of assets that a DAG reads of others."""
NOT_DEPLOYED = "not deployed: "
"""What the id of a dataset version begins with that nobody has made yet."""


@dataclass(frozen=True, slots=True)
class Review:
    """`problems` by the index of the document they are in; `graphs` of the DAGs that are right."""

    problems: Mapping[int, Sequence[Problem]]
    graphs: tuple[Graph, ...]


@dataclass
class _Set:
    dags: dict[int, Salvaged] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    assets: dict[int, Asset] = field(default_factory=dict)
    bundles: dict[int, Bundle] = field(default_factory=dict)
    found: dict[int, list[Problem]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    """Names of Job objects whose shape is wrong: an edge to one is not another mistake."""

    def add(self, index: int, problems: Iterable[Problem]) -> None:
        """Note `problems` of document `index`."""
        self.found.setdefault(index, []).extend(problems)


def review(
    documents: Sequence[Mapping[str, Any]],
    operators: Mapping[str, Operator],
    checker: Checker = trusting,
    look_up: LookUp | None = None,
) -> Review:
    """Every problem of `documents`, taken together; `checker` as for `assemble`.

    `look_up` knows assets of all other DAGs; without it nothing is said of one that no DAG of the set publishes.
    """
    manifests = _read(documents)
    graphs = tuple(_dags(manifests, operators, checker, look_up))
    published = _published(graphs)
    for index, job in manifests.jobs.items():
        if not any(joins(job, rest.dag) for rest in manifests.dags.values()):
            manifests.add(index, _alone(job, operators, checker))
    for index, asset in manifests.assets.items():
        manifests.add(index, check_asset(asset))
        if not manifests.found[index] and len(graphs) == len(manifests.dags):
            manifests.add(index, check_federation(asset, published.get(asset.metadata.namespace, {})))
    for index, bundle in manifests.bundles.items():
        manifests.add(index, check_bundle(bundle))
    return Review({index: problems for index, problems in sorted(manifests.found.items()) if problems}, graphs)


def _read(documents: Sequence[Mapping[str, Any]]) -> _Set:
    manifests = _Set()
    named: dict[tuple[str, str, str], int] = {}
    for index, document in enumerate(documents):
        if (problem := unknown_kind(document)) is not None:
            manifests.add(index, [problem])
            continue
        resource = parse(str(document["kind"]), document)
        if isinstance(resource, list):
            manifests.add(index, resource)
            if document["kind"] == "Job":
                manifests.unread |= job_names(document)
            rest = salvage(document, resource) if document["kind"] == "DAG" else None
            if rest is not None:
                manifests.dags[index] = rest
            continue
        key = (str(document["kind"]), resource.metadata.namespace, resource.name)
        if named.setdefault(key, index) != index:
            message = f"{resource.source} is already document {named[key] + 1} of this set; one of them is lost"
            manifests.add(index, [Problem(resource.source, "metadata.name", DUPLICATE, message)])
        elif isinstance(resource, DAG):
            manifests.dags[index] = Salvaged(resource)
        elif isinstance(resource, Job):
            manifests.jobs[index] = resource
        elif isinstance(resource, Asset):
            manifests.assets[index] = resource
        elif isinstance(resource, Bundle):
            manifests.bundles[index] = resource
    return manifests


def _dags(
    manifests: _Set, operators: Mapping[str, Operator], checker: Checker, look_up: LookUp | None
) -> Iterator[Graph]:
    """Note the problems of every DAG; the graphs of those that have none. A DAG comes after those of the set whose
    assets it reads."""
    assets, jobs = list(manifests.assets.values()), list(manifests.jobs.values())
    producers: dict[tuple[str, str], str] = {}
    second = {index: list(_second_producers(rest.dag, producers)) for index, rest in manifests.dags.items()}
    gathered = {index: gather(rest.dag, jobs, rest.jobs) for index, rest in manifests.dags.items()}
    published: dict[AssetRef, AssetVersion] = {}
    for index in _readers_last(manifests, gathered):
        rest, (nodes, problems) = manifests.dags[index], gathered[index]
        known = {node.name for node in nodes}
        unread = [Node(name, stand_in(name), "", "", readable=False) for name in manifests.unread - known]
        refs = asset_refs(nodes)
        looked_up = look_up(rest.dag, refs) if refs and look_up is not None else {}
        found = _found(rest.dag, published, looked_up, assets)
        read = Assets(found, complete=look_up is not None)
        outcome = assemble_nodes(rest.dag, [*nodes, *unread], problems, assets, operators, checker, read)
        # Jobs that read an unreadable one are missing in the graph: then it is not what will be deployed.
        whole = isinstance(outcome, Graph) and len(outcome.jobs) == len(nodes)
        if isinstance(outcome, Graph) and whole and not manifests.found.get(index):
            yield outcome
            published |= dict(_versions(outcome))
        wrong = outcome if isinstance(outcome, list) else []
        for problem in [*wrong, *second[index]]:
            if not any(is_inside(problem.path, path) for path in rest.paths):
                manifests.add(_document_of(problem, index, manifests), [problem])


def _found(dag: DAG, published: Found, looked_up: Found, assets: Iterable[Asset]) -> Found:
    """What is known of assets that a DAG reads: what is deployed, or else what the set publishes. Who may read
    it an Asset of the set says, since it will be applied as well."""
    found = {**published, **looked_up}
    namespace = dag.metadata.namespace
    for asset in assets:
        ref = AssetRef(asset.metadata.namespace, asset.name)
        # What names no namespace may be applied in any: whether they are two nobody knows.
        named = all("namespace" in one.metadata.model_fields_set for one in (dag, asset))
        if not named or ref.namespace == namespace:
            continue
        if not {namespace, "*"} & set(asset.spec.read_namespaces):
            found[ref] = may_not_read(ref, namespace)
        elif isinstance(looked_up.get(ref), str) and ref in published:
            found[ref] = published[ref]
    return found


def _readers_last(manifests: _Set, gathered: Mapping[int, tuple[list[Node], list[Problem]]]) -> list[int]:
    """The DAGs, each after those whose assets it reads. Those that read each other come in the set's order."""
    publishes = {
        AssetRef(rest.dag.metadata.namespace, entry.asset): index
        for index, rest in manifests.dags.items()
        for entry in rest.dag.spec.publish
    }
    reads = {
        index: [publishes[ref] for ref in asset_refs(nodes) if publishes.get(ref, index) != index]
        for index, (nodes, _) in gathered.items()
    }
    order = topological(reads)
    return [*order, *(index for index in gathered if index not in order)]


def _versions(graph: Graph) -> Iterator[tuple[AssetRef, AssetVersion]]:
    """What other DAGs read of a graph that is not deployed yet: its ids stand for those that it will have."""
    for publication in graph.publications:
        job = graph.job(publication.job)
        output = next(one for one in job.outputs if one.name == publication.output)
        version = AssetVersion(
            namespace=graph.namespace,
            asset=publication.asset,
            dag=graph.dag,
            job=job.name,
            output=output.name,
            dataset_id="",
            version_id=f"{NOT_DEPLOYED}{graph.dag}/{job.name}/{output.name}/{job.config_hash}",
            location="",
            schema=output.schema,
        )
        yield AssetRef(graph.namespace, publication.asset), version


def _second_producers(dag: DAG, producers: dict[tuple[str, str], str]) -> Iterator[Problem]:
    for position, publish in enumerate(dag.spec.publish):
        other = producers.setdefault((dag.metadata.namespace, publish.asset), dag.source)
        if other != dag.source:
            path, message = f"spec.publish[{position}].asset", f"{publish.asset!r} is published by {other} already"
            yield Problem(dag.source, path, DUPLICATE, message)


def _document_of(problem: Problem, dag: int, manifests: _Set) -> int:
    return next((index for index, job in manifests.jobs.items() if job.source == problem.source), dag)


def _alone(job: Job, operators: Mapping[str, Operator], checker: Checker) -> Iterator[Problem]:
    for violation in violations(job):
        yield Problem(job.source, violation.path, violation.code, violation.message)
    node = Node(job.job_name, job.spec, job.source, "spec", job.name)
    configured = configure(node, operators)
    if isinstance(configured, list):
        yield from configured
    else:
        yield from alone(job.metadata.namespace, node, *configured, checker)


def _published(graphs: Iterable[Graph]) -> dict[str, dict[str, OutputSchema]]:
    """Schema of every published asset by namespace and name."""
    found: dict[str, dict[str, OutputSchema]] = {}
    for graph in graphs:
        jobs = {job.name: job for job in graph.jobs}
        for publication in graph.publications:
            schema = next(o.schema for o in jobs[publication.job].outputs if o.name == publication.output)
            found.setdefault(graph.namespace, {})[publication.asset] = schema
    return found
