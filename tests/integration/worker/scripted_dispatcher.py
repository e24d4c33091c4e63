"""A task API under the test's control, and the worker as the real process against it.

What is real here is the worker: `tracectl run worker`, its threads, signals, files and exit code. The other end is
scripted because a test must decide what it answers and when; that the true dispatcher speaks the same wire is
proven where both run together.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from tests.services import ROOT, free_port
from traceplane_sdk import wire

PATIENCE_SECONDS = 60
JOB = "00000000-0000-7000-8000-0000000000aa"
_BODIES: dict[str, type[Any]] = {
    "/internal/task-claim": wire.ClaimRequest,
    "/v1/task/heartbeat": wire.HeartbeatRequest,
    "/v1/task/complete": wire.CompleteRequest,
    "/v1/task/events": wire.EventsRequest,
}


class ScriptedDispatcher:
    """Answers claims from `queue`, accepts what is completed, and does as the scripted functions say."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.queue: list[wire.ClaimedTask] = []
        self.requests: list[tuple[str, Any, dict[str, str]]] = []
        self.on_heartbeat: Callable[[wire.HeartbeatState], wire.HeartbeatState] = lambda state: state
        self.on_complete: Callable[[wire.Completion], tuple[int, Any] | None] = lambda _completion: None
        self.claim_status = 200
        self.claim_code = "Scripted"
        dispatcher = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                body = msgspec.json.decode(content, type=_BODIES[self.path])
                status, answer = dispatcher.answer(self.path, body, dict(self.headers))
                encoded = msgspec.json.encode(answer)
                self.send_response(status)
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A killed worker's connection breaks; that is what tests do."""

        self.server = Server(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        with self.changed:
            self.requests.append((path, body, headers))
            self.changed.notify_all()
            if path == "/internal/task-claim":
                return self._claim(body)
            if path == "/v1/task/heartbeat":
                states = [
                    wire.HeartbeatState(task_id=lease.task_id, lease_expires_at="2100-01-01T00:00:00+00:00")
                    for lease in body.leases
                ]
                return 200, wire.HeartbeatResponse([self.on_heartbeat(state) for state in states])
            if path == "/v1/task/events":
                return 200, wire.EventsResponse(len(body.events))
            scripted = self.on_complete(body.completions[0])
            if scripted is not None:
                return scripted
            states = [
                wire.CompletionState(task_id=one.fence.task_id, accepted=True, status=one.status)
                for one in body.completions
            ]
            return 200, wire.CompleteResponse(states)

    def _claim(self, request: wire.ClaimRequest) -> tuple[int, Any]:
        if self.claim_status != 200:
            return self.claim_status, problem(self.claim_status, self.claim_code)
        self.changed.wait_for(lambda: bool(self.queue), timeout=request.wait_seconds)
        return 200, wire.ClaimResponse([self.queue.pop(0)] if self.queue else [])

    def put(self, operator: str, config: dict[str, Any], kind: str = "cursor") -> wire.ClaimedTask:
        """Queue a task."""
        task = wire.TaskPayload(
            task_id=str(uuid4()),
            attempt=1,
            org_id="00000000-0000-7000-8000-000000000001",
            job=wire.JobRef(JOB, "default", "dag", "job"),
            operator=operator,
            config=config,
            cause="Event",
            lease_epoch=1,
            writer="job",
            scope={"kind": kind},
            inputs=[],
            outputs=[],
        )
        claimed = wire.ClaimedTask(
            task=task,
            attempt=1,
            lease_token=str(uuid4()),
            lease_expires_at="2100-01-01T00:00:00+00:00",
            capability_token="a-token",
            lease_seconds=6.0,
        )
        with self.changed:
            self.queue.append(claimed)
            self.changed.notify_all()
        return claimed

    def seen(self, path: str) -> list[Any]:
        with self.changed:
            return [body for seen, body, _ in self.requests if seen == path]

    def wait(self, path: str, count: int = 1) -> list[Any]:
        """Wait until `path` was called `count` times; returns the bodies."""
        with self.changed:
            assert self.changed.wait_for(
                lambda: len([1 for seen, *_ in self.requests if seen == path]) >= count, PATIENCE_SECONDS
            ), f"{path} was called {len(self.seen(path))} times; requests: {self.requests[-5:]}"
        return self.seen(path)

    def completion(self) -> wire.Completion:
        """Wait for the first completion."""
        found: wire.Completion = self.wait("/v1/task/complete")[0].completions[0]
        return found


def problem(status: int, code: str = "Scripted") -> wire.Problem:
    """An error body."""
    return wire.Problem(type="about:blank", title="No", status=status, code=code, detail="as the test wants it")


@contextmanager
def scripted() -> Iterator[ScriptedDispatcher]:
    """A running scripted dispatcher."""
    dispatcher = ScriptedDispatcher()
    threading.Thread(target=dispatcher.server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield dispatcher
    finally:
        dispatcher.server.shutdown()
        dispatcher.server.server_close()


class WorkerProcess:
    """`tracectl run worker` as a child process, in a folder of its own."""

    def __init__(self, url: str, folder: Path, **settings: str) -> None:
        install_test_operator(folder / "site")
        self.token_file = folder / "token"
        self.token_file.write_text("first-token\n")
        self.metrics_port = free_port()
        self.scratch = folder / "scratch"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(ROOT)]),
            "TRACE_JOB_ID": JOB,
            "TRACE_WORKER_ID": "worker-under-test",
            "TRACE_DISPATCHER_URL": url,
            "TRACE_WORKER_TOKEN_FILE": str(self.token_file),
            "TRACE_SCRATCH_DIR": str(self.scratch),
            "TRACE_LISTEN_HOST": "127.0.0.1",
            "TRACE_METRICS_PORT": str(self.metrics_port),
            "TRACE_HEARTBEAT_SECONDS": "0.3",
            "TRACE_CLAIM_WAIT_SECONDS": "1",
            "TRACE_IDLE_TIMEOUT_SECONDS": "300",
            "TRACE_WORKER_GRACE_SECONDS": "10",
            **{f"TRACE_{name.upper()}": value for name, value in settings.items()},
        }
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name("tracectl")), "run", "worker"],
            env=environment,
            cwd=folder,
            stdout=self.log,
            stderr=self.log,
        )
        self.started = time.monotonic()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for the process to leave."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not leave within {seconds} s:\n{self.output()}") from None

    def output(self) -> str:
        self.log.flush()
        return Path(self.log.name).read_text()

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=30) as answer:
            return str(answer.read().decode())


