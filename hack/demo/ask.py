"""Asking Trace as a user does: `tracectl query` with a token of the first admin's service account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.demo.kube import Kube
from hack.localcluster.layout import ClusterError

ADMIN = "trace-admin"
QUERY_SERVICE = "service/trace-query"
QUERY_PORT = 8082


class Truncated(ClusterError):
    """An answer has more rows than are handed out at once."""


@dataclass(frozen=True)
class User:
    """Somebody with a token and a way to the query service."""

    url: str
    token: str
    namespace: str

    @property
    def environment(self) -> dict[str, str]:
        """What `tracectl` takes from the environment."""
        return {**os.environ, "TRACE_QUERY_URL": self.url, "TRACE_TOKEN": self.token}

    def tracectl(self, *arguments: str, seconds: float = 120) -> str:
        """Standard output of `tracectl`. ClusterError with what it said where it fails."""
        argv = [str(Path(sys.executable).parent / "tracectl"), *arguments]
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=seconds)
        if done.returncode:
            raise ClusterError(f"tracectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def answer(self, sql: str) -> dict[str, Any]:
        """The whole answer of a statement."""
        found: dict[str, Any] = json.loads(
            self.tracectl("query", "--namespace", self.namespace, "--output", "json", sql)
        )
        return found

    def rows(self, sql: str) -> list[list[Any]]:
        """All rows of a statement. Truncated where the answer was cut."""
        answer = self.answer(sql)
        if answer["truncated"]:
            raise Truncated(f"the answer was cut at {len(answer['rows'])} rows: {sql}")
        rows: list[list[Any]] = answer["rows"]
        return rows


@contextmanager
def user(kube: Kube, account: str = ADMIN) -> Iterator[User]:
    """The first admin, with a port-forward to the query service while the block runs."""
    with kube.forward(QUERY_SERVICE, QUERY_PORT) as url:
        yield User(url, kube.token(account), kube.namespace)
