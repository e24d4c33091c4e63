"""Which jobs could never write their cold outputs, told from the places of their data."""

from __future__ import annotations

from uuid import uuid4

from tests.unit.graph import doubles
from traceplane.versions import limits

MANY = [f"o{n}" for n in range(20)]
GRAPH = doubles.assembled(
    doubles.source("a", outputs=MANY),
    doubles.derived("b", "a", inputs=[{"from": {"job": "a", "output": name}} for name in MANY]),
)


def place(job: str, output: str) -> str:
    return f"s3://bucket/{uuid4()}/demo/d/{job}/{output}/{uuid4()}/"


def test_a_job_whose_outputs_are_too_many_is_named_and_so_is_the_way_out() -> None:
    refused = limits.refusal(GRAPH, {("a", name): place("a", name) for name in MANY})
    assert refused is not None
    assert refused.code == "PolicyTooLarge"
    assert refused.message.startswith("job a: 20 prefixes or more do not fit")
    assert "fewer outputs and inputs in object storage" in refused.message
    assert "job b" not in refused.message, "it writes nothing cold, and may read by query"


def test_inputs_count_where_something_cold_is_written() -> None:
    cold = {("a", name): place("a", name) for name in MANY[:5]}
    assert limits.refusal(GRAPH, cold) is None
    refused = limits.refusal(GRAPH, {**cold, ("b", "out"): f"s3://bucket/{'x' * 600}/"})
    assert refused is not None
    assert refused.message.startswith("job b: 6 prefixes")


def test_hot_data_needs_no_prefix() -> None:
    assert limits.refusal(GRAPH, {}) is None
