"""The SELECTs in jobs' configs, with everything that decides whether they are right.

What they read is known here: the job's inputs, each as `<job>_<output>` and under the assets that publish it, and
the Federated assets over two of them. Whether a SELECT is right only DuckDB can say, so a checker is asked that the
process brings along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from traceplane.graph.declare import Declared, read_schema
from traceplane.graph.model import AssetVersion, Problem
from traceplane.graph.nodes import Node, Output
from traceplane.kinds import DAG, Asset
from traceplane_sdk.operator import Operator, OutputSchema, Statement
from traceplane_sdk.where import Where

INVALID_STATEMENT = "InvalidStatement"


@dataclass(frozen=True, slots=True)
class Relation:
    """A dataset that a statement may read, and the assets that publish it."""

    job: str
    output: str
    assets: tuple[str, ...]
    schema: OutputSchema
    where: Where = field(default_factory=dict)
    """Of its rows those that the statement sees."""
    asset: AssetVersion | None = None
    """Where it is published by another DAG."""


@dataclass(frozen=True, slots=True)
class JobStatement:
    """A statement to check. `federated` maps a Federated asset to its hot and its cold output. Without `relations`
    it is not known what it reads."""

    namespace: str
    statement: Statement
    relations: tuple[Relation, ...] | None = None
    federated: Mapping[str, tuple[Output, Output]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a statement: a field below the job, a code, a message with place and remedy."""

    field: str
    code: str
    message: str
    fatal: bool = False
    """Whether it took so much to check that no other statement of the DAG is checked now."""


Checker = Callable[[JobStatement], Fault | None]
"""Raises Unavailable where nothing can be checked now."""


def trusting(_statement: JobStatement) -> Fault | None:
    """The checker of a process that has none: a wrong statement is found when it runs."""
    return None


def problems(
    dag: DAG, nodes: Mapping[str, Node], declared: Mapping[str, Declared], assets: Sequence[Asset], checker: Checker
) -> Iterator[Problem]:
    """What `checker` says of each statement of the declared jobs."""
    published: dict[Output, list[str]] = {}
    for entry in dag.spec.publish:
        published.setdefault((entry.from_.job, entry.from_.output), []).append(entry.asset)
    federated = dict(_federated(dag, published, assets))
    for name, job in declared.items():
        statement = job.operator.statement(job.config)
        if statement is None:
            continue
        read = tuple(
            Relation(
                i.job,
                i.output,
                (i.asset.asset,) if i.asset else tuple(published.get((i.job, i.output), ())),
                read_schema(i, declared),
                i.where,
                i.asset,
            )
            for i in job.inputs
        )
        inputs = {i.own for i in job.inputs if i.own}
        both = {asset: halves for asset, halves in federated.items() if inputs.issuperset(halves)}
        fault = checker(JobStatement(dag.metadata.namespace, statement, read, both))
        if fault is not None:
            yield nodes[name].problem(fault.field, fault.code, fault.message)
            if fault.fatal:
                return


def alone(namespace: str, node: Node, operator: Operator, config: BaseModel, checker: Checker) -> Iterator[Problem]:
    """What `checker` says of the statement of a job whose DAG is not known."""
    statement = operator.statement(config)
    fault = checker(JobStatement(namespace, statement)) if statement is not None else None
    if fault is not None:
        yield node.problem(fault.field, fault.code, fault.message)


def _federated(
    dag: DAG, published: Mapping[Output, Sequence[str]], assets: Sequence[Asset]
) -> Iterator[tuple[str, tuple[Output, Output]]]:
    outputs = {asset: output for output, names in published.items() for asset in names}
    for asset in assets:
        halves = asset.spec.federation
        if halves is None or asset.metadata.namespace != dag.metadata.namespace:
            continue
        if halves.hot in outputs and halves.cold in outputs:
            yield asset.name, (outputs[halves.hot], outputs[halves.cold])
