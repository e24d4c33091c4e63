"""What an examination finds, and how they are run: beside one another, each bounded, whatever the others find."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from traceplane.cli import kubectl
from traceplane.errors import Forbidden, TraceError, Unavailable

KUBECTL_SECONDS = 15.0
REQUEST_SECONDS = 10
"""kubectl's own bound on one request, so that it says itself what does not answer."""
AT_ONCE = 8


class Result(StrEnum):
    """How bad it is. Only a failure makes the exit code 1."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part, and what to do about it; `remedy` is empty where all is well."""

    part: str
    result: Result
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where kubectl looks: the namespace of the release, and the options that lead to its cluster."""

    namespace: str
    aim: Sequence[str]

    def get(self, *what: str) -> list[dict[str, Any]]:
        """Objects of the release's namespace. Raises Unavailable, and Forbidden where the caller may not look."""
        return list(self.json("get", *what, "--namespace", self.namespace).get("items", ()))

    def json(self, verb: str, *arguments: str) -> Mapping[str, Any]:
        """The answer of one command of kubectl's as JSON. Raises as `get` does."""
        bound = f"--request-timeout={REQUEST_SECONDS}s"
        done = kubectl.run(verb, *arguments, bound, "--output", "json", *self.aim, seconds=KUBECTL_SECONDS)
        if done.returncode:
            said = f"kubectl {verb} {arguments[0] if arguments else ''}: {done.stderr.strip()[:500]}"
            raise Forbidden(said) if "(Forbidden)" in done.stderr else Unavailable(said)
        found: Mapping[str, Any] = json.loads(done.stdout)
        return found


Examination = Callable[[Cluster], Finding]


def all_of(examinations: Mapping[str, Examination], cluster: Cluster) -> list[Finding]:
    """What each finds, in their order. One that cannot look says so in its own finding."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda part: _one(part, examinations[part], cluster), examinations))


def _one(part: str, examination: Examination, cluster: Cluster) -> Finding:
    try:
        return examination(cluster)
    except Forbidden as error:
        return Finding(part, Result.WARNING, error.message, "ask for the right to look at this")
    except TraceError as error:
        return Finding(part, Result.FAILED, error.message, "see whether kubectl works: kubectl cluster-info")
