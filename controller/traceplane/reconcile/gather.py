"""Gathers what a decision needs: the graph of a DAG as written, and everything that is there.

Reading manifests is pure but not cheap, and most runs of a reconcile are about pods and queues, not about a new
spec. So the graph of a DAG is kept as long as no generation of anything it was made from has changed; the key
says all of it, so a kept graph is never a stale one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from traceplane import graph as graphs
from traceplane.drivers.kube import Object
from traceplane.errors import Unavailable
from traceplane.graph import AssetRef, Assets, Awaited, Checker, Found, Graph, Problem
from traceplane.reconcile import names, policies
from traceplane.reconcile.mirror import Mirror
from traceplane.reconcile.podspec import Platform
from traceplane.settings import ControllerSettings
from traceplane.store.statements.controller_facts import DagFacts
from traceplane.versions.asset_policies import Policies
from traceplane_sdk.operator import Operator, OutputSchema

Operators = Mapping[str, Operator]
LookUp = Callable[[str, Collection[AssetRef]], Awaitable[Found]]
"""What state knows of assets that a DAG, by its name, reads of others."""


@dataclass(frozen=True, slots=True)
class Written:
    """What users wrote about one DAG, read: a graph, or every reason why it is none."""

    graph: Graph | None
    problems: tuple[str, ...] = ()
    policies: Policies = field(default_factory=Policies)
    """Of the Assets that users wrote under the names it publishes."""
    unchecked: bool = False
    """Whether it could not be found out: then it is to be read again soon."""


class Manifests:
    """Reads DAGs out of the mirror."""

    def __init__(self, mirror: Mirror, operators: Operators, checker: Checker, look_up: LookUp) -> None:
        self._mirror = mirror
        self._look_up = look_up
        self._operators = operators
        self._checker = checker
        self._kept: dict[str, tuple[object, Written]] = {}

    async def read(self, dag: Object) -> Written:
        """The DAG with the hand-written Jobs that join it and the Assets that users wrote.

        On a thread: another process is asked about statements, which may take seconds over a bad one.
        """
        name = dag["metadata"]["name"]
        jobs, assets, federated = list(self._joining(name)), list(self._declared(dag)), list(self._federated(dag))
        refs = self._read_elsewhere(dag, jobs)
        found = await self._look_up(name, refs) if refs else {}
        read = Assets(found, awaited=self._awaited(dag, refs - found.keys()))
        key = [read, *(_identity(obj) for obj in (dag, *jobs, *assets, *federated))]
        kept = self._kept.get(name)
        if kept is not None and kept[0] == key:
            return kept[1]
        try:
            written = await asyncio.to_thread(self._assemble, dag, jobs, assets, federated, read)
        except Unavailable as error:
            line = f"DAG/{name}: spec: its statements could not be checked: {error.message}; tried again soon"
            return Written(None, (line,), unchecked=True)
        # What it waits for is published by others: nobody tells this DAG of the first time.
        written = replace(written, unchecked=any(read.refusal(ref) for ref in refs))
        self._kept[name] = (key, written)
        return written

    def forget(self, name: str) -> None:
        """The DAG was deleted."""
        self._kept.pop(name, None)

    def published(self) -> dict[str, OutputSchema]:
        """Schema of every published output of the graphs read so far, by asset name."""
        graphs_read = [written.graph for _, written in self._kept.values() if written.graph is not None]
        return {
            publication.asset: output.schema
            for graph in graphs_read
            for publication in graph.publications
            for output in graph.job(publication.job).outputs
            if output.name == publication.output
        }

    def beside(self, obj: Object) -> Iterator[Object]:
        """What an object of a user's is read together with: its DAG, or those it speaks of, and what belongs to
        them. An object may come several times, and `obj` itself, as it was."""
        name, spec = obj["metadata"]["name"], obj.get("spec") or {}
        dags = [obj]
        if obj["kind"] == "Job":
            dags = [dag for dag in self._mirror.all("DAG") if dag["metadata"]["name"] == spec.get("dag")]
        elif obj["kind"] == "Asset":
            spoken_of = {name, *(spec.get("federation") or {}).values()}
            dags = [dag for dag in self._mirror.all("DAG") if spoken_of & self._published(dag)]
        for dag in dags:
            yield dag
            yield from self._joining(dag["metadata"]["name"])
            yield from self._declared(dag)
            yield from self._federated(dag)

    def _joining(self, dag: str) -> Iterator[Object]:
        for job in self._mirror.all("Job"):
            deleted = job["metadata"].get("deletionTimestamp")
            if job["spec"].get("dag") == dag and not names.projected(job) and not deleted:
                yield job

    def _published(self, dag: Object) -> set[str]:
        return {str(entry.get("asset")) for entry in dag["spec"].get("publish") or []}

    def _declared(self, dag: Object) -> Iterator[Object]:
        published = self._published(dag)
        for asset in self._mirror.all("Asset"):
            if asset["metadata"]["name"] in published and not names.projected(asset):
                yield asset

    def _federated(self, dag: Object) -> Iterator[Object]:
        """Assets over two that the DAG publishes: statements of its jobs may read them."""
        published = self._published(dag)
        for asset in self._mirror.all("Asset"):
            halves = (asset.get("spec") or {}).get("federation") or {}
            if halves.get("hot") in published and halves.get("cold") in published:
                yield asset

    def _read_elsewhere(self, dag: Object, jobs: list[Object]) -> set[AssetRef]:
        """Assets of other DAGs that jobs read. Of the objects as they are: most DAGs read none, and are not parsed
        again for it."""
        namespace, published = dag["metadata"]["namespace"], self._published(dag)
        specs = [*(dag["spec"].get("jobs") or []), *(job.get("spec") or {} for job in jobs)]
        origins = [edge.get("from") or {} for spec in specs for edge in spec.get("inputs") or []]
        refs = {AssetRef(one.get("namespace") or namespace, one["asset"]) for one in origins if one.get("asset")}
        return {ref for ref in refs if ref.namespace != namespace or ref.asset not in published}

    def _awaited(self, dag: Object, missing: Collection[AssetRef]) -> dict[AssetRef, Awaited]:
        """Other DAGs of the namespace that are to publish what is missing."""
        own, namespace = self._published(dag), dag["metadata"]["namespace"]
        found: dict[AssetRef, Awaited] = {}
        for other in self._mirror.all("DAG") if missing else ():
            # None of it is the DAG's own: what it publishes it does not miss.
            publishes = {AssetRef(namespace, asset) for asset in self._published(other)} & set(missing)
            if publishes and not other["metadata"].get("deletionTimestamp"):
                name = other["metadata"]["name"]
                read = self._read_elsewhere(other, list(self._joining(name)))
                ours = sorted(ref.asset for ref in read if ref.namespace == namespace and ref.asset in own)
                found |= dict.fromkeys(publishes, Awaited(name, ours[0] if ours else ""))
        return found

    def _assemble(
        self, dag: Object, jobs: list[Object], assets: list[Object], federated: list[Object], read: Assets
    ) -> Written:
        # An Asset that is wrong by itself says so in its own status; a DAG is not held up by it.
        problems: list[Problem] = []
        parsed = graphs.parse("DAG", dag)
        nodes = []
        for job in jobs:
            node = graphs.parse("Job", job)
            problems += node if isinstance(node, list) else []
            nodes += [] if isinstance(node, list) else [node]
        readable = (graphs.parse("Asset", asset) for asset in (*assets, *federated))
        declared = [asset for asset in readable if not isinstance(asset, list)]
        if isinstance(parsed, list):
            return Written(None, _lines(parsed + problems))
        assembled = graphs.assemble(parsed, nodes, declared, self._operators, self._checker, read)
        if isinstance(assembled, list) or problems:
            return Written(None, _lines(problems + (assembled if isinstance(assembled, list) else [])))
        return Written(assembled, (), policies.of_publications(assembled, assets))


def platform(settings: ControllerSettings) -> Platform:
    """What this installation gives to worker pods."""
    return Platform(
        image=settings.worker_image,
        pull_policy=settings.worker_pull_policy,
        dispatcher_url=settings.dispatcher_url,
        query_url=settings.query_url,
        secret=settings.worker_secret,
        rpc_secret_prefix=settings.rpc_secret_prefix,
        grace_seconds=settings.worker_grace_seconds,
        s3_endpoint_url=settings.s3_endpoint_url,
        s3_region=settings.s3_region,
        heartbeat_seconds=settings.heartbeat_seconds,
        pods=settings.worker_pods,
    )


def rpc_pools(facts: DagFacts | None, operators: Operators) -> dict[str, tuple[str, ...]]:
    """By job that may run: the pools its operator says it reads with that config."""
    found: dict[str, tuple[str, ...]] = {}
    for job in facts.running_jobs if facts else ():
        operator = operators.get(job.operator)
        if operator is not None:
            found[job.shown] = operator.rpc_pools(operator.config_model.model_validate(dict(job.config)))
    return found


def _identity(obj: Object) -> tuple[object, ...]:
    return (obj["metadata"]["uid"], obj["metadata"].get("generation"))


def _lines(problems: list[Problem]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(problem) for problem in problems))
