"""Conditions, counts and failures: what a person reads."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.reconcile.builders import (
    NOW,
    UNSCHEDULABLE,
    ago,
    chain,
    dag,
    evicted,
    facts,
    failed,
    job,
    observed,
    pod,
    projected_jobs,
    source,
    staged,
    waiting,
)
from traceplane.reconcile import conditions, status
from traceplane.reconcile.actions import Input, Status
from traceplane.reconcile.decide import decide


def shown(i: Input, refused: dict[str, str] | None = None) -> dict[str, Status]:
    found = status.statuses(i, decide(i), refused or {})
    return {s.live["metadata"]["name"]: s for s in found}


def condition(found: Status, kind: str) -> tuple[str, str]:
    entry = conditions.find(found.status, kind)
    assert entry is not None
    return entry["status"], entry["reason"]


def message(found: Status, kind: str) -> str:
    entry = conditions.find(found.status, kind)
    assert entry is not None
    return str(entry["message"])


def test_the_dag_is_told_after_its_jobs() -> None:
    assert [s.resource.kind for s in status.statuses(observed(), decide(observed()), {})][-2:] == ["Job", "DAG"]


def test_a_running_dag_says_so() -> None:
    found = shown(observed())
    assert {kind: condition(found["chain"], kind) for kind in ("Valid", "Staged", "Ready", "Degraded")} == {
        "Valid": ("True", "Accepted"),
        "Staged": ("False", "NothingStaged"),
        "Ready": ("True", "Running"),
        "Degraded": ("False", "AsExpected"),
    }
    told = found["chain"].status
    assert (told["jobs"], told["jobsReady"], told["observedGeneration"]) == (3, 3, 1)
    assert condition(found["chain.follow"], "Ready") == ("True", "Running")


READY = [
    pytest.param({"facts": facts(job(provisioned=False))}, "Provisioning", id="no tables yet"),
    pytest.param({"deployments": (source({}),)}, "SourceStarting", id="source not up"),
    pytest.param({"graph": None, "problems": ("DAG/chain: spec: wrong",)}, "Invalid", id="invalid"),
    pytest.param(staged(), "Rebuilding", id="rebuilding"),
    pytest.param(staged(dead=2), "RebuildFailed", id="rebuild failed"),
    pytest.param({"facts": facts(active_spec_hash="o", held_spec_hash=chain().spec_hash)}, "RolledBack", id="held"),
    pytest.param({"facts": None}, "NotDeployed", id="not deployed"),
]


@pytest.mark.parametrize(("changes", "reason"), READY)
def test_why_a_dag_is_not_ready(changes: dict[str, Any], reason: str) -> None:
    assert condition(shown(observed(**changes))["chain"], "Ready") == ("False", reason)


def reported(healthy: bool, message: str) -> dict[str, Any]:
    return {"healthy": healthy, "message": message, "position": 7, "head": 9}


def dying(name: str = "follow", **counts: int) -> Any:
    error = {"code": "WrongChain", "message": "chain id 5"}
    return job(name, last_failure={"task": "t", "attempt": 1, "error": error, "time": None}, **counts)


def test_a_source_that_says_it_does_not_get_on_makes_its_dag_unready_in_its_own_words() -> None:
    source = job("follow", report=reported(False, "provider 0: HTTP 401: not authorised"))
    found = shown(observed(facts=facts(source)))
    assert condition(found["chain.follow"], "Ready") == ("False", "SourceStalled")
    assert condition(found["chain"], "Ready") == ("False", "SourceStalled")
    assert message(found["chain"], "Ready") == "follow: provider 0: HTTP 401: not authorised"
    assert condition(found["chain"], "Degraded") == ("False", "AsExpected")


WELL = [{"report": reported(True, "following")}, {"report": None}, {"report": reported(False, ""), "paused": True}]


@pytest.mark.parametrize("changes", WELL)
def test_a_source_that_gets_on_or_is_paused_or_says_nothing_is_ready(changes: dict[str, Any]) -> None:
    assert condition(shown(observed(facts=facts(job("follow", **changes))))["chain"], "Ready")[0] == "True"


def test_a_source_that_gets_on_shows_what_it_says() -> None:
    found = shown(observed(facts=facts(job("follow", report=reported(True, "follows chain 1")))))
    assert condition(found["chain.follow"], "Ready") == ("True", "Running")
    assert message(found["chain.follow"], "Ready") == "follows chain 1"


@pytest.mark.parametrize(
    ("counts", "then"), [({"retrying": 1}, "it is tried again"), ({"dead": 1}, "it waits for `tracectl retry`")]
)
def test_a_source_whose_run_failed_is_not_ready(counts: dict[str, int], then: str) -> None:
    found = shown(observed(facts=facts(dying(**counts))))
    assert condition(found["chain"], "Ready") == ("False", "SourceStalled")
    assert message(found["chain"], "Ready") == f"follow: its run failed and {then}: WrongChain: chain id 5"
    assert condition(shown(observed(facts=facts(dying("compact", **counts))))["chain"], "Ready")[0] == "True"


DEGRADED = [
    pytest.param({"pods": (pod(0, failed("OOMKilled", 137)),)}, "OOMKilled", id="out of memory"),
    pytest.param({"pods": (pod(0, waiting("ImagePullBackOff")),)}, "ImagePullBackOff", id="no image"),
    pytest.param({"pods": (pod(0, UNSCHEDULABLE),)}, "Unschedulable", id="no room"),
    pytest.param({"facts": facts(job(dead=2))}, "TasksDead", id="dead tasks"),
]


@pytest.mark.parametrize(("changes", "reason"), DEGRADED)
def test_trouble_of_a_job_shows_on_it_and_on_its_dag(changes: dict[str, Any], reason: str) -> None:
    found = shown(observed(**changes))
    assert condition(found["chain.compact"], "Degraded") == ("True", reason)
    assert condition(found["chain"], "Degraded") == ("True", reason)
    assert message(found["chain"], "Degraded").startswith("compact: ")
    assert condition(found["chain.follow"], "Degraded") == ("False", "AsExpected")


def test_what_a_person_has_to_mend_stands_before_what_ended_by_itself() -> None:
    pods = (pod(0, evicted()), pod(1, waiting("ImagePullBackOff")))
    assert condition(shown(observed(pods=pods))["chain.compact"], "Degraded") == ("True", "ImagePullBackOff")
    alone = shown(observed(pods=(pod(0, evicted()),)))["chain.compact"]
    assert condition(alone, "Degraded") == ("True", "Evicted"), "an eviction is told as well"


def test_a_refused_pod_is_told_in_the_words_of_the_quota() -> None:
    found = shown(observed(facts=facts(job(queued=1))), {"compact": "exceeded quota: pods=0"})
    assert condition(found["chain.compact"], "Degraded") == ("True", "PodsRefused")
    assert "exceeded quota" in message(found["chain.compact"], "Degraded")


WAITING = [
    pytest.param({}, None, id="nothing to do"),
    pytest.param({"queued": 3, "running": 1}, None, id="it gets on"),
    pytest.param({"queued": 3}, "WorkersStarting", id="no worker yet"),
    pytest.param({"queued": 3, "paused": True}, "Paused", id="paused"),
    pytest.param({"queued": 3, "provisioned": False}, "Provisioning", id="no tables yet"),
    pytest.param({"retrying": 2}, "Retrying", id="only failed ones"),
    pytest.param({"queued": 3, "dead": 2}, "TasksDead", id="dead tasks"),
]


@pytest.mark.parametrize(("changes", "why"), WAITING)
def test_a_job_says_in_one_word_why_it_does_not_get_on(changes: dict[str, Any], why: str | None) -> None:
    assert shown(observed(facts=facts(job(**changes))))["chain.compact"].status.get("waiting") == why


def test_a_job_whose_pods_fail_or_that_the_dispatcher_runs_says_so() -> None:
    pods = (pod(0, waiting("ImagePullBackOff")),)
    found = shown(observed(pods=pods, facts=facts(job(queued=1), job("ranges", queued=1))))
    assert found["chain.compact"].status["waiting"] == "ImagePullBackOff"
    assert found["chain.ranges"].status["waiting"] == "Queued"


def test_a_field_that_was_dropped_is_named_and_posted_once() -> None:
    misspelt = dag(surprise=1)
    written = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(misspelt)}
    del misspelt["spec"]["surprise"]
    misspelt["metadata"]["annotations"] = written
    found = shown(observed(dag=misspelt))["chain"]
    assert condition(found, "Valid") == ("True", "FieldsDropped")
    assert "spec.surprise: unknown field" in message(found, "Valid")
    assert ("Warning", "FieldsDropped") in {(note.type, note.reason) for note in status.transitions(found)}
    again = Status(found.resource, {**found.live, "status": found.status}, found.status)
    assert status.transitions(again) == []


def test_dead_tasks_do_not_make_a_dag_unready() -> None:
    assert condition(shown(observed(facts=facts(job(dead=2))))["chain"], "Ready") == ("True", "Running")


def test_every_problem_is_listed_until_the_message_is_full() -> None:
    few = tuple(f"DAG/chain: spec.jobs[{n}]: wrong" for n in range(3))
    told = message(shown(observed(graph=None, problems=few))["chain"], "Valid")
    assert all(problem in told for problem in few)
    many = tuple(f"DAG/chain: spec.jobs[{n}].operator: unknown operator" for n in range(1000))
    told = message(shown(observed(graph=None, problems=many))["chain"], "Valid")
    assert len(told.encode()) <= conditions.MAX_MESSAGE
    assert "more: tracectl lint shows all" in told


def test_a_hand_written_job_shows_its_own_problems() -> None:
    jobs = projected_jobs()
    mine = jobs.pop("chain.compact")
    mine["metadata"] = {**mine["metadata"], "name": "totals", "ownerReferences": []}
    mine["spec"] = {"dag": "chain", "operator": "sums"}
    problems = ("Job/totals: spec.operator: unknown", "DAG/chain: spec.jobs[0]: wrong")
    found = shown(observed(jobs=jobs | {"totals": mine}, graph=None, problems=problems))
    assert message(found["totals"], "Valid") == problems[0]
    assert condition(found["totals"], "Ready") == ("False", "NotRunning")


def test_status_stays_small_whatever_the_size_of_the_dag() -> None:
    failure = {"task": "t" * 36, "attempt": 3, "error": {"code": "Boom", "message": "x" * 5000}, "time": ago(5)}
    names = [f"job-{n}" for n in range(2000)]
    big = facts(active_spec_hash="x", jobs=tuple(job(dead=1, last_failure=failure) for _ in names))
    jobs = tuple(
        job(name="compact", dead=1, last_failure=failure) if n == 0 else big.jobs[n] for n in range(len(names))
    )
    told = shown(observed(facts=facts(jobs=jobs)))["chain"].status
    assert len(json.dumps(told)) < 16_384
    assert len(told["failures"]) <= 5
    assert all(len(f["message"]) <= 256 for f in told["failures"])


def test_the_time_of_a_transition_stays_while_the_status_does() -> None:
    first = shown(observed())["chain"].status
    again = shown(observed(dag=dag(generation=2) | {"status": first}, now=NOW.replace(hour=13)))["chain"].status
    entries = {e["type"]: e for e in again["conditions"]}
    assert entries["Ready"]["lastTransitionTime"] == "2026-11-24T12:00:00Z"
    assert entries["Ready"]["observedGeneration"] == 2
    turned = shown(observed(dag=dag() | {"status": first}, now=NOW.replace(hour=13), deployments=(source({}),)))
    ready = conditions.find(turned["chain"].status, "Ready")
    assert ready is not None
    assert ready["lastTransitionTime"] == "2026-11-24T13:00:00Z"


def test_transitions_become_events_once() -> None:
    broken = observed(graph=None, problems=("DAG/chain: spec: wrong",))
    first = shown(broken)["chain"]
    assert [note.reason for note in status.transitions(first)] == ["Invalid"]
    again = shown(observed(dag=dag() | {"status": first.status}, graph=None, problems=("DAG/chain: spec: wrong",)))
    assert status.transitions(again["chain"]) == []


def test_while_state_is_away_what_was_known_stays() -> None:
    before = shown(observed())["chain"].status
    told = status.state_unavailable(dag(generation=2) | {"status": before}, (), "no answer", NOW)
    found = {entry["type"]: (entry["status"], entry["reason"]) for entry in told["conditions"]}
    assert found["Degraded"] == ("True", "StateUnavailable")
    assert found["Ready"] == ("True", "Running")
    assert told["observedGeneration"] == 1
    assert told["activeVersion"] == before["activeVersion"]


def test_while_state_is_away_nothing_is_said_of_a_spec_that_is_judged_by_it() -> None:
    broken = shown(observed(graph=None, problems=("DAG/chain: spec: wrong",)))["chain"].status
    told = status.state_unavailable(dag() | {"status": broken}, None, "no answer", NOW)
    found = {entry["type"]: (entry["status"], entry["reason"]) for entry in told["conditions"]}
    assert (found["Valid"], found["Degraded"]) == (("False", "Invalid"), ("True", "StateUnavailable"))


def abnormal(found: Status) -> dict[str, str]:
    kinds = conditions.ABNORMAL
    return {entry["type"]: entry["reason"] for entry in found.status["conditions"] if entry["type"] in kinds}


STALLED = {"Invalid", "RebuildFailed", "RolledBack"}
ABNORMAL = [
    pytest.param({}, {}, id="well"),
    *(
        pytest.param(changes, {"Stalled" if reason in STALLED else "Reconciling": reason}, id=reason)
        for changes, reason in (case.values for case in READY)
    ),
    *(pytest.param(changes, {"Stalled": reason}, id=reason) for changes, reason in (c.values for c in DEGRADED)),
]


@pytest.mark.parametrize(("changes", "shown_as"), ABNORMAL)
def test_what_is_under_way_or_needs_a_person_is_said_as_kstatus_reads_it(
    changes: dict[str, Any], shown_as: dict[str, str]
) -> None:
    assert abnormal(shown(observed(**changes))["chain"]) == shown_as


def test_a_dag_is_paused_when_all_its_jobs_are() -> None:
    names = ("follow", "ranges", "compact")
    all_paused = facts(*(job(name, paused=True) for name in names))
    assert condition(shown(observed(facts=all_paused))["chain"], "Ready") == ("True", "Paused")
    but_one = facts(*(job(name, paused=name != "ranges") for name in names))
    assert condition(shown(observed(facts=but_one))["chain"], "Ready") == ("True", "Running")


def test_a_rebuild_says_how_far_it_is_and_that_the_old_version_keeps_running() -> None:
    found = shown(observed(**staged()))["chain"]
    assert condition(found, "Staged") == ("True", "Rebuilding")
    assert message(found, "Staged") == "v2-newer: compact: 5 of 8 tasks are done"
    assert message(found, "Ready") == "v2-newer: compact: 5 of 8 tasks are done; v1-0lder keeps running"
    assert condition(found, "Degraded") == ("False", "AsExpected")
    told = found.status
    assert (told["activeVersion"], told["stagedVersion"], told["progress"]) == ("v1-0lder", "v2-newer", "62%")


def test_a_rebuild_that_failed_says_why_and_what_to_do() -> None:
    found = shown(observed(**staged(dead=2)))["chain"]
    why = "v2-newer: compact: 2 tasks failed for good, the last with Broken: no such column"
    assert (condition(found, "Staged"), message(found, "Staged")) == (("False", "RebuildFailed"), why)
    assert condition(found, "Degraded") == ("True", "RebuildFailed")
    assert "`tracectl retry` the tasks, or change the spec" in message(found, "Degraded")


def test_a_version_that_is_ready_waits_for_its_approval_where_the_spec_says_so() -> None:
    first = staged(unfinished=0, oldest_seconds=None)
    ready = first | {"rollout": replace(first["rollout"], settled=True)}
    manual = replace(chain(), cutover="Manual")
    found = shown(observed(**ready, graph=manual))["chain"]
    assert condition(found, "Staged") == ("True", "AwaitingApproval")
    assert "tracectl rollout approve chain" in message(found, "Ready")
    approved = ready | {"facts": replace(ready["facts"], approved=True)}
    for changes in (ready, approved | {"graph": manual}, first | {"graph": manual}):
        assert condition(shown(observed(**changes))["chain"], "Staged") == ("True", "ReadyToCutOver")


def test_a_preview_says_what_it_is_of_and_what_ends_it() -> None:
    sample = {"preview_start": 0, "preview_end": 99, "oldest_seconds": None}
    building = shown(observed(**staged(**sample, execution_strategy="PerPartition")))["chain"]
    assert condition(building, "Staged") == ("True", "Rebuilding")
    over = "v2-newer (over 0-99 only, as spec.rollout.preview says): compact: 5 of 8 tasks are done"
    assert message(building, "Staged") == over
    built = staged(**sample, unfinished=0)
    found = shown(observed(**built))["chain"]
    assert (condition(found, "Staged"), condition(found, "Ready")) == (("True", "Preview"), ("False", "Preview"))
    said = message(found, "Ready")
    assert "v2-newer is built over 0-99 only: `tracectl diff` compares that; remove spec.rollout.preview" in said
    assert said.endswith("; v1-0lder keeps running")
    approved = {"facts": replace(built["facts"], approved=True), "graph": replace(chain(), cutover="Manual")}
    assert condition(shown(observed(**built | approved))["chain"], "Staged") == ("True", "Preview")


def test_workers_of_a_staged_job_that_cannot_start_show_on_the_dag() -> None:
    new = staged()
    one = pod(0, waiting("ImagePullBackOff"), of=new["facts"].staged_jobs[0])
    found = shown(observed(**new, pods=(one,)))
    assert condition(found["chain"], "Degraded") == ("True", "ImagePullBackOff")
    assert message(found["chain"], "Degraded").startswith("compact (staged): ")
    assert condition(found["chain.compact"], "Degraded") == ("False", "AsExpected")


def test_a_version_that_came_back_says_so_until_it_has_caught_up() -> None:
    found = shown(observed(facts=facts(catching_up=True, active_name="v1-0lder")))["chain"]
    assert condition(found, "Ready") == ("True", "CatchingUp")
