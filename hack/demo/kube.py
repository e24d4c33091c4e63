"""kubectl and helm against the local cluster, with bounded waits and port-forwards that end with their block.

Every wait has a limit and an error that says what the cluster said last: a demo that hangs in silence teaches
nothing.
"""

from __future__ import annotations

import json
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hack.localcluster import lifecycle
from hack.localcluster.layout import ClusterError, Layout, cluster_dir
from hack.localcluster.progress import Step

FORWARD_SECONDS = 15.0
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Kube:
    """The cluster in one of its namespaces."""

    namespace: str
    layout: Layout = field(default_factory=lambda: Layout(cluster_dir()))

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """KUBECONFIG, and kubectl and helm on PATH. ClusterError where there is no cluster."""
        return lifecycle.environment(self.layout)

    def run(self, program: str, *arguments: str, stdin: str | None = None, seconds: float = 120) -> str:
        """Standard output of kubectl or helm in this namespace. ClusterError with what it said where it fails."""
        argv = [program, "--namespace", self.namespace, *arguments]
        try:
            done = subprocess.run(
                argv, env=dict(self.environment), input=stdin, capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired as late:
            raise ClusterError(f"{' '.join(argv)}: no answer within {seconds:g} s") from late
        if done.returncode:
            raise ClusterError(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 120) -> str:
        """Standard output of a kubectl command."""
        return self.run("kubectl", *arguments, stdin=stdin, seconds=seconds)

    def helm(self, *arguments: str, stdin: str | None = None, seconds: float = 300) -> str:
        """Standard output of a helm command."""
        return self.run("helm", *arguments, stdin=stdin, seconds=seconds)

    def get(self, *what: str) -> dict[str, Any]:
        """An object, or a list of objects, as JSON."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *what, "--output", "json"))
        return found

    def items(self, *what: str) -> list[dict[str, Any]]:
        """The objects of a list."""
        found: list[dict[str, Any]] = self.get(*what)["items"]
        return found

    def token(self, account: str, audience: str = "trace") -> str:
        """A short-lived token of a service account."""
        return self.kubectl("create", "token", account, "--audience", audience, "--duration", "1h").strip()

    @contextmanager
    def forward(self, target: str, port: int) -> Iterator[str]:
        """`http://127.0.0.1:<port>` that leads to a port of a pod or Service while the block runs."""
        argv = ["kubectl", "--namespace", self.namespace, "port-forward", target, f":{port}"]
        process = subprocess.Popen(
            argv, env=dict(self.environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            yield f"http://127.0.0.1:{_local_port(process, target)}"
        finally:
            process.terminate()
            process.wait(10)

    def condition(self, kind: str, name: str, condition: str) -> tuple[str, str]:
        """Status (`True`, `False`, `Unknown`, or `` where it is not there) and message of a condition."""
        status = self.get(kind, name).get("status", {})
        for entry in status.get("conditions", []):
            if entry["type"] == condition:
                return entry["status"], f"{entry.get('reason', '')}: {entry.get('message', '')}"
        return "", "no such condition yet"


def _local_port(process: subprocess.Popen[str], target: str) -> int:
    assert process.stdout is not None
    said = ""
    deadline = time.monotonic() + FORWARD_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if not select.select([process.stdout], [], [], 0.2)[0]:
            continue
        said = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+) ->", said)
        if found:
            return int(found[1])
    raise ClusterError(f"no port-forward to {target}: {said.strip() or 'it said nothing'}")


def wait_for(what: str, seconds: float, look: Callable[[], tuple[bool, str]], step: Step | None = None) -> None:
    """Look until it holds. `look` says whether it does, and what there is: the step and the error show that."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            done, seen = look()
        except ClusterError as error:
            done, seen = False, str(error)
        if done:
            return
        if step is not None:
            step.detail(seen)
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {seconds:g} s; last seen: {seen}")
        time.sleep(POLL_SECONDS)
