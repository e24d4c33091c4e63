"""`tracectl run dispatcher` as a process of its own, and the calls that tests make to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from tests.integration.dispatch.callers import WORKER_TOKEN
from tests.services import free_port
from tests.support.fork_server import Forked, tracectl
from tests.support.waiting import until
from traceplane.settings import Settings

PATIENCE_SECONDS = 60


@dataclass
class Process:
    """A running dispatcher."""

    process: Forked | subprocess.Popen[bytes]
    url: str
    user_url: str
    log: Path

    def wait_ready(self) -> None:
        """Return once it serves; AssertionError with the end of its log where it ended, or does not in time."""
        until(self._serves, "the dispatcher is ready", timeout=PATIENCE_SECONDS, detail=self._last_words)

    def _serves(self) -> bool:
        assert self.process.poll() is None, f"the dispatcher ended:\n{self._last_words()}"
        try:
            return httpx.get(f"{self.url}/readyz", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def _last_words(self) -> str:
        return self.log.read_text()[-4000:]


MAIN = "from traceplane.cli.main import main; main()"
"""The end of a `program`."""


@contextmanager
def running(settings: Settings, folder: Path, program: str = "", **environment: str) -> Iterator[Process]:
    """A dispatcher with these settings as a process of its own; `program`: what a fresh Python runs instead."""
    given = settings.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    port, user_port = free_port(), free_port()
    chosen = {
        **{f"TRACE_{name.upper()}": str(value) for name, value in given.items()},
        "TRACE_TASK_PORT": str(port),
        "TRACE_USER_PORT": str(user_port),
        "TRACE_LISTEN_HOST": "127.0.0.1",
        "TRACE_OIDC_ISSUER": "https://issuer.test",
        "TRACE_OIDC_JWKS_URL": "https://issuer.test/keys",
        **environment,
    }
    log = folder / "dispatcher.log"
    with log.open("ab") as output:
        environment, words = {**os.environ, **chosen}, ("run", "dispatcher")
        process: Forked | subprocess.Popen[bytes] = (
            subprocess.Popen([sys.executable, "-c", program, *words], env=environment, stdout=output, stderr=output)
            if program
            else tracectl(*words, environment=environment, folder=Path.cwd(), output=output.fileno())
        )
    try:
        yield Process(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{user_port}", log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def claim(url: str, job: UUID, timeout: float = 30, **more: Any) -> list[Any]:
    body = {"worker_id": "w", "job": str(job), **more}
    answer = httpx.post(
        f"{url}/internal/task-claim", json=body, headers={"X-Trace-Worker-Token": WORKER_TOKEN}, timeout=timeout
    )
    assert answer.status_code == 200, answer.text
    return list(answer.json()["tasks"])


def scrape(url: str) -> str:
    return httpx.get(f"{url}/metrics", timeout=30).text
