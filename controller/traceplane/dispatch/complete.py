"""Completing: what a worker did becomes fact, once, in one transaction.

The order is: check the request against the token and the job; verify the files of commits; then one statement whose
fence decides, item by item, what is accepted. What it did not accept is either a repeat of an accepted completion,
which gets the same answer again, or stale. Completions from many requests share a statement (`coalesce`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from traceplane.dispatch import verify
from traceplane.dispatch.claim import Claims
from traceplane.dispatch.coalesce import Coalescer
from traceplane.dispatch.generations import Generation, Generations
from traceplane.dispatch.wake import Wakeups
from traceplane.drivers.objects import Objects
from traceplane.errors import Refused, TooLarge
from traceplane.identity.capability import TaskToken
from traceplane.kit import crash, spans
from traceplane.kit.ids import event_id
from traceplane.observe import audit, task_spans
from traceplane.observe import dispatch_metrics as metrics
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Connection, Database
from traceplane.store.failures import Conflict, mapped, retrying
from traceplane.store.statements import attempts, completions, leases, relocations
from traceplane.tasks.retries import RetryPolicy
from traceplane_sdk.wire import MAX_ITEMS, MAX_STATE_BYTES, Completion, CompletionState, Event

AFTER_VERIFY = crash.declare("complete.after_verify")
AFTER_COMMIT = crash.declare("complete.after_commit")

_STATUS_OF_RESULT = {"Released": "Queued"}
"""State of a task whose attempt ended so; other results are states themselves."""


@dataclass
class Prepared:
    """A request's completions, all of one job, checked and unpacked for the statement."""

    job: Generation
    items: list[dict[str, object]] = field(default_factory=list)
    released: list[dict[str, object]] = field(default_factory=list)
    events: list[dict[str, object]] = field(default_factory=list)
    commits: list[dict[str, object]] = field(default_factory=list)
    relocations: list[dict[str, object]] = field(default_factory=list)
    cursors: bool = False


