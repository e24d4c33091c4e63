"""Assembling a graph: effective values, joining Jobs, publications, and every problem at once."""

import time

import pytest

from tests.unit.graph.doubles import OPERATORS, assembled, dag, derived, job_object, operator, problems, source
from traceplane import graph
from traceplane.kinds import Asset


def test_jobs_stand_after_what_they_read():
    found = assembled(derived("a", "b"), derived("b", "c"), source("c"))
    assert [job.name for job in found.jobs] == ["c", "b", "a"]
    assert found.job("a").inputs == (graph.GraphInput(0, "b", "out", True),)


def test_every_problem_is_told_at_once():
    told = problems(
        source("a", operator="folow"),
        derived("b", "x", config={"rowSize": "many", "surprise": 1}),
        derived("c", "a", updateStrategy="Append"),
        source("d", timeoutSeconds=5),
        publish=[{"asset": "things", "from": {"job": "a", "output": "output"}}],
    )
    assert told == {
        "spec.jobs[0].operator": "UnknownOperator",
        "spec.jobs[1].inputs[0].from.job": "UnknownJob",
        "spec.jobs[1].config.rowSize": "InvalidConfig",
        "spec.jobs[1].config.surprise": "InvalidConfig",
        "spec.jobs[2].uniqueKey": "Required",
        "spec.jobs[3].timeoutSeconds": "Forbidden",
        "spec.publish[0].from.output": "UnknownOutput",
    }


def test_an_operators_refusal_keeps_its_field():
    assert problems(source("a", config={"rowSize": 13})) == {"spec.jobs[0].config.rowSize": "InvalidConfig"}


def test_a_job_takes_its_own_value_then_the_dags_then_the_platforms():
    found = assembled(
        source("s"),
        derived("own", "s", maxAttempts=7, priority="Bulk", timeoutSeconds=9),
        derived("plain", "s"),
        derived("inside", "s", runtime="Dispatcher"),
        defaults={"maxAttempts": 5},
    )
    own, plain, inside, at_source = (found.job(name) for name in ("own", "plain", "inside", "s"))
    assert (own.max_attempts, own.priority, own.timeout_seconds) == (7, 1, 9)
    assert (plain.max_attempts, plain.priority, plain.timeout_seconds) == (5, 0, 1800)
    assert (plain.min_workers, plain.max_workers, plain.idle_timeout_seconds) == (0, 1, 300)
    assert (inside.timeout_seconds, inside.max_workers) == (300, 0)
    assert (at_source.max_attempts, at_source.timeout_seconds, at_source.max_workers) == (None, None, 0)
    assert plain.heartbeat_timeout_seconds == 120


@pytest.mark.parametrize(
    ("written", "seconds"), [("0", 0), ("0s", 0), ("never", None), ("90s", 90), ("1d2h", 93600)]
)
def test_idle_timeout_is_seconds_or_for_ever(written, seconds):
    assert assembled(source("s"), derived("a", "s", idleTimeout=written)).job("a").idle_timeout_seconds == seconds


def test_placement_has_the_platforms_resources_where_the_job_gives_none():
    job = assembled(source("s"), derived("a", "s", resources={"limits": {"memory": "4Gi", "cpu": 2}})).job("a")
    assert job.placement.json()["resources"] == {
        "requests": {"cpu": "100m", "memory": "256Mi"},
        "limits": {"cpu": "2", "memory": "4Gi"},
    }


def test_a_job_object_joins_the_graph_under_its_own_name():
    joining = job_object("totals-of-mine", derived("x", "s"), namespace="default")
    found = graph.assemble(dag(source("s")), [joining], [], OPERATORS)
    assert isinstance(found, graph.Graph)
    assert found.job("totals-of-mine").declared_by == "totals-of-mine"
    assert found.job("s").declared_by is None


def test_only_hand_written_jobs_of_this_dag_and_namespace_join():
    owner = {"apiVersion": "trace.dev/v1alpha1", "kind": "DAG", "name": "d", "uid": "1"}
    strangers = [
        job_object("projected", derived("x", "s"), ownerReferences=[owner]),
        job_object("of-another", derived("x", "s"), of="other"),
        job_object("elsewhere", derived("x", "s"), namespace="elsewhere"),
    ]
    found = graph.assemble(dag(source("s")), strangers, [], OPERATORS)
    assert isinstance(found, graph.Graph)
    assert [job.name for job in found.jobs] == ["s"]


def test_problems_of_a_job_object_name_it():
    joining = job_object("mine", derived("x", "nobody"))
    told = graph.assemble(dag(source("s")), [joining], [], OPERATORS)
    assert [(p.source, p.path) for p in told] == [("Job/mine", "spec.inputs[0].from.job")]


