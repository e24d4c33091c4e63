"""Runs one operator against real parts, without a dispatcher: builds its task, makes its tables, runs it.

The task is put together from what the operator itself declares, as a deployment would. Hot tables are made from the
declared columns in the documented spelling, so an operator that writes something else fails here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from tests.services import ObjectStore
from traceplane_sdk import wire
from traceplane_sdk.columns import FORMS
from traceplane_sdk.context import Report, TaskIO
from traceplane_sdk.control import Control
from traceplane_sdk.errors import StaleLease, StopReason
from traceplane_sdk.operator import InputSchema, OutputSchema, Storage
from traceplane_sdk.runner import load_operator, run_task

ORG_ID = "00000000-0000-7000-8000-000000000001"
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Dataset:
    """One output of one job, with the identity a deployment would give it."""

    name: str
    schema: OutputSchema
    dataset: str = field(default_factory=lambda: str(uuid4()))
    version: str = field(default_factory=lambda: str(uuid4()))
    bucket: str = ""

    @property
    def location(self) -> str:
        if self.schema.storage is Storage.POSTGRES:
            return f"hot.d_{self.version.replace('-', '')}"
        return f"s3://{self.bucket}/{ORG_ID}/default/test/job/{self.name}/{self.version}/"

    @property
    def columns(self) -> list[wire.ColumnDef]:
        return [wire.ColumnDef(c.name, c.type.value, c.nullable, c.pii) for c in self.schema.columns]

    def output(self, relocated: Sequence[wire.Relocated] = ()) -> wire.TaskOutput:
        return wire.TaskOutput(
            name=self.name,
            dataset=self.dataset,
            version=self.version,
            storage=self.schema.storage.value,
            location=self.location,
            columns=self.columns,
            unique_key=list(self.schema.unique_key),
            scope_column=self.schema.scope_column,
            sort_by=list(self.schema.sort_by),
            sparse=self.schema.sparse,
            relocated=list(relocated),
        )

    def input(self, position: int, **more: Any) -> wire.TaskInput:
        return wire.TaskInput(
            position=position,
            name=self.name,
            dataset=self.dataset,
            version=self.version,
            storage=self.schema.storage.value,
            location=self.location,
            columns=self.columns,
            scope_column=self.schema.scope_column,
            sort_by=list(self.schema.sort_by),
            finality_depth=self.schema.finality_depth,
            first_value=self.schema.first_value,
            sparse=self.schema.sparse,
            **more,
        )

    def provision(self, dsn: str) -> None:
        """Make the hot table."""
        columns = ", ".join(
            f'"{c.name}" {FORMS[c.type].postgres}{"" if c.nullable else " not null"}' for c in self.schema.columns
        )
        key = ", ".join(f'"{name}"' for name in self.schema.unique_key)
        with psycopg.connect(dsn) as connection:
            connection.execute(f"create table {self.location} ({columns}, primary key ({key}))")


@dataclass
class JobUnderTest:
    """One job of one operator: what it writes, and the state its completions kept."""

    operator: str
    config: Mapping[str, Any]
    outputs: list[Dataset]
    inputs: list[tuple[Dataset, bool]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    task_id: str = field(default_factory=lambda: str(uuid4()))
    job_id: str = field(default_factory=lambda: str(uuid4()))

    @classmethod
    def declare(
        cls,
        operator: str,
        config: Mapping[str, Any],
        outputs: Sequence[str],
        inputs: Sequence[tuple[Dataset, bool]] = (),
        bucket: str = "",
        execution_strategy: str = "PerPartition",
    ) -> JobUnderTest:
        """The job as a deployment would make it. `inputs` are (dataset, triggers)."""
        declared = load_operator(operator)
        model = declared.config_model.model_validate(config)
        seen = [
            InputSchema(dataset.name, dataset.schema, trigger, execution_strategy=execution_strategy)
            for dataset, trigger in inputs
        ]
        schemas = declared.declare_outputs(model, seen, outputs)
        made = [Dataset(name, schema, bucket=bucket) for name, schema in schemas.items()]
        return cls(operator, config, made, list(inputs))

    def dataset(self, name: str) -> Dataset:
        return next(one for one in self.outputs if one.name == name)

    def claim(self, epoch: int, scope: Mapping[str, Any], **changes: Any) -> wire.ClaimedTask:
        """A claim of the job's task, as the dispatcher would answer it."""
        inputs = [
            dataset.input(
                position,
                trigger=trigger,
                **({"cursor": changes["cursor"]} if "cursor" in changes else {}),
                final=changes.get("final"),
                **({"partition": changes["partition"]} if "partition" in changes else {}),
                relocated=changes.get("relocated", {}).get(dataset.name, []),
                where=changes.get("where", {}).get(dataset.name, {}),
            )
            for position, (dataset, trigger) in enumerate(self.inputs)
        ]
        task = wire.TaskPayload(
            task_id=changes.get("task_id", self.task_id),
            attempt=changes.get("attempt", epoch),
            org_id=ORG_ID,
            job=wire.JobRef(self.job_id, "default", "test", "job"),
            operator=self.operator,
            config=dict(self.config),
            cause=changes.get("cause", "Source"),
            update_strategy=changes.get("update_strategy", "Replace"),
            lease_epoch=epoch,
            writer="job",
            scope=dict(scope),
            inputs=inputs,
            outputs=[one.output(changes.get("moved", {}).get(one.name, ())) for one in self.outputs],
            state=dict(self.state),
        )
        return wire.ClaimedTask(
            task=task,
            attempt=task.attempt,
            lease_token=str(uuid4()),
            lease_expires_at="2100-01-01T00:00:00+00:00",
            capability_token="none",
        )


