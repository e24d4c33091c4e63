"""`tracectl run dispatcher` as a process: it serves, it drains on SIGTERM, it refuses a schema it does not know."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from tests import services
from tests.integration.dispatch.callers import WORKER_TOKEN
from tests.support import scrape as scraped
from tests.support.dispatcher import MAIN, PATIENCE_SECONDS, claim, running, scrape
from tests.support.waiting import until
from traceplane.settings import Settings

pytestmark = pytest.mark.services


async def test_it_serves_runs_its_loops_and_leaves_on_sigterm(
    deploy: Callable[..., Any], settings: Settings, tmp_path: Path
):
    jobs = await deploy(provision=False)
    with running(settings, tmp_path) as dispatcher:
        dispatcher.wait_ready()
        tasks = claim(dispatcher.url, jobs["follow"], wait_seconds=20)
        assert [task["task"]["job"]["name"] for task in tasks] == ["follow"], "its outbox loop made the tables"
        assert "trace_tasks_claimed_total 1.0" in scrape(dispatcher.url)
        until(lambda: 'trace_store_up{store="objects"} 1.0' in scrape(dispatcher.url))
        scraped.check(scrape(dispatcher.url), "dispatcher")
        dispatcher.process.send_signal(signal.SIGTERM)
        assert dispatcher.process.wait(PATIENCE_SECONDS) == 0, dispatcher.log.read_text()


async def test_sigterm_ends_a_long_poll_at_once(jobs: dict[str, UUID], settings: Settings, tmp_path: Path):
    with running(settings, tmp_path) as dispatcher:
        dispatcher.wait_ready()
        claim(dispatcher.url, jobs["follow"])
        body = json.dumps({"worker_id": "w", "job": str(jobs["follow"]), "wait_seconds": 60}).encode()
        head = (
            "POST /internal/task-claim HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
            "Content-Type: application/json\r\n"
            f"X-Trace-Worker-Token: {WORKER_TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        port = int(dispatcher.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as polling:
            polling.sendall(head + body)
            polling.settimeout(PATIENCE_SECONDS)
            until(lambda: "trace_long_polls 1.0" in scrape(dispatcher.url))
            dispatcher.process.send_signal(signal.SIGTERM)
            assert b"".join(iter(lambda: polling.recv(4096), b"")).endswith(b'{"tasks":[]}')
        assert dispatcher.process.wait(PATIENCE_SECONDS) == 0


async def test_a_worker_that_left_its_long_poll_gets_no_task(
    jobs: dict[str, UUID], settings: Settings, tmp_path: Path, sql: Callable[..., list[dict[str, Any]]]
):
    """A lease for nobody would hold the work back until it expires."""
    sql("UPDATE jobs SET paused = true WHERE id = %(job)s", job=jobs["follow"])
    with running(settings, tmp_path, TRACE_POLL_SECONDS="60") as dispatcher:
        dispatcher.wait_ready()
        with pytest.raises(httpx.ReadTimeout):
            claim(dispatcher.url, jobs["follow"], timeout=1, worker_id="gone", wait_seconds=50)
        until(lambda: "trace_long_polls 0.0" in scrape(dispatcher.url))  # it has noticed
        sql("UPDATE jobs SET paused = false WHERE id = %(job)s", job=jobs["follow"])
        sql("SELECT pg_notify('trace_wake', %(job)s)", job=str(jobs["follow"]))
        assert [task["attempt"] for task in claim(dispatcher.url, jobs["follow"], wait_seconds=20)] == [1]


def test_it_refuses_a_schema_it_does_not_know(settings: Settings, databases: services.Databases, tmp_path: Path):
    with psycopg.connect(databases.state_dsn) as connection:
        connection.execute("UPDATE trace_schema_state SET version_num = 's9999'")
    with running(settings, tmp_path) as dispatcher:
        assert dispatcher.process.wait(PATIENCE_SECONDS) == 1
        assert "s9999" in dispatcher.log.read_text()


@pytest.fixture
def reader_dsn(postgres: services.Postgres, databases: services.Databases) -> Iterator[str]:
    """State for a role that may read all of it and change nothing."""
    role = f"reader_{uuid4().hex}"
    with psycopg.connect(databases.state_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN IN ROLE pg_read_all_data")
    yield postgres.dsn(databases.state_dsn.rpartition("/")[2], role)
    with psycopg.connect(databases.state_dsn, autocommit=True) as connection:
        connection.execute(f"DROP ROLE {role}")


def test_a_loop_that_gives_up_ends_the_process_with_the_reason(settings: Settings, reader_dsn: str, tmp_path: Path):
    """Backing off would hide from its administrator that the role was never granted what a dispatcher needs."""
    limited = settings.model_copy(update={"state_dsn": reader_dsn})
    with running(limited, tmp_path) as dispatcher:
        assert dispatcher.process.wait(PATIENCE_SECONDS) == 1
        said = dispatcher.log.read_text()
    assert "error: the database role lacks a right" in said
    assert "Traceback" not in said


# A handler of each API fails as nobody foresaw, with a key in a local variable.
BROKEN = """
from traceplane.identity.capability import Capabilities
from traceplane.web import authentication
def breaks(_):
    key = "-".join(["canary", "of", "a", "local"])
    raise ValueError("an address that is none")
Capabilities.jwks = authentication.bearer = breaks
"""

# A handler of each API finds that the process must not go on.
GIVES_UP = """
from traceplane.errors import InvalidSettings
from traceplane.identity.capability import Capabilities
from traceplane.web import authentication
def gives_up(_):
    raise InvalidSettings("TRACE_SOMETHING: the canary is wrong")
Capabilities.jwks = authentication.bearer = gives_up
"""


@pytest.mark.parametrize("api", ["task", "user"])
def test_an_error_after_which_it_must_not_go_on_ends_it(settings: Settings, tmp_path: Path, api: str):
    with running(settings, tmp_path, GIVES_UP + MAIN) as dispatcher:
        dispatcher.wait_ready()
        address = {"task": f"{dispatcher.url}/internal/jwks/task", "user": f"{dispatcher.user_url}/v1/dags"}[api]
        answer = httpx.get(address, timeout=60)
        assert (answer.status_code, answer.json()["code"]) == (500, "InvalidSettings")
        assert "canary" not in answer.text, "the caller could do nothing about it"
        assert dispatcher.process.wait(PATIENCE_SECONDS) == 1
        assert "error: TRACE_SOMETHING: the canary is wrong (InvalidSettings)" in dispatcher.log.read_text()


def test_what_nobody_foresaw_is_in_the_log_with_its_place_and_no_local_variable(settings: Settings, tmp_path: Path):
    with running(settings, tmp_path, BROKEN + MAIN) as dispatcher:
        dispatcher.wait_ready()
        for url in (f"{dispatcher.url}/internal/jwks/task", f"{dispatcher.user_url}/v1/dags"):
            answer = httpx.get(url, timeout=60)
            assert (answer.status_code, answer.json()["code"]) == (500, "Internal")
            assert "an address that is none" not in answer.text
        dispatcher.process.send_signal(signal.SIGTERM)
        dispatcher.process.wait(PATIENCE_SECONDS)
        said = [json.loads(line) for line in dispatcher.log.read_text().splitlines()]
    failed = {line["path"]: line["exception"] for line in said if line["event"] == "request failed"}
    assert failed.keys() == {"/internal/jwks/task", "/v1/dags"}
    assert all("ValueError: an address that is none" in told and "in breaks" in told for told in failed.values())
    assert "canary" not in dispatcher.log.read_text()
