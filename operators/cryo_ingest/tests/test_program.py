"""A program is watched: its end, its time, its words, and all that it started."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from operators.cryo_ingest import program
from tests.support.waiting import until
from traceplane_sdk.control import Control
from traceplane_sdk.errors import Stopped, StopReason

# Starts another process, which holds the output open, and says its number.
_PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
open(sys.argv[1], "w").write(str(child.pid))
{after}
"""


def _run(folder: Path, code: str, given: bytes = b"", seconds: float = 60, control: Control | None = None):
    argv = [sys.executable, "-c", code, str(folder / "pid")]
    return program.run(argv, given, folder, seconds, control or Control())


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_it_reads_what_it_is_given_and_its_code_and_words_are_known(tmp_path: Path) -> None:
    finished = _run(tmp_path, "import sys; print(sys.stdin.read()); print('no', file=sys.stderr); exit(3)", b"yes")
    assert (finished.code, sorted(finished.output.split())) == (3, ["no", "yes"])


def test_a_signal_that_ended_it_is_known(tmp_path: Path) -> None:
    assert _run(tmp_path, "import os; os.abort()").code == -6


def test_only_the_last_of_its_words_is_kept(tmp_path: Path) -> None:
    finished = _run(tmp_path, "for n in range(200_000): print(n)")
    assert program.KEPT_BYTES - 10 < len(finished.output) <= program.KEPT_BYTES
    lines = [int(line) for line in finished.output.splitlines()]
    assert lines == list(range(200_000 - len(lines), 200_000)), "a line is cut"
    assert _run(tmp_path, "print('x' * 100_000)").output == ""


def test_one_that_reads_nothing_does_not_hold_the_writer(tmp_path: Path) -> None:
    assert _run(tmp_path, "exit(0)", b"x" * 10_000_000).code == 0


def test_when_its_time_is_up_it_is_killed_with_what_it_started(tmp_path: Path) -> None:
    # Its time is short, and may be up before it has said anything: then it is tried again with more.
    seconds = 0.5
    while not (tmp_path / "pid").exists():
        finished = _run(tmp_path, _PARENT.format(after="child.wait()"), seconds=seconds)
        seconds *= 2
    assert finished.code is None
    pid = int((tmp_path / "pid").read_text())
    until(lambda: _ended(pid), "the process that it started has ended")


def test_what_outlives_it_is_killed(tmp_path: Path) -> None:
    finished = _run(tmp_path, _PARENT.format(after="os._exit(0)"))
    assert finished.code == 0
    until(lambda: _ended(int(finished.output)), "the process that it started has ended")


def test_a_run_that_is_to_stop_kills_it(tmp_path: Path) -> None:
    control = Control()

    def stop_once_it_runs() -> None:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "it runs")
        control.stop(StopReason.CANCELED)

    stopper = threading.Thread(target=stop_once_it_runs)
    stopper.start()
    with pytest.raises(Stopped):
        _run(tmp_path, _PARENT.format(after="child.wait()"), control=control)
    stopper.join()
    until(lambda: _ended(int((tmp_path / "pid").read_text())), "the process that it started has ended")


def test_it_gets_no_variable_that_may_hold_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETH_RPC_URL", "http://node/key")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    finished = _run(tmp_path, "import os; print(sorted(os.environ))")
    assert "HTTPS_PROXY" in finished.output
    assert "ETH_RPC_URL" not in finished.output
    assert os.environ["ETH_RPC_URL"]
