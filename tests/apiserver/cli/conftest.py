"""An installation to examine: the chart's objects on a real API server, with a real dispatcher beside it.

Nothing runs the Deployments here, so the test plays the kubelet, and what listens is a process of the test's.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from tests.integration.dispatch.callers import settings_of
from tests.integration.query.world import World as Users
from tests.issuer import Issuer, issuer
from tests.services import ROOT, ApiServer, ObjectStore, Postgres, tool
from tests.support import dispatcher

BIN = Path(sys.executable).parent
_NUMBERS = itertools.count(1)
_RENDERED_NAMESPACE = "namespace-of-release"


@dataclass
class Installed:
    """A release in a namespace of its own."""

    kubeconfig: Path
    namespace: str
    url: str
    oidc: Issuer
    state_dsn: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints; it must succeed."""
        argv = [tool("kubectl"), "--kubeconfig", str(self.kubeconfig), "-n", self.namespace, *arguments]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def patch(self, what: str, change: dict[str, Any], *more: str) -> None:
        """A merge patch."""
        self.kubectl("patch", what, "--type=merge", "--patch", json.dumps(change), *more)

    def set_status(self, what: str, status: dict[str, Any]) -> None:
        """Play what fills statuses in."""
        self.patch(what, {"status": status}, "--subresource=status")

    def tracectl(
        self, *arguments: str, program: str = "tracectl", token: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`tracectl` of the administrator of both, as a process; every bound of it is below the one here."""
        environment = {
            "PATH": f"{BIN}:{Path(tool('kubectl')).parent}:{os.environ['PATH']}",
            "HOME": str(self.kubeconfig.parent),  # where kubectl keeps what the server serves
            "KUBECONFIG": str(self.kubeconfig),
            "TRACE_RELEASE_NAMESPACE": self.namespace,
            "TRACE_USER_URL": self.url,
            "TRACE_TOKEN": self.oidc.token("ada") if token is None else token,
        }
        argv = [str(BIN / program) if program != "kubectl" else tool("kubectl"), *arguments]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """A statement on state; its rows."""
        with psycopg.connect(self.state_dsn, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


@dataclass(frozen=True)
class Server:
    """A dispatcher with its users, issuer and databases."""

    url: str
    oidc: Issuer
    state_dsn: str


@pytest.fixture(scope="module")
def server(
    postgres: Postgres, object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One for all tests of a module: each leaves its databases as they were."""
    databases, bucket, folder = postgres.databases(), object_store.bucket(), tmp_path_factory.mktemp("dispatcher")
    with (
        issuer() as oidc,
        dispatcher.running(
            settings_of(databases, object_store, bucket, folder),
            folder,
            TRACE_OIDC_ISSUER=oidc.url,
            TRACE_OIDC_JWKS_URL=f"{oidc.url}/keys",
        ) as run,
    ):
        users = Users(databases, object_store, bucket)
        users.user(oidc.url, "ada", "admin", "reader", "writer")
        users.user(oidc.url, "rita", "reader")
        users.close()
        run.wait_ready()
        yield Server(run.user_url, oidc, databases.state_dsn)
    postgres.drop(databases)


@pytest.fixture
def installed(crds: list[str], api_server: ApiServer, server: Server) -> Installed:
    """A release in a namespace of its own; all is well with it."""
    release = Installed(
        api_server.kubeconfig, f"release-{next(_NUMBERS)}", server.url, server.oidc, server.state_dsn
    )
    _install(release)
    return release


@cache
def _rendered() -> str:
    """What the chart makes of an installation in `_RENDERED_NAMESPACE`."""
    argv = [tool("helm"), "template", "trace", str(ROOT / "charts" / "trace"), "--kube-version", "1.34.0"]
    argv += ["--namespace", _RENDERED_NAMESPACE, "--set", "crds.install=false"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


def _install(release: Installed) -> None:
    """Apply the chart, and have a ready pod behind each Deployment."""
    release.kubectl("create", "namespace", release.namespace)
    rendered = _rendered().replace(_RENDERED_NAMESPACE, release.namespace)
    objects = [
        found
        for found in yaml.safe_load_all(rendered)
        if found and found["kind"] in ("Deployment", "NetworkPolicy")
    ]
    release.kubectl("apply", "--server-side", "--filename", "-", stdin=yaml.safe_dump_all(objects))
    for found in objects:
        if found["kind"] == "Deployment":
            _pod_of(release, found)


def _pod_of(release: Installed, deployment: dict[str, Any]) -> None:
    name, template = deployment["metadata"]["name"], deployment["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    }
    release.kubectl("create", "--filename", "-", stdin=json.dumps(pod))
    ready = [
        {
            "name": each["name"],
            "ready": True,
            "image": "x",
            "imageID": "",
            "restartCount": 0,
            "state": {"running": {}},
        }
        for each in template["spec"]["containers"]
    ]
    release.set_status(f"pod/{name}", {"phase": "Running", "containerStatuses": ready})
