"""Why an asset is not there yet, or has not a certain block: the chain of waits back to its source.   (pure)

Each job on the way has one reason, the first that applies: what keeps it from running at all, then what became of
the value that was asked for, then what its queue does. A job that has done all that its inputs announced waits for
these, so the reason that counts is the one furthest back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from traceplane.store.statements.steps import Step
from traceplane.tasks import failures

_SHOWN = 256


class Reason(StrEnum):
    """Why a job has not made a value, or what it does."""

    DONE = "Done"
    INACTIVE = "Inactive"
    PROVISIONING = "Provisioning"
    PAUSED = "Paused"
    QUEUED = "Queued"
    RUNNING = "Running"
    RETRYING = "Retrying"
    FAILED = "Failed"
    NOT_RUNNING = "NotRunning"
    UNHEALTHY = "Unhealthy"
    BEHIND = "Behind"
    NOT_THERE = "NotThereYet"
    NOT_FINAL = "NotFinal"
    WAITS_FOR_INPUT = "WaitsForInput"
    CAUGHT_UP = "CaughtUp"


@dataclass(frozen=True, slots=True)
class Wait:
    """A job on the way and its reason. `remedy` is empty where time is all it takes."""

    distance: int
    namespace: str
    dag: str
    job: str
    reason: Reason
    message: str
    remedy: str
    task_id: UUID | None


def explain(steps: Sequence[Step], at: int | None) -> list[Wait]:
    """The reason of each job on the way from an asset back to its source; of the value `at` where one is given."""
    known = {step.job_id: step for step in steps}
    return [_wait(step, [known[read] for read in step.reads if read in known], at) for step in steps]


def _wait(step: Step, inputs: Sequence[Step], at: int | None) -> Wait:
    ways = (_held(step), _of_value(step, inputs, at) if at is not None else _of_queue(step), _idle(step, inputs))
    reason, message, remedy = next(found for way in ways for found in way)
    return Wait(step.distance, step.namespace, step.dag, step.job, reason, message, remedy, step.task_id)


Found = Iterator[tuple[Reason, str, str]]


def _held(step: Step) -> Found:
    """What keeps a job from running at all."""
    if not step.active:
        yield (
            Reason.INACTIVE,
            "no active version of its DAG holds this job",
            f"tracectl rollout status {step.dag} -n {step.namespace}",
        )
    if not step.provisioned:
        yield Reason.PROVISIONING, "its tables are being made", ""


def _of_value(step: Step, inputs: Sequence[Step], at: int) -> Found:
    if step.covered:
        yield Reason.DONE, f"a committed partition holds {at}", ""
    if step.execution_strategy != "PerPartition" and step.position is not None and step.position >= at:
        yield Reason.DONE, f"it has announced up to {step.position}", ""
    yield from _task(step)
    if step.activation == "Source":
        yield from _source(step, at)
        return
    per_update = step.execution_strategy == "PerUpdate"
    for read in inputs:
        # What emits partitions emits final ones; what reads partitions has them as they are.
        if per_update and read.final is not None and read.final < at <= (read.position or 0):
            yield (
                Reason.NOT_FINAL,
                f"{at} may still change: {read.job} is at {read.position}, and final up to {read.final}",
                "",
            )
    # Only what triggers a job gives it work: any of them where it reads what is new, all where it reads partitions.
    there = [read.position is not None and read.position >= at for read in inputs if read.job_id in step.triggers]
    if there and (any(there) if per_update else all(there)):
        yield from _of_queue(step)


def _task(step: Step) -> Found:
    """What became of the task about the value."""
    paused = "; dispatch of its job is paused" if step.paused else ""
    if step.status == "Queued":
        before = f"{step.ahead} tasks are claimed before it" if step.ahead else "it is the next to be claimed"
        reason = Reason.PAUSED if step.paused else Reason.QUEUED
        yield reason, f"its task is queued since {step.queued_at:%H:%M:%S}; {before}{paused}", ""
    if step.status == "Running":
        yield (
            Reason.RUNNING,
            f"attempt {step.attempt} runs on {step.worker_id} since {step.started_at:%H:%M:%S}",
            _logs(step),
        )
    if step.status == "Failed" and step.finished_at is None:
        yield (
            Reason.RETRYING,
            f"attempt {step.attempt} of {step.max_attempts} failed with {failures.words(step.task_error, _SHOWN)}; "
            f"the next one is at {step.next_retry_at:%H:%M:%S}",
            _logs(step),
        )
    if step.status == "Failed" and step.finished_at is not None:
        yield (
            Reason.FAILED,
            f"its task failed for good after {step.attempt} attempts, "
            f"with {failures.words(step.task_error, _SHOWN)}",
            f"tracectl retry {step.task_id}",
        )


def _of_queue(step: Step) -> Found:
    """What a job does."""
    if step.activation == "Source":
        yield from _source(step, None)
        return
    if step.dead:
        yield (
            Reason.FAILED,
            f"{step.dead} tasks failed for good, the last with {failures.words(step.error, _SHOWN)}",
            f"tracectl get tasks {step.dag} -n {step.namespace} --job {step.job} --status Failed",
        )
    if step.paused and step.queued:
        yield Reason.PAUSED, f"dispatch is paused; {step.queued} tasks are queued", ""
    if step.running:
        yield Reason.RUNNING, f"{step.running} tasks run, {step.queued} are queued", ""
    if step.queued:
        yield (
            Reason.QUEUED,
            f"{step.queued} tasks are queued and none runs, the oldest since {step.oldest_queued_at:%H:%M:%S}",
            f"kubectl get tjob -n {step.namespace}",
        )
    if step.retrying:
        yield Reason.RETRYING, f"{step.retrying} failed tasks wait to be tried again", ""


def _source(step: Step, at: int | None) -> Found:
    """What a source says of itself."""
    report = step.report
    if report is None:
        yield (
            Reason.NOT_RUNNING,
            "no run of the source reports anything",
            f"kubectl get tjob -n {step.namespace}",
        )
        return
    head, where = report.get("head"), f"it is at {step.position} of {report.get('head')}"
    if not report.get("healthy"):
        said = str(report.get("message"))[:_SHOWN]
        yield Reason.UNHEALTHY, f"{said}; {where}", _logs(step)
    if at is not None:
        missing = head is not None and head < at
        yield (Reason.NOT_THERE if missing else Reason.BEHIND), where, ""
    yield (Reason.CAUGHT_UP if head is not None and step.position == head else Reason.RUNNING), where, ""


def _idle(step: Step, inputs: Sequence[Step]) -> Found:
    if step.activation == "Source" or not inputs:
        yield Reason.CAUGHT_UP, "nothing is left to do", ""
        return
    names = " and ".join(read.job for read in inputs)
    yield Reason.WAITS_FOR_INPUT, f"all that {names} announced is done", ""


def _logs(step: Step) -> str:
    return f"tracectl logs {step.job} -n {step.namespace}"
