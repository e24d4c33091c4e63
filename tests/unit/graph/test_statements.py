"""Which statements are checked, over what, and what becomes of the check."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.graph.doubles import OPERATORS, dag, derived, operator, source
from traceplane import graph
from traceplane.errors import Unavailable
from traceplane.graph import Fault, JobStatement
from traceplane.kinds import Asset
from traceplane_sdk.operator import OutputSchema, Statement, Storage

OUTPUT = OutputSchema(Storage.S3, (), (), "id", ())
SQL = operator(
    "sql", statement=lambda config: Statement("config.extraField", config.extra_field, (), OUTPUT, "config.columns")
)
INSTALLED = {**OPERATORS, "sql": SQL}
PUBLISHED = [
    {"asset": "near", "from": {"job": "a", "output": "out"}},
    {"asset": "far", "from": {"job": "b", "output": "out"}},
]


def selecting(name: str, *reads: str, sql: str = "SELECT 1") -> dict[str, object]:
    return derived(name, *reads, operator="sql", config={"extraField": sql})


def federated(name: str, hot: str, cold: str, namespace: str = "default") -> Asset:
    spec = {"storage": "Federated", "federation": {"hot": hot, "cold": cold, "column": "id"}}
    parsed = graph.parse("Asset", {"metadata": {"name": name, "namespace": namespace}, "spec": spec})
    assert isinstance(parsed, Asset), parsed
    return parsed


def test_a_statement_is_checked_over_its_inputs_under_all_their_names() -> None:
    asked: list[JobStatement] = []
    jobs = (source("a"), derived("b", "a"), source("x"), selecting("c", "a", "b"), selecting("d", "a"))
    made = dag(*jobs, publish=PUBLISHED)
    assets = [federated("both", "near", "far", made.metadata.namespace), federated("other", "near", "elsewhere")]
    assert isinstance(graph.assemble(made, [], assets, INSTALLED, lambda one: asked.append(one)), graph.Graph)
    whole, half = sorted(asked, key=lambda one: -len(one.relations or ()))
    assert [(one.job, one.output, one.assets) for one in whole.relations or ()] == [
        ("a", "out", ("near",)),
        ("b", "out", ("far",)),
    ]
    assert whole.federated == {"both": (("a", "out"), ("b", "out"))}
    assert [one.job for one in half.relations or ()] == ["a"]
    assert half.federated == {}


def test_a_fault_is_a_problem_at_its_field_beside_all_others() -> None:
    def checker(_asked: JobStatement) -> Fault:
        return Fault("config.columns[1]", "ColumnMissing", "no such column")

    told = graph.assemble(
        dag(source("a", operator="folow"), source("x"), selecting("c", "x")), [], [], INSTALLED, checker
    )
    assert isinstance(told, list)
    assert [(problem.path, problem.code) for problem in told] == [
        ("spec.jobs[0].operator", "UnknownOperator"),
        ("spec.jobs[2].config.columns[1]", "ColumnMissing"),
    ]


@pytest.mark.parametrize(("fatal", "checked"), [(True, 1), (False, 3)])
def test_one_that_takes_too_much_is_the_last_that_is_judged(fatal: bool, checked: int) -> None:
    asked: list[JobStatement] = []
    fault = replace(Fault("config.extraField", "QueryTooComplex", "too complex"), fatal=fatal)

    def checker(one: JobStatement) -> Fault:
        asked.append(one)
        return fault

    jobs = (source("a"), *(selecting(name, "a") for name in "bcd"))
    told = graph.assemble(dag(*jobs), [], [], INSTALLED, checker)
    assert isinstance(told, list)
    assert (len(asked), len(told)) == (checked, checked)


def test_where_nothing_can_be_checked_there_is_no_graph() -> None:
    def checker(_asked: JobStatement) -> None:
        raise Unavailable("no process")

    with pytest.raises(Unavailable):
        graph.assemble(dag(source("a"), selecting("b", "a")), [], [], INSTALLED, checker)
    assert isinstance(graph.assemble(dag(source("a")), [], [], INSTALLED, checker), graph.Graph)
