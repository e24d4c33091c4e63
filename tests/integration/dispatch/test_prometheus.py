"""A real Prometheus scrapes a real dispatcher: labels arrive as they are, and every rule can be evaluated."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import yaml

from hack.generate import alert_rules
from tests.integration.dispatch.conftest import Feed
from tests.services import free_port
from tests.support.dispatcher import running
from tests.support.waiting import until
from traceplane.settings import Settings

pytestmark = pytest.mark.services


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Callable[..., Any]]:
    """A Prometheus with the plain rule file; asks its HTTP API."""
    port = free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(alert_rules.PAGE)],
        "scrape_configs": [{"job_name": "trace", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    argv = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output)

    def ask(path: str, **parameters: str) -> Any:
        assert process.poll() is None, log.read_text()
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/{path}", params=parameters, timeout=30)
        except httpx.TransportError:
            return None  # it does not listen yet
        # While it opens its storage it answers 503, without JSON.
        return None if answer.status_code == 503 else answer.json()["data"]

    try:
        yield ask
    finally:
        process.kill()
        process.wait()


async def test_prometheus_reads_the_dispatcher_and_evaluates_every_rule(
    jobs: dict[str, UUID], feed: Feed, settings: Settings, tmp_path: Path
) -> None:
    await feed.partitions(3)
    with running(settings, tmp_path) as dispatcher:
        dispatcher.wait_ready()
        with prometheus(tmp_path, dispatcher.url.removeprefix("http://")) as ask:

            def queued() -> Any:
                query = 'max by (dag, job_name) (trace_job_tasks{state="Queued"})'
                found = (ask("query", query=query) or {"result": []})["result"]
                return {(one["metric"]["dag"], one["metric"]["job_name"]): one["value"][1] for one in found}

            until(lambda: queued().get(("chain", "compact")) == "3", "the queue arrives")

            def rules() -> dict[str, Any]:
                groups = (ask("rules") or {"groups": []})["groups"]
                return {rule["name"]: rule for group in groups for rule in group["rules"]}

            def states() -> set[str]:
                return {name for name, rule in rules().items() if rule["state"] != "inactive"}

            # No controller, no query service and no source run here.
            until(
                lambda: states() == {"TraceControllerAbsent", "TraceQueryAbsent", "TraceSourceDead"}, detail=states
            )
            until(lambda: all(rule["health"] != "unknown" for rule in rules().values()))
            found = rules()
    assert {name for name, rule in found.items() if rule["health"] != "ok"} == set()
    (alert,) = found["TraceSourceDead"]["alerts"]
    assert (alert["labels"]["dag"], alert["labels"]["job_name"]) == ("chain", "follow")