class Completions:
    """Accepts completions."""

    def __init__(
        self,
        settings: DispatcherSettings,
        state: Database,
        jobs: Generations,
        claims: Claims,
        wakeups: Wakeups,
        objects: Objects | None,
    ) -> None:
        self._settings = settings
        self._state = state
        self._jobs = jobs
        self._claims = claims
        self._wakeups = wakeups
        self._objects = objects
        self._retry = RetryPolicy(settings.retry_base_seconds, settings.retry_max_seconds)
        self._requests: Coalescer[Connection, Prepared, dict[str, str]] = Coalescer(
            state.autocommit,
            self._run,
            batch_weight=MAX_ITEMS,
            weight=lambda prepared: len(prepared.items),
            keys=lambda prepared: [item["task_id"] for item in prepared.items],  # no task twice in a statement
        )

    async def complete(self, token: TaskToken, given: Sequence[Completion]) -> list[CompletionState]:
        """The outcome of each of `given`, in order. Raises Refused, Forbidden, TooLarge; then nothing changed."""
        job = await self._jobs.get(UUID(token.job))
        with task_spans.committing([completion.fence for completion in given]):
            prepared = await self._prepare(job, token, given)
            outcome: dict[str, str] = {}
            if prepared.items:
                outcome |= await self._requests.submit(prepared)
            if prepared.released:
                outcome |= await self._release(prepared.released)
        if any(completion.fence.task_id not in outcome for completion in given):
            unknown = [fence for fence in _fences(token, given) if fence["task_id"] not in outcome]
            async with self._state.autocommit() as conn:
                repeats = await completions.settled(conn, org_id=self._settings.org_id, items=unknown)
            outcome |= {task: _STATUS_OF_RESULT.get(result, result) for task, result in repeats.items()}
        states = [_state(completion, outcome) for completion in given]
        stale = [
            (completion.fence.task_id, completion.fence.attempt)
            for completion, state in zip(given, states, strict=True)
            if not state.accepted
        ]
        if stale:
            audit.stale("complete", stale)
        return states

    async def _run(self, conn: Connection, batch: Sequence[Prepared]) -> Sequence[dict[str, str]]:
        """One statement for many requests; status of each accepted task, the same answer for all."""
        joined = completions.Batch(
            items=[item for prepared in batch for item in prepared.items],
            events=[event for prepared in batch for event in prepared.events],
            commits=[commit for prepared in batch for commit in prepared.commits],
            relocations=[move for prepared in batch for move in prepared.relocations],
            cursors=any(prepared.cursors for prepared in batch),
            traced=spans.enabled(),
        )

        async def unit() -> tuple[tuple[completions.Accepted, ...], frozenset[UUID]]:
            with mapped():
                return await completions.complete(
                    conn,
                    org_id=self._settings.org_id,
                    batch=joined,
                    retry=self._retry,
                    keep_hot_seconds=self._settings.longest_query_seconds,
                )

        try:
            accepted, enqueued = await retrying(unit)
        except Conflict:  # two commits of one partition at once: the second try supersedes the first
            accepted, enqueued = await retrying(unit)
        crash.point(AFTER_COMMIT)
        # A job with a limit can start another task now, for which its workers wait.
        limited = filter(self._claims.may_be_limited, {attempt.job_id for attempt in accepted})
        self._wakeups.publish(enqueued.union(limited))
        jobs = {prepared.job.id: prepared.job for prepared in batch}
        for (job_id, status), count in Counter((attempt.job_id, attempt.status) for attempt in accepted).items():
            metrics.attempts_ended(jobs[job_id].facts.dag, jobs[job_id].facts.name, status, count)
        for attempt in accepted if joined.traced else ():
            task_spans.ended(jobs[attempt.job_id].key, attempt)
        if joined.events:
            metrics.ROUTED.labels("complete").inc(len(joined.events))
        return [{attempt.task_id: attempt.status for attempt in accepted}] * len(batch)

    async def _release(self, items: Sequence[dict[str, object]]) -> dict[str, str]:
        async with self._state.autocommit() as conn:
            ended = await attempts.release(conn, org_id=self._settings.org_id, items=items)
        self._wakeups.publish({attempt.job_id for attempt in ended})
        for attempt in ended:
            metrics.attempts_ended(attempt.dag, attempt.job, "Released")
            task_spans.ended((attempt.namespace, attempt.dag, attempt.job), attempt)
        return {attempt.task_id: attempt.status for attempt in ended}

    async def _prepare(self, job: Generation, token: TaskToken, given: Sequence[Completion]) -> Prepared:
        if len({completion.fence.task_id for completion in given}) != len(given):
            raise Refused("completions: a task is named twice", code="DuplicateTask")
        prepared = Prepared(job, cursors=job.newest_only)
        token.require((completion.fence.task_id, completion.fence.attempt) for completion in given)
        fences = _fences(token, given)
        with_files = {c.fence.task_id for c in given if c.outputs or c.relocations}
        scopes: dict[str, tuple[int | None, int | None]] = {}
        if with_files:
            wanted = [fence for fence in fences if fence["task_id"] in with_files]
            async with self._state.autocommit() as conn:
                scopes = await leases.scopes(conn, org_id=self._settings.org_id, leases=wanted)
        for completion in given:
            check_completion(job, completion)
        outdated = await self._outdated(given)
        for completion, fence in zip(given, fences, strict=True):
            if completion.fence.task_id in outdated:
                continue  # its claim does not hold any more; the next one says where the rows are
            if completion.state:
                await self._check_state(job, completion)
            if completion.status == "Released":
                prepared.released.append({**fence, "state": completion.state})
                continue
            if completion.fence.task_id in with_files:
                scope = scopes.get(completion.fence.task_id)
                if scope is None:
                    continue  # no such lease: a repeat or stale, which is decided without its files
                # Before the transaction, since nothing slow may happen inside. Files are written once, so what is
                # verified here stays true.
                await self._add_files(prepared, job, completion, scope)
            self._add(prepared, completion, fence)
        crash.point(AFTER_VERIFY)
        return prepared

    async def _outdated(self, given: Sequence[Completion]) -> frozenset[str]:
        """Tasks that took for hot what moved since their claim, so long ago that its rows may be deleted."""
        moves = [
            {
                "task_id": completion.fence.task_id,
                "input": move.input,
                "start": output.partition.start,
                "end": output.partition.end,
                "cold": move.cold,
            }
            for completion in given
            for move in completion.relocations
            for output in completion.outputs
            if output.name == move.output
        ]
        if not moves:
            return frozenset()
        async with self._state.autocommit() as conn:
            return await relocations.moved_unseen(
                conn,
                org_id=self._settings.org_id,
                relocations=moves,
                keep_hot_seconds=self._settings.longest_query_seconds,
            )

    def _add(self, prepared: Prepared, completion: Completion, fence: dict[str, object]) -> None:
        error = completion.error
        failure = {"code": error.code, "message": error.message, "retryable": error.retryable} if error else None
        outputs = [{"name": o.name, "partition": o.partition.key, "rows": o.rows} for o in completion.outputs]
        prepared.items.append(
            {**fence, "error": failure, "outputs": outputs or None, "state": completion.state or None}
        )
        task_id, attempt = completion.fence.task_id, completion.fence.attempt
        for index, event in enumerate(completion.events):
            prepared.events.append(
                {"id": str(event_id(task_id, attempt, index)), "task_id": task_id, **event_row(event)}
            )

    async def _add_files(
        self, prepared: Prepared, job: Generation, completion: Completion, scope: tuple[int | None, int | None]
    ) -> None:
        fence = completion.fence
        if completion.outputs and self._objects is None:
            raise Refused("this installation has no object store to commit to", code="NoObjectStore")
        for committed in completion.outputs:
            assert self._objects is not None
            files = await verify.commit(
                self._objects,
                committed=committed,
                output=job.outputs[committed.name],
                task_id=fence.task_id,
                attempt=fence.attempt,
                scope=scope,
            )
            part = committed.partition
            prepared.commits.append(
                {
                    "task_id": fence.task_id,
                    "output": committed.name,
                    "key": part.key,
                    "start": part.start,
                    "end": part.end,
                    "location": committed.location,
                    "files": files,
                    "rows": committed.rows,
                    "bytes": committed.bytes,
                    "sha256": committed.manifest_sha256,
                }
            )
        ranges = {committed.name: committed.partition for committed in completion.outputs}
        copied = {given["position"] for given in job.facts.inputs if given.get("where") or given.get("foreign")}
        for move in completion.relocations:
            if move.input in copied:
                continue  # files lack rows, or rows are another DAG's; that all was read is checked all the same
            part = ranges[move.output]
            prepared.relocations.append(
                {
                    "task_id": fence.task_id,
                    "input": move.input,
                    "output": move.output,
                    "start": part.start,
                    "end": part.end,
                    "delete_hot": move.delete_hot,
                }
            )

    async def _check_state(self, job: Generation, completion: Completion) -> None:
        own = len(orjson.dumps(completion.state))
        if own <= MAX_STATE_BYTES:
            async with self._state.autocommit() as conn:
                own += await completions.state_size(conn, job_id=job.id, besides=list(completion.state))
        if own > MAX_STATE_BYTES:
            raise TooLarge(f"state: a job keeps at most {MAX_STATE_BYTES} bytes in all", code="StateTooLarge")


