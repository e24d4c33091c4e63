"""Long-running processes that outlive the command that started them, known by a record of their own making.

A component is started through a small shell that first writes down its own process id and start time and then
becomes the component. So there is no moment at which the component runs and no record tells of it, even when the
starting command is killed; and the start time tells a recorded process from a later one that got the same id.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .commands import tail_of_file
from .layout import ClusterError

_STOP_SECONDS = 15.0
_MAX_LOG_BYTES = 64 * 2**20

# $1 record, $2 control group folders (one a line, may be empty), then the command. Fields of /proc/PID/stat are
# counted after the last ')', since a program's name may hold anything.
_LAUNCHER = r"""
set -e
record="$1"; groups="$2"; shift 2
for group in $groups; do echo $$ > "$group/cgroup.procs"; done
stat="$(cat /proc/$$/stat)"; rest="${stat##*) }"
started="$(echo "$rest" | cut -d' ' -f20)"
echo "$$ $started" > "$record.new"; mv "$record.new" "$record"
exec "$@"
"""


@dataclass(frozen=True)
class Process:
    """One component's process: its name, the file that records it and its log."""

    name: str
    record: Path
    log: Path

    def pid(self) -> int | None:
        """The process id when it runs."""
        try:
            pid, started = self.record.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if start_time(int(pid)) == int(started) else None

    def start(
        self, argv: Sequence[object], *, groups: Sequence[Path] = (), env: Mapping[str, str] | None = None
    ) -> None:
        """Start the process in a session of its own, unless it runs."""
        if self.pid() is not None:
            return
        for folder in (self.record.parent, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self.record.unlink(missing_ok=True)
        if self.log.exists() and self.log.stat().st_size > _MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        words = [str(word) for word in argv]
        launcher = ["/bin/sh", "-c", _LAUNCHER, self.name, str(self.record), "\n".join(map(str, groups)), *words]
        with self.log.open("ab") as log:
            started = subprocess.Popen(
                launcher,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=dict(env) if env is not None else None,
            )
        self._await_record(started)

    def stop(self, grace: float = _STOP_SECONDS) -> bool:
        """End the process and wait for its end; returns whether it ran. Kills it after ``grace`` seconds."""
        pid = self.pid()
        if pid is not None:
            _signal(pid, signal.SIGTERM)
            if not wait_until(lambda: self.pid() is None, grace):
                _signal(pid, signal.SIGKILL)
                wait_until(lambda: self.pid() is None, _STOP_SECONDS)
        self.record.unlink(missing_ok=True)
        return pid is not None

    def failure(self, what: str) -> ClusterError:
        """An error about this process that shows the end of its log."""
        return ClusterError(f"{self.name}: {what}; the end of {self.log}:\n{tail_of_file(self.log)}")

    def _await_record(self, started: subprocess.Popen[bytes]) -> None:
        if not wait_until(lambda: self.record.exists() or started.poll() is not None, 10.0, every=0.005):
            raise self.failure("did not start within 10 s")
        if not self.record.exists():
            raise self.failure(f"ended at once with exit code {started.returncode}")


def start_time(pid: int) -> int | None:
    """Start time of a living process in clock ticks since boot; ``None`` when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.05) -> bool:
    """Ask until the condition holds or the time is over; returns whether it held."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def _signal(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return