@contextmanager
def worker(url: str, folder: Path, **settings: str) -> Iterator[WorkerProcess]:
    """A worker that is killed, if need be, when the block ends."""
    child = WorkerProcess(url, folder, **settings)
    try:
        yield child
    finally:
        child.process.kill()
        child.process.wait()
        child.log.close()


_OPERATOR = '''
"""An operator for tests of the worker, installed as a third party's would be."""

import time
from pathlib import Path

from pydantic import BaseModel

from traceplane_sdk.context import Result
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.operator import Operator
from traceplane_sdk.wire import Event


class Config(BaseModel):
    do: str = "return"
    seconds: float = 0
    touch: str | None = None


def run(ctx):
    c = ctx.config
    if c.touch:
        Path(c.touch).write_text("started")
    end = time.monotonic() + c.seconds
    if c.do == "burn":
        while time.monotonic() < end:
            sum(range(1000))
    elif c.do == "look":
        while time.monotonic() < end:
            ctx.control.wait(0.02)
    elif c.do == "ignore":
        time.sleep(c.seconds)
    elif c.do == "fail":
        raise OperatorError("OutOfLuck", "as asked", retryable=False)
    elif c.do == "crash":
        raise ZeroDivisionError("as asked")
    elif c.do == "scratch":
        (ctx.io.scratch / "file").write_text("x")
    elif c.do == "emit":
        assert ctx.emit([Event(output="numbers", cursor=7)]) == 1
    elif c.do == "count":
        number = 0
        while time.monotonic() < end:
            ctx.control.wait(0.02)
            number += 1
            ctx.measure("source_cursor_block", number)
    return Result(state={"done": c.do})


OPERATOR = Operator(
    name="test_operator", output_revision=1, summary="for tests", config_model=Config,
    activations=frozenset({"Source", "Reactive"}), runtimes=frozenset({"Pod"}),
    execution_strategies=frozenset({"PerUpdate"}), update_strategies=frozenset({"Append"}),
    declare_outputs=lambda *_: {}, entrypoint="trace_test_operator:run",
)
'''


def install_test_operator(site: Path) -> None:
    """What pip would leave behind for a package that registers an operator."""
    info = site / "trace_test_operator-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "trace_test_operator.py").write_text(_OPERATOR)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trace-test-operator\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[traceplane.operators]\ntest_operator = trace_test_operator:OPERATOR\n")