class Run:
    """A run in a thread, watched through what it measures and logs."""

    def __init__(self, claimed: wire.ClaimedTask, **io: Any) -> None:
        self._changed = threading.Condition()
        self.measures: dict[str, float] = {}
        self.reports: list[Report] = []
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.completion: wire.Completion | None = None
        self.stale = False
        self._finished = False
        self.control = Control()
        self._io = TaskIO(control=self.control, log=self._log, measure=self._measure, report=self._report, **io)
        self._claimed = claimed
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, what: str, holds: Callable[[Run], bool]) -> None:
        """Return once `holds`; AssertionError with what was seen after a minute."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self), PATIENCE_SECONDS), (
                f"{what} did not come about; measured {self.measures}, completed {self.completion}, "
                f"logged {self.events[-5:]}"
            )

    def reaches(self, number: int) -> None:
        """Wait for a follower to have stored block `number`."""
        self.wait(
            f"block {number}",
            lambda run: run.measures.get("source_cursor_block", -1) >= number or run._finished,
        )
        assert self.measures.get("source_cursor_block", -1) >= number, self.completion

    def logged(self, event: str) -> Mapping[str, Any]:
        """Wait for a log line; returns its fields."""
        self.wait(f"log line {event!r}", lambda run: any(name == event for name, _ in run.events))
        return next(fields for name, fields in self.events if name == event)

    def finish(self) -> wire.Completion | None:
        """Wait for the end by itself."""
        self.wait("the end of the run", lambda run: run._finished)
        return self.completion

    def stop(self) -> wire.Completion | None:
        """Drain, and wait for the end."""
        self.control.stop(StopReason.DRAINING)
        return self.finish()

    def _run(self) -> None:
        try:
            self.completion = run_task(self._claimed, self._io)
        except StaleLease:
            self.stale = True
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _log(self, event: str, fields: Mapping[str, Any]) -> None:
        with self._changed:
            self.events.append((event, fields))
            self._changed.notify_all()

    def _report(self, report: Report) -> None:
        with self._changed:
            self.reports.append(report)
            self._changed.notify_all()

    def _measure(self, name: str, value: float | None, labels: Mapping[str, str]) -> None:
        name += "".join(f"{{{label}={text}}}" for label, text in labels.items())
        with self._changed:
            if value is None:
                self.measures.pop(name, None)
            else:
                self.measures[name] = value
            self._changed.notify_all()


@contextmanager
def running(claimed: wire.ClaimedTask, **io: Any):  # type: ignore[no-untyped-def]
    """A run that is stopped when the block ends."""
    run = Run(claimed, **io)
    try:
        yield run
    finally:
        run.control.stop(StopReason.DRAINING)
        run.finish()


def scratch_folder(tmp_path: Path) -> Path:
    """A run's scratch disk."""
    folder = tmp_path / uuid4().hex
    folder.mkdir()
    return folder


def task_credentials(store: ObjectStore) -> wire.CredentialsResponse:
    """The owner's credentials through STS, as a task gets them."""
    answer = store.client("sts").assume_role(
        RoleArn="arn:aws:iam::000000000000:role/test", RoleSessionName="test", DurationSeconds=900
    )["Credentials"]
    return wire.CredentialsResponse(
        access_key_id=answer["AccessKeyId"],
        secret_access_key=answer["SecretAccessKey"],
        session_token=answer["SessionToken"],
        expires_at=answer["Expiration"].isoformat(),
        endpoint_url=store.endpoint_url,
        region=store.region,
    )
