"""Runs the tests of a room on a copy of the checkout, many times over, at the cost of what they test.

A run begins as a fork of this process, which has the libraries loaded; the platform's own modules it loads afresh,
from the copy. The quick tests of all runs share one Postgres server, whose migrated databases are made once. Their
processes are a group of their own, of which nothing is left when the run is over.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

import pytest

from tests import services

LIBRARIES = ("alembic", "boto3", "duckdb", "httpx", "hypothesis", "jsonschema", "jwt", "obstore", "psycopg_pool",
             "pyarrow", "pydantic_settings", "pytest_asyncio", "schemathesis.pytest.xdist", "sqlalchemy",
             "starlette", "structlog", "uvicorn", "uvloop", "xdist")  # fmt: skip
"""What takes seconds to load and is the same for every mutant."""

OWN = frozenset({"hack", "operators", "tests", "traceplane", "traceplane_sdk"})
"""Packages of the checkout, which a run loads from its copy."""

STOP_SECONDS = 10.0
LOOK_SECONDS = 0.05


class Outcome(StrEnum):
    """How the tests ended, as the report says it of a mutant."""

    PASSED = "SURVIVES"
    FAILED = "killed"
    TIMED_OUT = "killed by the time limit"
    BROKEN = "NOT RUN"
    """No test failed: the tests could not be collected, or their process ended otherwise. It proves nothing."""


class Runs:
    """Runs of pytest in `copy`, a checkout. The output of the newest is in `log`.

    `shared` is the environment by which quick tests share a server.
    """

    def __init__(self, copy: Path, shared: dict[str, str]) -> None:
        self.copy = copy
        self._shared = shared
        self.log = copy.parent / "log"

    def run(self, tests: Sequence[str], *, parallel: bool, seconds: float) -> Outcome:
        """Run `tests` until one fails, those that failed last time first."""
        child = os.fork()
        if child == 0:
            self._become(tests, parallel)
        try:
            status = _wait(child, seconds)
            if status is None:
                # The servers that the run started end with it, as after Ctrl-C.
                os.kill(child, signal.SIGTERM)
                _wait(child, STOP_SECONDS)
                return Outcome.TIMED_OUT
        finally:
            _end_group(child)
        code = os.waitstatus_to_exitcode(status)
        return {0: Outcome.PASSED, 1: Outcome.FAILED}.get(code, Outcome.BROKEN)

    def _become(self, tests: Sequence[str], parallel: bool) -> None:
        """Turn the forked process into a run of pytest. Never returns."""
        code: int = pytest.ExitCode.INTERNAL_ERROR
        try:
            os.setsid()
            with self.log.open("wb") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            os.chdir(self.copy)
            sys.dont_write_bytecode = False  # the copy is compiled once for all runs
            for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
                del sys.modules[name]
            # The copy stands before the installed package, in the processes that the tests start as well.
            paths = [
                str(path) for path in (self.copy / "controller", self.copy / "operators/sdk/python", self.copy)
            ]
            sys.path[:0] = paths
            os.environ["PYTHONPATH"] = os.pathsep.join(paths)
            # Tests of the whole room may stop their server; and each worker of a parallel run has its own.
            spread = ["-n", "2", "--dist", "worksteal"] if parallel else ["-n", "0"]
            if not parallel:
                os.environ |= self._shared
            chosen = ["-m", "not cluster and not apiserver and not patient", *tests]
            code = pytest.main(["-q", "-x", "--failed-first", *spread, *chosen])
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


@contextmanager
def runs(copy: Path) -> Iterator[Runs]:
    """Runs on `copy`, with the libraries loaded and a server that they share."""
    for library in LIBRARIES:
        importlib.import_module(library)
    with services.postgres() as server:
        yield Runs(copy, services.share_postgres(server))


def _wait(child: int, seconds: float) -> int | None:
    """The status with which `child` ended, or None where it still runs after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(LOOK_SECONDS)
    return None


def _end_group(leader: int) -> None:
    """End what is left of a run's processes."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(leader, 0)
