"""Forked processes end, write and see what a process started afresh would."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fork_server import Forked, ForkServer, tracectl


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    made = ForkServer(["os", "signal"], {})
    yield made
    made.close()


def test_an_exit_code_is_handed_on_and_kept(server: ForkServer) -> None:
    process = server.fork("sys:exit", "as the test wants", descriptors=[], output=2)
    assert (process.wait(60), process.poll()) == (1, 1)


def test_one_that_runs_is_seen_to_run_and_can_be_ended(server: ForkServer) -> None:
    process = server.fork("signal:pause", descriptors=[], output=2)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.terminate()
    assert process.wait(60) == -signal.SIGTERM
    process.kill()  # of no use, and no error


def test_several_end_in_any_order(server: ForkServer) -> None:
    first, second, third = (server.fork("signal:pause", descriptors=[], output=2) for _ in range(3))
    second.kill()
    assert second.wait(60) == -signal.SIGKILL
    assert (first.poll(), third.poll()) == (None, None)
    for one in (third, first):
        one.terminate()
        assert one.wait(60) == -signal.SIGTERM


def test_tracectl_has_its_words_environment_and_folder_and_no_other(tmp_path: Path) -> None:
    def run(*words: str, **environment: str) -> tuple[int, str]:
        with (tmp_path / "log").open("w+") as log:
            process: Forked = tracectl(*words, environment=environment, folder=tmp_path, output=log.fileno())
            return process.wait(60), (tmp_path / "log").read_text()

    (tmp_path / "here.yaml").write_text("kind: Nothing\n")
    code, said = run("lint", "here.yaml")
    assert (code, "here.yaml" in said) == (1, True), said
    assert run("nonsense")[0] == 2
    code, said = run("run", "worker", TRACE_JOB_ID="not-an-id")
    assert code != 0
    assert "TRACE_JOB_ID" in said
