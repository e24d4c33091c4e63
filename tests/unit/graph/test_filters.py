"""The `where` of an input: what is refused, and what is the same."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from tests.support.wheres import made_where
from tests.unit.graph.doubles import OPERATORS, assembled, dag, derived, operator, problems, source
from traceplane import graph
from traceplane_sdk.columns import ColumnType
from traceplane_sdk.operator import Column, OutputSchema, Storage
from traceplane_sdk.where import MAX_VALUES

EVERY = OutputSchema(
    Storage.POSTGRES,
    tuple(Column(kind.value.lower(), kind) for kind in ColumnType),
    ("int64",),
    "int64",
    ("int64",),
)
TYPED = OPERATORS | {
    "follow": operator("follow", source=True, declare_outputs=lambda _c, _i, names: dict.fromkeys(names, EVERY)),
    "derive": operator("derive", applies_where=True),
}
ADDRESS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def jobs(where: Any, **more: Any) -> tuple[dict[str, Any], ...]:
    """A source of every type, a job that reads it by `where`, and one behind that."""
    edge = {"from": {"job": "s", "output": "out"}, "where": where} | more
    return source("s"), derived("a") | {"inputs": [edge]}, derived("b", "a")


def hashes(where: Any) -> tuple[str, dict[str, str]]:
    found = assembled(*jobs(where), operators=TYPED)
    return found.spec_hash, {job.name: job.config_hash for job in found.jobs}


def problem(where: Any) -> tuple[str, str, str]:
    """Path, code and message of the one thing that is wrong."""
    outcome = graph.assemble(dag(*jobs(where)), [], [], TYPED)
    assert isinstance(outcome, list), "the graph is right"
    (found,) = outcome
    return found.path, found.code, found.message


@pytest.mark.parametrize(
    ("where", "below", "code", "message"),
    [
        ({"hexx": "0x"}, ".hexx", "UnknownColumn", "s/out has no column 'hexx'; did you mean 'hex'?"),
        ({"int64": "5"}, ".int64", "WrongType", "column 'int64' is Int64: must be a whole number"),
        ({"int64": [1, "5"]}, ".int64[1]", "WrongType", "this is '5'"),
        ({"int64": [[1]]}, ".int64[0]", "WrongType", "this is a list of 1"),
        ({"int64": {"gt": 5}}, ".int64", "WrongType", "this is an object"),
        ({"hex": 5}, ".hex", "WrongType", "hex digits after 0x, in quotes"),
        ({"hex": [ADDRESS]}, ".hex[0]", "WrongType", f"in lower case, as the column is: '{ADDRESS.lower()}'"),
        ({"uint256": 2**64}, ".uint256", "WrongType", "in quotes where it is beyond 2^63-1"),
        ({"text": None}, ".text", "WrongType", "must not be null"),
        ({"text": ["a", None]}, ".text[1]", "WrongType", "must not be null"),
        ({"text": []}, ".text", "OutOfBounds", "an empty list lets no row through"),
        ({"json": {}}, ".json", "Invalid", "column 'json' is Json"),
        ({"json": None}, ".json", "Invalid", "remove the field"),
        ({"int64": list(range(MAX_VALUES + 1))}, ".int64", "OutOfBounds", f"at most {MAX_VALUES} constants"),
        ({"int32": [0] * MAX_VALUES, "text": "x"}, ".text", "OutOfBounds", f"at most {MAX_VALUES} constants"),
        ({"x y": 5}, "['x y']", "UnknownColumn", "has no column 'x y'"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_with_its_place(where: Any, below: str, code: str, message: str) -> None:
    path, found, text = problem(where)
    assert (path, found) == (f"spec.jobs[1].inputs[0].where{below}", code)
    assert message in text


def test_every_wrong_constant_is_named_at_once() -> None:
    where = {"int64": ["a", 1, "b"], "nothing": 1, "bool": "true"}
    base = "spec.jobs[1].inputs[0].where"
    found = problems(*jobs(where), operators=TYPED)
    assert set(found) == {f"{base}.int64[0]", f"{base}.int64[2]", f"{base}.nothing", f"{base}.bool"}


def test_an_operator_that_reads_whole_inputs_takes_no_where() -> None:
    whole = TYPED | {"derive": replace(TYPED["derive"], applies_where=False)}
    assert problems(*jobs({"int64": 5}), operators=whole) == {"spec.jobs[1].inputs[0].where": "NotSupported"}
    assert assembled(*jobs({}), operators=whole)


@pytest.mark.parametrize("seed", range(100))
def test_order_repeats_and_a_list_of_one_make_no_difference(seed: int) -> None:
    chance = random.Random(seed)
    where = made_where(chance)
    other = {}
    for name in chance.sample(sorted(where), len(where)):
        again = [*where[name], chance.choice(where[name])]
        chance.shuffle(again)
        other[name] = again[0] if len(set(again)) == 1 else again
    assert hashes(where) == hashes(other)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"uint256": 5}, {"uint256": "5"}),
        ({"float64": 5}, {"float64": [5.0]}),
        ({"float64": 0.0}, {"float64": -0.0}),
        ({"timestamp": "2026-01-01T00:00:00Z"}, {"timestamp": "2026-01-01T01:00:00.000+01:00"}),
    ],
)
def test_two_spellings_of_a_value_are_one(one: Any, same: Any) -> None:
    assert hashes(one) == hashes(same)


def test_another_where_rebuilds_the_job_and_all_behind_it() -> None:
    wheres: list[Any] = [{}, {"int64": 1}, {"int64": [1, 2]}, {"int32": 1}, {"int64": 1, "int32": 1}]
    seen = [hashes(where) for where in wheres]
    for name, kept in (("s", 1), ("a", len(seen)), ("b", len(seen))):
        assert len({found[name] for _, found in seen}) == kept
    assert len({spec for spec, _ in seen}) == len(seen)


def test_who_has_no_where_keeps_hash_and_definition() -> None:
    without = assembled(source("s"), derived("a", "s"), derived("b", "a"), operators=TYPED)
    assert hashes({}) == (without.spec_hash, {job.name: job.config_hash for job in without.jobs})
    assert "where" not in without.job("a").definition
    found = assembled(*jobs({"int64": [2, 1]}), operators=TYPED).job("a")
    assert found.definition["where"] == {"0": {"int64": ["1", "2"]}}
