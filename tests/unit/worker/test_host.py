"""What a worker reads from its mounts, and what operators may measure in it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from traceplane.errors import InvalidSettings
from traceplane.settings import Settings
from traceplane.worker.health import MAX_LABELS, MAX_MEASURES, MAX_SERIES, Health
from traceplane.worker.host import worker_token


def test_the_first_line_of_the_token_file_is_the_workers(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("\nnew\nold\n")
    assert worker_token(Settings(worker_token_file=file)) == "new"


@pytest.mark.parametrize("content", [None, "", "\n \n"])
def test_a_missing_token_names_its_setting(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidSettings, match="TRACE_WORKER_TOKEN_FILE"):
        worker_token(Settings(worker_token_file=file))


def test_an_operator_cannot_fill_memory_with_measures() -> None:
    health = Health()
    for number in range(MAX_MEASURES + 10):
        health.measure(f"m{number}", 1)
    names = [metric.name for metric in health.registry.collect() if metric.name.startswith("trace_m")]
    assert len(names) == MAX_MEASURES


def test_labels_make_a_series_each_and_no_more_than_a_bounded_number() -> None:
    health = Health()
    for number in range(MAX_SERIES + 10):
        health.measure("provider_head_block", number, {"provider": str(number)})
    health.measure("provider_head_block", 99, {"provider": "0"})
    (metric,) = [metric for metric in health.registry.collect() if metric.name == "trace_provider_head_block"]
    assert len(metric.samples) == MAX_SERIES
    assert {sample.labels["provider"]: sample.value for sample in metric.samples}["0"] == 99


def test_a_measure_that_ends_is_shown_no_more_and_makes_room() -> None:
    health = Health()
    for number in range(MAX_SERIES):
        health.measure("head", number, {"provider": str(number)})
    health.measure("head", None, {"provider": "3"})
    health.measure("head", None, {"provider": "unheard of"})
    health.measure("head", 7, {"provider": "new"})
    health.measure("never", None, {"provider": "0"})
    health.measure("lag", 5)
    health.measure("lag", None)
    shown = {m.name: m.samples for m in health.registry.collect()}
    assert {sample.labels["provider"] for sample in shown["trace_head"]} == {
        *(str(number) for number in range(MAX_SERIES) if number != 3),
        "new",
    }
    assert "trace_never" not in shown
    assert math.isnan(shown["trace_lag"][0].value)


def test_a_name_keeps_the_labels_that_it_first_came_with() -> None:
    health = Health()
    health.measure("m", 1, {"provider": "0"})
    health.measure("m", 2)
    health.measure("m", 3, {"class": "x"})
    health.measure("wide", 1, {f"l{number}": "" for number in range(MAX_LABELS + 1)})
    samples = [sample for metric in health.registry.collect() for sample in metric.samples]
    assert [(s.labels, s.value) for s in samples if s.name == "trace_m"] == [({"provider": "0"}, 1)]
    assert not [s for s in samples if s.name == "trace_wide"]
