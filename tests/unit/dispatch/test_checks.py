"""What a completion may say, by the job that it is of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from traceplane.dispatch.complete import check_completion, event_row
from traceplane.errors import Refused
from traceplane_sdk import wire

ID = "00000000-0000-7000-8000-000000000001"
JOB: Any = SimpleNamespace(
    outputs={"blocks": {}, "logs": {}},
    facts=SimpleNamespace(
        inputs=[
            {"position": 0, "storage": "S3"},
            {"position": 1, "storage": "Postgres"},
            {"position": 2, "storage": "Postgres", "where": {"n": ["1"]}},
            {"position": 3, "storage": "Postgres", "foreign": True},
        ]
    ),
)
PART = wire.Partition(key="0-19", start=0, end=19)
ERROR = wire.TaskError(code="Broken", message="", retryable=True)


def output(name: str = "blocks") -> wire.CommittedOutput:
    return wire.CommittedOutput(
        name=name, partition=PART, location="s3://bucket/a/", rows=1, bytes=1, manifest_sha256="0" * 64
    )


def move(input: int = 1, output: str = "blocks", delete_hot: bool = True) -> wire.Relocation:
    return wire.Relocation(input=input, output=output, delete_hot=delete_hot)


def completion(status: str = "Completed", **more: Any) -> wire.Completion:
    fence = wire.Fence(task_id=ID, attempt=1, lease_token=ID)
    return wire.Completion(fence=fence, status=status, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "right",
    [
        completion(),
        completion(outputs=[output(), output("logs")], relocations=[move()]),
        completion(outputs=[output()], relocations=[move(2, delete_hot=False), move(3, delete_hot=False)]),
        completion(events=[wire.Event(output="logs", cursor=9)], state={"key": 1}),
        completion("Failed", error=ERROR),
        completion("Canceled"),
        completion("Released", state={"key": 1}),
    ],
)
def test_what_a_job_can_have_done_is_taken(right: wire.Completion):
    check_completion(JOB, right)


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        (completion("Failed", error=ERROR, outputs=[output()]), "BadCompletion", "only a Completed attempt"),
        (
            completion("Canceled", events=[wire.Event(output="blocks", cursor=1)]),
            "BadCompletion",
            "only a Completed",
        ),
        (completion("Failed"), "BadCompletion", "a Failed attempt says why"),
        (completion(error=ERROR), "BadCompletion", "a Failed attempt says why"),
        (completion("Failed", error=ERROR, state={"key": 1}), "BadCompletion", "a Failed attempt keeps none"),
        (
            completion(events=[wire.Event(output="none", cursor=1)]),
            "UnknownOutput",
            "events.output: .*blocks, logs",
        ),
        (completion(outputs=[output(), output()]), "BadCompletion", "named twice"),
        (completion(outputs=[output("none")]), "UnknownOutput", "outputs.name"),
        (completion(relocations=[move()]), "BadRelocation", "not committed here"),
        (completion(outputs=[output()], relocations=[move(output="logs")]), "BadRelocation", "not committed here"),
        (completion(outputs=[output()], relocations=[move(input=0)]), "BadRelocation", "no hot input"),
        (completion(outputs=[output()], relocations=[move(input=9)]), "BadRelocation", "no hot input"),
        (completion(outputs=[output()], relocations=[move(input=2)]), "BadRelocation", "files lack rows"),
        (completion(outputs=[output()], relocations=[move(input=3)]), "BadRelocation", "is of another DAG"),
    ],
)
def test_what_a_job_cannot_have_done_is_refused(wrong: wire.Completion, code: str, message: str):
    with pytest.raises(Refused, match=message) as refused:
        check_completion(JOB, wrong)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "wrong",
    [
        wire.Event(output="blocks"),
        wire.Event(output="blocks", cursor=1, partition=PART),
        wire.Event(output="blocks", partition=PART, final=1),
        wire.Event(output="blocks", partition=wire.Partition(key="9-1", start=9, end=1)),
    ],
)
def test_an_event_without_one_right_scope_is_refused(wrong: wire.Event):
    with pytest.raises(Refused) as refused:
        event_row(wrong)
    assert refused.value.code == "BadEvent"
