"""`tracectl run query` as a process: an error after which it must not go on ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.integration.query.world import World
from tests.issuer import Issuer
from tests.services import free_port
from tests.services.collector import collecting
from tests.support.waiting import until

pytestmark = pytest.mark.services

PATIENCE_SECONDS = 60

GIVES_UP = """
from traceplane.cli.main import main
from traceplane.errors import InvalidSettings
from traceplane.query.attach.databases import Databases
def gives_up(_):
    raise InvalidSettings("TRACE_SOMETHING: the canary is wrong")
Databases.ping = gives_up
main()
"""

STOPPED_AT_ONCE = """
import os
import signal
from traceplane.cli.main import main
from traceplane.kit import listen
listener = listen.listener
def stopped(host, port):
    os.kill(os.getpid(), signal.SIGTERM)
    return listener(host, port)
listen.listener = stopped
main()
"""


def test_an_error_after_which_it_must_not_go_on_ends_it(world: World, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "query.log"
    with log.open("ab") as output:
        command = [sys.executable, "-c", GIVES_UP, "run", "query"]
        process = subprocess.Popen(command, env=environment(world, port, tmp_path), stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}/readyz"
        answer = until(lambda: answer_of(process, url), "it listens", detail=log.read_text)
        assert (answer.status_code, answer.json()["code"]) == (500, "InvalidSettings")
        assert "canary" not in answer.text, "the caller could do nothing about it"
        assert process.wait(PATIENCE_SECONDS) == 1
        assert "error: TRACE_SOMETHING: the canary is wrong (InvalidSettings)" in log.read_text()
    finally:
        process.kill()
        process.wait()


def test_a_signal_that_comes_before_it_serves_ends_it_in_order(world: World, tmp_path: Path) -> None:
    log, given = tmp_path / "query.log", environment(world, free_port(), tmp_path)
    with log.open("ab") as output:
        command = [sys.executable, "-c", STOPPED_AT_ONCE, "run", "query"]
        done = subprocess.run(command, env=given, stdout=output, stderr=output, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, log.read_text()


def environment(world: World, port: int, folder: Path, issuer: str = "https://issuer.test") -> dict[str, str]:
    """Of a query service on this port."""
    return {
        **os.environ,
        "TRACE_STATE_DSN": world.databases.query_state_dsn,
        "TRACE_DATA_DSN": world.databases.query_dsn,
        "TRACE_S3_BUCKET": world.bucket,
        "TRACE_S3_ENDPOINT_URL": world.store.endpoint_url,
        "TRACE_S3_ACCESS_KEY_ID": world.store.access_key_id,
        "TRACE_S3_SECRET_ACCESS_KEY": world.store.secret_access_key,
        "TRACE_OIDC_ISSUER": issuer,
        **({"TRACE_OIDC_JWKS_URL": "https://issuer.test/keys"} if issuer == "https://issuer.test" else {}),
        "TRACE_QUERY_PORT": str(port),
        "TRACE_LISTEN_HOST": "127.0.0.1",
        "TRACE_QUERY_CACHE_DIR": str(folder / "cache"),
    }


def answer_of(process: subprocess.Popen[bytes], url: str) -> httpx.Response | None:
    """What the process answers; None while it does not listen."""
    assert process.poll() is None, "the process ended"
    try:
        return httpx.get(url, timeout=PATIENCE_SECONDS)
    except httpx.ConnectError:
        return None


def test_a_service_that_is_asked_to_stop_sends_its_last_spans_and_ends_in_order(
    world: World, oidc: Issuer, tmp_path: Path
) -> None:
    world.user(oidc.url, "alice", "reader")
    port, log = free_port(), tmp_path / "query.log"
    url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {oidc.token('alice')}"}
    with collecting() as collector, log.open("ab") as output:
        traced = {"TRACE_TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        command = [sys.executable, "-c", "from traceplane.cli.main import main; main()", "run", "query"]
        given = environment(world, port, tmp_path, oidc.url) | traced
        process = subprocess.Popen(command, env=given, stdout=output, stderr=output)
        try:
            until(lambda: answer_of(process, f"{url}/readyz"), "it listens", detail=log.read_text)
            answer = httpx.post(f"{url}/v1/query", json={"sql": "SELECT 1"}, headers=headers, timeout=60)
            assert answer.status_code == 200, answer.text
            process.terminate()
            assert process.wait(PATIENCE_SECONDS) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
        names = {span.name for span in collector.spans}
        assert {"POST /v1/query", "query", "queue", "gate", "plan", "cell"} <= names
        assert {span.service for span in collector.spans} == {"trace-query"}
        (trace,) = {span.trace for span in collector.spans}
        assert f'"trace_id": "{trace}"' in log.read_text()
