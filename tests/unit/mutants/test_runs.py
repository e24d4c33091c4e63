"""What is said of a mutant: killed by a test, by the time limit, or by nothing since no test could run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hack.mutants.runs import Outcome, Runs
from tests.support.waiting import until

LONG_SECONDS = 60.0


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    copy = tmp_path / "checkout"
    copy.mkdir()
    (copy / "pytest.ini").write_text("[pytest]\nmarkers = cluster\n apiserver\n patient\n")
    return Runs(copy, {"SHARED": "yes"})


def outcome(runs: Runs, source: str, seconds: float = LONG_SECONDS) -> Outcome:
    (runs.copy / "test_it.py").write_text(source)
    return runs.run(["test_it.py"], parallel=False, seconds=seconds)


def test_a_mutant_survives_tests_that_pass_and_is_killed_by_one_that_fails(runs: Runs):
    source = "import os\ndef test_it():\n    assert os.environ['SHARED'] == {0!r}\n"
    assert outcome(runs, source.format("yes")) is Outcome.PASSED
    assert outcome(runs, source.format("no")) is Outcome.FAILED


@pytest.mark.parametrize(
    "source",
    ["import nowhere_at_all\n", "def nothing_to_collect():\n    pass\n", "import os\nos.kill(os.getpid(), 9)\n"],
)
def test_a_mutant_that_does_not_load_is_not_killed(runs: Runs, source: str):
    assert outcome(runs, source) is Outcome.BROKEN


def test_a_run_that_takes_too_long_is_ended_with_its_processes(runs: Runs):
    source = """
import pathlib, subprocess
def test_it():
    child = subprocess.Popen(["sleep", "600"])
    pathlib.Path("child").write_text(str(child.pid))
    child.wait()
"""
    started = runs.copy / "child"
    for seconds in (2.0, 10.0, LONG_SECONDS):  # a busy machine may take long to come so far
        assert outcome(runs, source, seconds) is Outcome.TIMED_OUT
        if started.exists():
            break
    child = int(started.read_text())
    until(lambda: not Path(f"/proc/{child}").exists() or ended(child), "the child of the run has ended")


def ended(pid: int) -> bool:
    """Whether the process is a zombie, which waits for the init process of its container."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_platform_is_loaded_from_the_copy(runs: Runs):
    package = runs.copy / "controller" / "traceplane"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("COPY = True\n")
    assert outcome(runs, "import traceplane\ndef test_it():\n    assert traceplane.COPY\n") is Outcome.PASSED
    assert os.environ.get("SHARED") is None