def event_row(event: Event) -> dict[str, Any]:
    """An event as the accepting statements take it. Raises Refused unless it has exactly one scope."""
    part = event.partition
    if (event.cursor is None) == (part is None):
        raise Refused("events: give either cursor or partition", code="BadEvent")
    if part is None:
        final = {} if event.final is None else {"final": event.final}
        return {"output": event.output, "cursor": event.cursor, **final}
    if event.final is not None:
        raise Refused("events: final goes with a cursor, not with a partition", code="BadEvent")
    if part.start > part.end:
        raise Refused(f"events: partition {part.key!r} ends before it starts", code="BadEvent")
    return {"output": event.output, "key": part.key, "start": part.start, "end": part.end}


def check_output(job: Generation, name: str, field_path: str) -> dict[str, Any]:
    """The job's output of this name. Raises Refused."""
    output = job.outputs.get(name)
    if output is None:
        known = ", ".join(job.outputs) or "none"
        raise Refused(f"{field_path}: the job has no output {name!r}; it has {known}", code="UnknownOutput")
    return output


def _fences(token: TaskToken, given: Sequence[Completion]) -> list[dict[str, object]]:
    claim_id = token.claim_id
    return [
        {
            "task_id": completion.fence.task_id,
            "attempt": completion.fence.attempt,
            "lease_token": completion.fence.lease_token,
            "claim_id": claim_id,
            "status": completion.status,
        }
        for completion in given
    ]


def check_completion(job: Generation, completion: Completion) -> None:
    """Refuse what the job cannot have done.   (pure)"""
    if completion.status != "Completed" and (completion.outputs or completion.events or completion.relocations):
        raise Refused("only a Completed attempt has outputs, events and relocations", code="BadCompletion")
    if (completion.status == "Failed") != (completion.error is not None):
        raise Refused("error: a Failed attempt says why, and no other does", code="BadCompletion")
    if completion.status == "Failed" and completion.state:
        raise Refused("state: a Failed attempt keeps none", code="BadCompletion")
    for event in completion.events:
        check_output(job, event.output, "events.output")
    if completion.outputs or completion.relocations:
        _check_files(job, completion)


def _check_files(job: Generation, completion: Completion) -> None:
    committed = [output.name for output in completion.outputs]
    if len(set(committed)) != len(committed):
        raise Refused("outputs: an output is named twice", code="BadCompletion")
    for name in committed:
        check_output(job, name, "outputs.name")
    positions = {given["position"]: given for given in job.facts.inputs}
    for move in completion.relocations:
        if move.output not in committed:
            raise Refused(f"relocations: output {move.output!r} is not committed here", code="BadRelocation")
        moved = positions.get(move.input, {})
        if moved.get("storage") != "Postgres":
            raise Refused(f"relocations: input {move.input} is no hot input of the job", code="BadRelocation")
        if moved.get("where") and move.delete_hot:
            message = f"relocations: input {move.input} has a where, so the files lack rows that delete_hot deletes"
            raise Refused(message, code="BadRelocation")
        if moved.get("foreign") and move.delete_hot:
            message = f"relocations: input {move.input} is of another DAG, whose rows delete_hot would delete"
            raise Refused(message, code="BadRelocation")


def _state(completion: Completion, outcome: dict[str, str]) -> CompletionState:
    status = outcome.get(completion.fence.task_id)
    return CompletionState(task_id=completion.fence.task_id, accepted=status is not None, status=status)