def test_a_job_object_may_not_take_a_name_of_the_dag():
    told = graph.assemble(dag(source("s")), [job_object("s", derived("x", "s"))], [], OPERATORS)
    assert [(p.source, p.path, p.code) for p in told] == [("Job/s", "metadata.name", "Duplicate")]


def test_what_was_written_is_kept_for_the_projected_job():
    job = assembled(source("s"), derived("a", "s", idleTimeout="5m")).job("a")
    again = graph.parse("Job", {"metadata": {"name": "d-a"}, "spec": dict(job.manifest)})
    assert not isinstance(again, list), again
    assert (again.job_name, again.spec.dag, again.spec.idle_timeout) == ("a", "d", "5m")
    assert "paused" not in job.manifest


def test_a_jobs_key_and_scope_column_take_the_place_of_the_operators():
    job = assembled(source("s", updateStrategy="Append", uniqueKey=["key"])).job("s")
    assert job.outputs[0].schema.unique_key == ("key",)
    assert assembled(source("s")).job("s").outputs[0].schema.unique_key == ("id",)


def test_a_key_column_that_may_be_null_is_refused():
    told = problems(source("s", updateStrategy="Append", uniqueKey=["note"]))
    assert told == {"spec.jobs[0].uniqueKey[0]": "Invalid"}


def test_an_asset_that_says_another_storage_keeps_the_dag_from_publishing_under_its_name():
    asset = graph.parse("Asset", {"metadata": {"name": "things"}, "spec": {"storage": "S3"}})
    assert isinstance(asset, Asset)
    publish = [{"asset": "things", "from": {"job": "s", "output": "out"}}]
    told = graph.assemble(dag(source("s"), publish=publish), [], [asset], OPERATORS)
    assert [(p.path, p.code) for p in told] == [("spec.publish[0].asset", "Invalid")]


def test_rpc_pools_come_from_the_operator():
    pooled = operator("follow", source=True, rpc_pools=lambda config: (f"pool-{config.row_size}",))
    found = assembled(source("s", config={"rowSize": 3}), operators={"follow": pooled})
    assert found.job("s").rpc_pools == ("pool-3",)


def test_an_operator_that_declares_other_outputs_is_told_off_by_name():
    odd = operator("follow", source=True, declare_outputs=lambda config, inputs, outputs: {})
    assert problems(source("s"), operators={"follow": odd}) == {"spec.jobs[0].outputs": "Invalid"}


def test_an_operator_that_fails_is_a_problem_of_its_job():
    def fails(config, inputs, outputs):
        raise KeyError("blocks")

    failing = operator("follow", source=True, declare_outputs=fails)
    assert problems(source("s"), operators={"follow": failing}) == {"spec.jobs[0].operator": "OperatorFailed"}


def test_problems_are_in_the_order_of_the_manifest():
    told = graph.assemble(
        dag(*(derived(f"j{n}", "nobody", idleTimeout="5m", runtime="Dispatcher") for n in range(12))),
        [],
        [],
        OPERATORS,
    )
    indexes = [int(p.path.split("[")[1].split("]")[0]) for p in told]
    assert indexes == sorted(indexes)
    assert len(told) == 24


def test_one_mistake_upstream_is_told_once():
    told = problems(source("s", config={"rowSize": 13}), derived("a", "s"), derived("b", "a"))
    assert list(told) == ["spec.jobs[0].config.rowSize"]


def test_more_than_two_hundred_problems_are_not_listed():
    told = graph.assemble(dag(*(derived(f"j{n}", "nobody") for n in range(5000))), [], [], OPERATORS)
    assert len(told) == 201
    assert told[-1].code == "TooMany"


def test_five_thousand_jobs_in_a_row_are_assembled_in_seconds():
    jobs = [source("j0"), *(derived(f"j{n}", f"j{n - 1}") for n in range(1, 5000))]
    before = time.process_time()
    found = assembled(*reversed(jobs))
    assert time.process_time() - before < 20
    assert [job.name for job in found.jobs] == [f"j{n}" for n in range(5000)]


def test_a_cycle_through_five_thousand_jobs_is_found_in_seconds():
    jobs = [derived(f"j{n}", f"j{(n - 1) % 5000}") for n in range(5000)]
    before = time.process_time()
    told = graph.assemble(dag(*jobs), [], [], OPERATORS)
    assert time.process_time() - before < 20
    assert [p.code for p in told] == ["Cycle"]
    assert "more ..." in told[0].message
