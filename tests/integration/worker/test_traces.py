"""Traces of tasks over real parts: from an event to its commit, whatever becomes of workers and the collector."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests import services
from tests.integration.operators.following import Activity
from tests.integration.worker.pipelines import PATIENCE_SECONDS, Pipeline, manifest, running
from tests.services.collector import Collector, Received, collecting, tree
from tests.support import scrape
from tests.support.dispatcher import scrape as scraped
from traceplane.settings import Settings
from traceplane_sdk import crashpoints

pytestmark = pytest.mark.services

Start = Callable[..., Any]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture
async def start(
    settings: Settings,
    deploy: Callable[..., Any],
    databases: services.Databases,
    object_store: services.ObjectStore,
    chain: services.Chain,
    tmp_path: Path,
    collector: Collector,
) -> Start:
    """Starts the pipeline, with everything traced to the collector."""
    short = settings.model_copy(update={"retry_base_seconds": 0.2, "retry_max_seconds": 1.0})
    jobs = await deploy(manifest())

    @contextmanager
    def started(**more: str) -> Iterator[Pipeline]:
        environment = {"TRACE_TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **more}
        parts = {"databases": databases, "store": object_store, "chain": chain, "jobs": jobs, "folder": tmp_path}
        with running(short, environment=environment, **parts) as pipeline:
            yield pipeline

    return started


def tasks(pipeline: Pipeline, job: str) -> list[UUID]:
    """The completed tasks of a job, the oldest first."""
    rows = pipeline.sql(
        "select id from tasks where job_id = %(job)s and status = 'Completed' and result is null"
        " order by finished_at",
        job=pipeline.jobs[job],
    )
    return [row["id"] for row in rows]


def wait(collector: Collector, task: UUID, *paths: tuple[str, ...]) -> dict[tuple[str, ...], Received]:
    """The spans of a task once these are there."""
    return tree(collector.wait(task.hex, lambda found: set(paths) <= tree(found).keys()))


ROOT = ("task",)
FIRST, SECOND = (*ROOT, "attempt/1"), (*ROOT, "attempt/2")
POD = ("complete", "POST /v1/task/complete", "commit")
"""How an attempt ends in a pod: the worker calls, the dispatcher serves, and commits."""


def test_an_event_and_all_that_follows_to_its_commit_are_one_trace(start: Start, collector: Collector) -> None:
    with start() as pipeline:
        Activity(pipeline.chain).blocks(16)
        pipeline.keep("follow")
        pipeline.keep("compact")
        pipeline.until("a range is cold", lambda: pipeline.compacted() == ["0-9"])
        (compaction,) = tasks(pipeline, "compact")
        pipeline.until("the ranges are done", lambda: tasks(pipeline, "ranges"))
        spans = wait(
            collector, compaction, (*ROOT, "queued"), (*FIRST, "run", "POST /v1/task/credentials"), (*FIRST, *POD)
        )
        assert {path: (span.service, span.kind) for path, span in spans.items()} == {
            ROOT: ("trace-dispatcher", "CONSUMER"),
            (*ROOT, "queued"): ("trace-dispatcher", "INTERNAL"),
            FIRST: ("trace-dispatcher", "INTERNAL"),
            (*FIRST, "run"): ("trace-worker", "INTERNAL"),
            (*FIRST, "run", "POST /v1/task/credentials"): ("trace-dispatcher", "SERVER"),
            (*FIRST, *POD[:1]): ("trace-worker", "CLIENT"),
            (*FIRST, *POD[:2]): ("trace-dispatcher", "SERVER"),
            (*FIRST, *POD): ("trace-dispatcher", "INTERNAL"),
        }
        assert spans[ROOT].attributes == {
            "trace.namespace": "demo",
            "trace.dag": "chain",
            "trace.job": "compact",
            "trace.task_id": str(compaction),
            "trace.cause": "Event",
        }
        assert spans[FIRST].attributes["trace.result"] == "Completed"
        assert spans[(*FIRST, "run")].attributes["trace.operator"] == "parquet_compact"
        assert {span.failed for span in spans.values()} == {None}
        # Each is linked to the task whose event it follows from, up to the source.
        (ranges,) = [task for task in tasks(pipeline, "ranges") if task.hex in spans[ROOT].links]
        spans = wait(collector, ranges, (*FIRST, "run"), (*FIRST, "complete", "commit"))
        assert {span.service for span in spans.values()} == {"trace-dispatcher"}, "it ran there"
        (source,) = pipeline.sql("select id from tasks where dedupe_key = 'source'")
        assert spans[ROOT].links == (source["id"].hex,)
        lines = "".join(path.read_text() for path in pipeline.folder.rglob("log"))
        assert f'"trace_id": "{compaction.hex}"' in lines
        scrape.check(scraped(pipeline.url), "dispatcher")


def test_the_retry_of_a_killed_worker_goes_on_in_the_same_trace(start: Start, collector: Collector) -> None:
    with start() as pipeline:
        Activity(pipeline.chain).blocks(16)
        pipeline.keep("follow")
        killed = pipeline.worker("compact", crash_at=crashpoints.COLD_MANIFEST)
        assert killed.wait(PATIENCE_SECONDS) != 0
        pipeline.keep("compact")
        pipeline.until("a range is cold", lambda: pipeline.compacted() == ["0-9"])
        (compaction,) = tasks(pipeline, "compact")
        spans = wait(collector, compaction, FIRST, (*SECOND, "run"), (*SECOND, *POD))
        first, second = spans[FIRST], spans[SECOND]
        assert (first.attributes["trace.result"], first.failed) == ("LeaseExpired", "LeaseExpired")
        assert (second.attributes["trace.result"], second.failed) == ("Completed", None)
        assert (*FIRST, "run") not in spans, "it died with its worker"
        assert first.end <= second.start


@pytest.mark.parametrize("mode", ["away", 500, "hang"])
def test_no_fault_of_the_collector_touches_work(mode: str | int, start: Start, collector: Collector) -> None:
    collector.mode = mode
    if mode == "away":
        collector.close()
    with start(OTEL_EXPORTER_OTLP_TIMEOUT="1") as pipeline:
        Activity(pipeline.chain).blocks(16)
        pipeline.keep("follow")
        pipeline.keep("compact")
        pipeline.until("a range is cold", lambda: pipeline.compacted() == ["0-9"])
        given_up = 'trace_spans_dropped_total{reason="export_failed"}'
        pipeline.until("spans are given up", lambda: given_up in scraped(pipeline.url))
        assert pipeline.dispatcher.log.read_text().count("spans were not exported") == 1
        pipeline.dispatcher.process.send_signal(signal.SIGTERM)
        assert pipeline.dispatcher.process.wait(PATIENCE_SECONDS) == 0
    assert collector.spans == []
