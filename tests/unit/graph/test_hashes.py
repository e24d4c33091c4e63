"""What makes two definitions the same: the same rows, not the same text."""

from dataclasses import replace

import pytest

from tests.unit.graph.doubles import OPERATORS, Config, assembled, derived, operator, source
from traceplane.graph.hashing import schema_hash
from traceplane_sdk.operator import Column, ColumnType, OutputSchema, Storage

BASE = (source("s"), derived("a", "s"), derived("b", "a"), derived("other", "s"))


def hashes(*jobs, operators=OPERATORS):
    found = assembled(*jobs, operators=operators)
    return {job.name: job.config_hash for job in found.jobs}


def changed(job, **fields):
    """Names of jobs whose config_hash differs once `job` of BASE has other fields."""
    now = hashes(*(j | fields if j["name"] == job else j for j in BASE))
    before = hashes(*BASE)
    return {name for name in before if before[name] != now[name]}


@pytest.mark.parametrize(
    "fields",
    [
        {"config": {"rowSize": 11}},
        {"config": {"extraField": "x"}},
        {"executionStrategy": "PerUpdate"},
        {"updateStrategy": "Append", "uniqueKey": ["key"]},
        {"scopeColumn": "id"},
        {"rebuildToken": "again"},
        {"inputs": [{"from": {"job": "other", "output": "out"}}]},
        {
            "inputs": [
                {"from": {"job": "s", "output": "out"}},
                {"from": {"job": "other", "output": "out"}, "trigger": False},
            ]
        },
    ],
    ids=str,
)
def test_what_decides_the_rows_rebuilds_the_job_and_all_behind_it(fields):
    assert changed("a", **fields) == {"a", "b"}


@pytest.mark.parametrize(
    "fields",
    [
        {"config": {"batchSize": 100}},
        {"config": {"rowSize": 10}},
        {"runtime": "Dispatcher"},
        {"scaling": {"maxWorkers": 9}},
        {"timeoutSeconds": 5},
        {"maxAttempts": 9},
        {"heartbeatTimeoutSeconds": 5},
        {"priority": "Bulk"},
        {"idleTimeout": "never"},
        {"resources": {"limits": {"cpu": 4}}},
        {"nodeSelector": {"disk": "fast"}},
        {"tolerations": [{"key": "spot", "operator": "Exists"}]},
        {"paused": True},
    ],
    ids=str,
)
def test_how_a_job_runs_rebuilds_nothing(fields):
    assert changed("a", **fields) == set()


def test_an_input_that_no_longer_triggers_is_another_generation():
    def reading(trigger):
        edges = [
            {"from": {"job": "s", "output": "out"}},
            {"from": {"job": "other", "output": "out"}, "trigger": trigger},
        ]
        return hashes(BASE[0], derived("other", "s"), derived("a") | {"inputs": edges})["a"]

    assert reading(True) != reading(False)


def test_an_output_more_is_other_rows():
    assert changed("a", outputs=["out", "more"]) == {"a", "b"}


def test_a_raised_output_revision_rebuilds_and_makes_a_new_version():
    raised = OPERATORS | {"derive": operator("derive", output_revision=2)}
    assert {n for n, h in hashes(*BASE).items() if h != hashes(*BASE, operators=raised)[n]} == {"a", "b", "other"}
    assert assembled(*BASE).spec_hash != assembled(*BASE, operators=raised).spec_hash


def test_a_field_that_an_operator_gains_rebuilds_nothing():
    class Richer(Config):
        gained: int = 5

    richer = OPERATORS | {"derive": operator("derive", config_model=Richer)}
    assert hashes(*BASE) == hashes(*BASE, operators=richer)


def test_the_spec_hash_covers_what_the_config_hash_does_not():
    base = assembled(*BASE).spec_hash
    jobs = [j | {"timeoutSeconds": 5} if j["name"] == "a" else j for j in BASE]
    publish = [{"asset": "things", "from": {"job": "a", "output": "out"}}]
    assert len({base, assembled(*jobs).spec_hash, assembled(*BASE, publish=publish).spec_hash}) == 3


def test_to_pause_is_no_new_version():
    paused = [j | {"paused": True} if j["name"] == "a" else j for j in BASE]
    assert assembled(*paused).spec_hash == assembled(*BASE).spec_hash
    assert assembled(*paused).job("a").paused


def test_the_same_graph_written_otherwise_has_the_same_hash():
    base = assembled(*BASE, defaults={"maxAttempts": 5})
    moved = assembled(*(j | ({} if j["name"] == "s" else {"maxAttempts": 5}) for j in reversed(BASE)))
    explicit = assembled(*BASE, defaults={"maxAttempts": 5, "priority": "Normal"}, rollout={"cutover": "Auto"})
    assert base.spec_hash == moved.spec_hash == explicit.spec_hash


SCHEMA = OutputSchema(
    Storage.POSTGRES, (Column("id", ColumnType.INT64), Column("key", ColumnType.TEXT)), ("id",), "id", ("id",)
)


@pytest.mark.parametrize(
    "other",
    [
        replace(SCHEMA, storage=Storage.S3),
        replace(SCHEMA, columns=SCHEMA.columns[::-1]),
        replace(SCHEMA, columns=(*SCHEMA.columns, Column("more", ColumnType.HEX))),
        replace(SCHEMA, columns=(SCHEMA.columns[0], Column("key", ColumnType.TEXT, nullable=True))),
        replace(SCHEMA, unique_key=("key",)),
        replace(SCHEMA, scope_column="key"),
        replace(SCHEMA, sort_by=("key",)),
    ],
)
def test_a_table_that_looks_different_has_another_schema_hash(other):
    assert schema_hash(other) != schema_hash(SCHEMA)


def test_marks_and_indexes_are_no_other_table():
    marked = replace(
        SCHEMA, columns=(SCHEMA.columns[0], Column("key", ColumnType.TEXT, pii=True)), indexes=(("key",),)
    )
    assert schema_hash(marked) == schema_hash(SCHEMA)
