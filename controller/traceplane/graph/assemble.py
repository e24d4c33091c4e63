"""From resources to a graph, or to the list of everything that is wrong with them.

The steps go from what a resource says alone to what only the whole graph can say. A later step looks only at
what earlier ones found right, so one mistake is reported once and does not hide the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from pydantic import BaseModel

from traceplane.graph.assets import Assets
from traceplane.graph.declare import Declared, configure, declare
from traceplane.graph.model import Graph, Problem
from traceplane.graph.nodes import AssetRef, Node, gather
from traceplane.graph.resolve import graph_of
from traceplane.graph.statements import Checker, trusting
from traceplane.graph.statements import problems as statement_problems
from traceplane.graph.wiring import cycle_problems, cycles, references, resolve, topological, upstream
from traceplane.kinds import DAG, Asset, Job
from traceplane.kinds.rules import INVALID, REQUIRED
from traceplane_sdk.operator import Operator

MAX_PROBLEMS = 200
"""More are not listed: a person with two hundred to mend does not need the next one yet."""
TOO_MANY = "TooMany"
NO_ASSETS = Assets()
"""Nothing of other DAGs may be read."""


def assemble(
    dag: DAG,
    jobs: Sequence[Job],
    assets: Sequence[Asset],
    operators: Mapping[str, Operator],
    checker: Checker = trusting,
    read: Assets = NO_ASSETS,
) -> Graph | list[Problem]:
    """The graph of `dag`, the hand-written ones of `jobs` that name it, the Assets it publishes and those that are
    federated over them.

    Jobs of other DAGs or namespaces and projected ones are ignored. Problems are sorted by object and field.
    `checker` says what is wrong with a statement in a config; it may raise Unavailable. `read` are the assets of
    other DAGs that jobs of this one read.
    """
    nodes, problems = gather(dag, jobs)
    return assemble_nodes(dag, nodes, problems, assets, operators, checker, read)


def assemble_nodes(
    dag: DAG,
    nodes: Sequence[Node],
    problems: Sequence[Problem],
    assets: Sequence[Asset],
    operators: Mapping[str, Operator],
    checker: Checker = trusting,
    read: Assets = NO_ASSETS,
) -> Graph | list[Problem]:
    """As `assemble`, given the nodes and what is known to be wrong with them."""
    by_name = {node.name: node for node in nodes}
    edges = {name: upstream(node, by_name, read) for name, node in by_name.items()}
    order = topological(edges)
    declared, refusals = _declare(by_name, order, operators, read)
    found = [
        *problems,
        *_bounded(
            _no_jobs(dag, nodes),
            references(by_name, read),
            cycle_problems(by_name, cycles(edges, order), read),
            refusals,
            _preview(dag, by_name, declared),
            _publications(dag, by_name, declared, assets),
            statement_problems(dag, by_name, declared, assets, checker),
        ),
    ]
    if found:
        return _listed(found)
    return graph_of(dag, by_name, declared)


def _no_jobs(dag: DAG, nodes: Sequence[Node]) -> Iterator[Problem]:
    if not nodes:
        yield Problem(dag.source, "spec.jobs", REQUIRED, "a DAG needs a job, here or as a Job with this spec.dag")


def _preview(dag: DAG, nodes: Mapping[str, Node], declared: Mapping[str, Declared]) -> Iterator[Problem]:
    """A sample range that ends before anything begins would show nothing."""
    firsts = {
        name: [output.schema.first_value for output in job.outputs]
        for name, job in declared.items()
        if nodes[name].template.activation == "Source"
    }
    begins = [first for values in firsts.values() for first in values]
    known = [first for first in begins if first is not None]
    preview = dag.spec.rollout.preview
    if preview is not None and known and len(known) == len(begins) and preview.range.end < min(known):
        name = next(name for name, values in firsts.items() if min(known) in values)
        message = f"lies before {min(known)}, where source {name} begins; choose a range that reaches past it"
        yield Problem(dag.source, "spec.rollout.preview.range.end", INVALID, message)


def _declare(
    nodes: Mapping[str, Node], order: Sequence[str], operators: Mapping[str, Operator], read: Assets
) -> tuple[dict[str, Declared], list[Problem]]:
    """What every operator declares, upstream first; of a job behind a refused one only the config is checked."""
    declared: dict[str, Declared] = {}
    problems: list[Problem] = []
    for name in [*order, *sorted(set(nodes) - set(order))]:
        node = nodes[name]
        if not node.readable:
            continue
        configured = configure(node, operators)
        if isinstance(configured, list):
            problems += configured
            continue
        outcome = _with_upstream(node, configured, declared, read)
        if isinstance(outcome, Declared):
            declared[name] = outcome
        else:
            problems += outcome
    return declared, problems


def _with_upstream(
    node: Node, configured: tuple[Operator, BaseModel], declared: Mapping[str, Declared], read: Assets
) -> Declared | list[Problem]:
    """`declare`; nothing where something that the node reads is missing or refused, for that is reported there."""
    for position, _ in enumerate(node.template.inputs or ()):
        origin = node.origin(position)
        if isinstance(origin, AssetRef):
            if read.version(origin) is None:
                return []
            continue
        if origin is None or origin[0] not in declared:
            return []
        if origin[1] not in {output.name for output in declared[origin[0]].outputs}:
            return []
    return declare(node, *configured, declared, read)


def _publications(
    dag: DAG,
    nodes: Mapping[str, Node],
    declared: Mapping[str, Declared],
    assets: Sequence[Asset],
) -> Iterator[Problem]:
    policies = {asset.name: asset for asset in assets if asset.metadata.namespace == dag.metadata.namespace}
    for index, publish in enumerate(dag.spec.publish):
        path = f"spec.publish[{index}]"
        job, output = publish.from_.job, publish.from_.output
        if missing := resolve(nodes, job, output):
            part, code, message = missing
            yield Problem(dag.source, f"{path}.from.{part}", code, message)
        elif job in declared and publish.asset in policies:
            storage = next(o.schema.storage.value for o in declared[job].outputs if o.name == output)
            wanted = policies[publish.asset].spec.storage
            if wanted is not None and wanted != storage:
                message = (
                    f"Asset {publish.asset} has storage {wanted}, but {job}/{output} is in {storage}; "
                    "publish under another name, or change the Asset"
                )
                yield Problem(dag.source, f"{path}.asset", INVALID, message)


def _bounded(*sources: Iterable[Problem]) -> Iterator[Problem]:
    """At most one more than may be listed of each source, so that wording them has a bound too."""
    for source in sources:
        yield from islice(source, MAX_PROBLEMS + 1)


def _listed(problems: list[Problem]) -> list[Problem]:
    ordered = sorted(problems, key=_place)
    if len(ordered) <= MAX_PROBLEMS:
        return ordered
    last = Problem(ordered[0].source, "", TOO_MANY, f"more problems than {MAX_PROBLEMS}; the rest is not listed")
    return [*ordered[:MAX_PROBLEMS], last]


def _place(problem: Problem) -> tuple[str, list[tuple[int, str]]]:
    """Object by object, fields by name, items by number: `jobs[2]` before `jobs[10]`."""
    steps = re.split(r"[.\[\]]+", problem.path)
    return problem.source, [
        (int(step), "") if step.isdecimal() and len(step) < 10 else (-1, step) for step in steps
    ]
