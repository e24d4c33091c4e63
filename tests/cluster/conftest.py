"""A whole local cluster for these tests, in a folder of its own, so that a cluster somebody uses is left alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import pytest

from hack.localcluster import ociarchive

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Cluster:
    """The commands of ``hack/cluster``, aimed at one folder."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "TRACE_CLUSTER_DIR": str(self.folder)}

    def command(self, *words: str | Path, timeout: float = 240) -> str:
        """Run a command that must succeed; returns its standard output."""
        argv = [CHECKOUT / "hack" / "cluster", *words]
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command that the test will kill."""
        argv = [CHECKOUT / "hack" / "cluster", *words]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(argv, env=self.environment, stdout=quiet, stderr=quiet, start_new_session=True)

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl; returns its standard output."""
        argv = [str(CHECKOUT / "hack" / "cluster"), "exec", "--", "kubectl", *words]
        done = subprocess.run(argv, env=self.environment, input=stdin, capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, f"kubectl {words}: {done.stderr}"
        return done.stdout if done.returncode == 0 else done.stderr


@pytest.fixture(scope="session")
def archive() -> Path:
    """Archive of an image with a shell and Python."""
    build = [CHECKOUT / "hack" / "images" / "build", "base"]
    done = subprocess.run(build, check=True, capture_output=True, text=True, timeout=280)
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def image(archive: Path) -> str:
    """Reference of that image."""
    return ociarchive.read(archive).name


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Iterator[Cluster]:
    """A running cluster with the image loaded."""
    raised = Cluster(tmp_path_factory.mktemp("cluster") / "one")
    try:
        raised.command("up")
        raised.command("load", archive)
        yield raised
    finally:
        raised.command("down")


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh namespace; that of a test's first run may still be going when it runs again."""
    test = request.node.name.replace("_", "-").partition("[")[0].removeprefix("test-")[:50].strip("-")
    name = f"{test}-{token_hex(3)}"
    cluster.kubectl("create", "namespace", name)
    # Pods are refused until the controller manager has made the namespace's service account.
    cluster.kubectl("wait", "serviceaccount/default", "-n", name, "--for=create", "--timeout=110s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
