"""Operators that declare and never run, for tests of pure decisions, and short ways to write manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from traceplane import graph
from traceplane.kinds import DAG, Job
from traceplane_sdk.operator import (
    Column,
    ColumnType,
    InputSchema,
    Operator,
    OperatorRefusal,
    OutputSchema,
    Storage,
)


class Config(BaseModel):
    """A field that decides rows, one that does not, and one of each kind with a default."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    row_size: int = 10
    batch_size: int = 1
    extra_field: str = ""


def _declare(config: Config, inputs: Sequence[InputSchema], outputs: Sequence[str]) -> Mapping[str, OutputSchema]:
    if config.row_size == 13:
        raise OperatorRefusal("config.rowSize", "thirteen is unlucky")
    schema = OutputSchema(
        storage=Storage.POSTGRES,
        columns=(
            Column("id", ColumnType.INT64),
            Column("key", ColumnType.TEXT),
            Column("note", ColumnType.TEXT, nullable=True),
            *inputs[0].schema.columns[3:4],
        ),
        unique_key=("id",),
        scope_column="id",
        sort_by=("id",),
        finality_depth=config.row_size,
    )
    return dict.fromkeys(outputs, schema)


def _source(config: Config, inputs: Sequence[InputSchema], outputs: Sequence[str]) -> Mapping[str, OutputSchema]:
    empty = InputSchema("", OutputSchema(Storage.POSTGRES, (), (), "id", ()), trigger=True)
    return _declare(config, inputs or [empty], outputs)


def declare_cold(
    config: Config, inputs: Sequence[InputSchema], outputs: Sequence[str]
) -> Mapping[str, OutputSchema]:
    """What `derive` declares, with outputs called `cold...` in object storage, and all where none is called so."""
    hot = _declare(config, inputs, outputs)
    marked = [name for name in outputs if name.startswith("cold")] or outputs
    return {
        name: replace(schema, storage=Storage.S3, finality_depth=None) if name in marked else schema
        for name, schema in hot.items()
    }


def operator(name: str, *, source: bool = False, **changes: Any) -> Operator:
    """An operator that anything reactive (or any source) may use."""
    given = {
        "name": name,
        "output_revision": 1,
        "summary": "A double",
        "config_model": Config,
        "activations": frozenset({"Source" if source else "Reactive"}),
        "runtimes": frozenset({"Pod", "Dispatcher"}),
        "execution_strategies": frozenset() if source else frozenset({"PerUpdate", "PerPartition"}),
        "update_strategies": frozenset({"Append", "Replace"}),
        "declare_outputs": _source if source else _declare,
        "entrypoint": "nowhere:run",
        "neutral_config": frozenset({"batchSize"}),
    }
    return Operator(**(given | changes))


OPERATORS = {"follow": operator("follow", source=True), "derive": operator("derive")}


def source(name: str, **fields: Any) -> dict[str, Any]:
    """A source job with output `out`."""
    job = {
        "name": name,
        "activation": "Source",
        "runtime": "Pod",
        "operator": "follow",
        "source": {"kind": "AlwaysOn"},
        "outputs": ["out"],
        "updateStrategy": "Replace",
    }
    return job | fields


def derived(name: str, *reads: str, **fields: Any) -> dict[str, Any]:
    """A reactive job with output `out` that reads `out` of other jobs."""
    job = {
        "name": name,
        "activation": "Reactive",
        "runtime": "Pod",
        "operator": "derive",
        "inputs": [{"from": {"job": read, "output": "out"}} for read in reads],
        "executionStrategy": "PerPartition",
        "outputs": ["out"],
        "updateStrategy": "Replace",
    }
    return job | fields


def dag(*jobs: dict[str, Any], **spec: Any) -> DAG:
    """A DAG called `d` of these jobs."""
    parsed = graph.parse("DAG", {"metadata": {"name": "d"}, "spec": {"jobs": list(jobs), **spec}})
    assert isinstance(parsed, DAG), parsed
    return parsed


def job_object(name: str, job: dict[str, Any], of: str = "d", **metadata: Any) -> Job:
    """A Job object that joins DAG `of`."""
    spec = {key: value for key, value in job.items() if key != "name"} | {"dag": of}
    parsed = graph.parse("Job", {"metadata": {"name": name, **metadata}, "spec": spec})
    assert isinstance(parsed, Job), parsed
    return parsed


def assembled(*jobs: dict[str, Any], operators: Mapping[str, Operator] = OPERATORS, **spec: Any) -> graph.Graph:
    """The graph of right jobs."""
    outcome = graph.assemble(dag(*jobs, **spec), [], [], operators)
    assert isinstance(outcome, graph.Graph), outcome
    return outcome


def problems(*jobs: dict[str, Any], operators: Mapping[str, Operator] = OPERATORS, **spec: Any) -> dict[str, str]:
    """Path to code of everything wrong with jobs."""
    outcome = graph.assemble(dag(*jobs, **spec), [], [], operators)
    assert isinstance(outcome, list), "the graph is right"
    return {problem.path: problem.code for problem in outcome}
