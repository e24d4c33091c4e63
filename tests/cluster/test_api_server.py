"""The API server alone: up, again, broken, down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from hack.localcluster.api import Api
from hack.localcluster.layout import cache_dir
from tests.support.waiting import until

from .conftest import CHECKOUT

pytestmark = [pytest.mark.apiserver]


def cluster(*words: str | Path) -> str:
    argv = [CHECKOUT / "hack" / "cluster", *words]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=200)
    return done.stdout.strip()


def processes_of(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in command and "hack/cluster" not in command:
            found.append(command)
    return found


def test_it_serves_keeps_its_data_over_a_crash_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "api"
    try:
        kubeconfig = Path(cluster("api-up", folder))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kept"}}
        Api(kubeconfig).request("POST", "/api/v1/namespaces", namespace)
        ports = (folder / "ports.json").read_text()

        assert cluster("api-up", folder) == str(kubeconfig)
        assert (folder / "ports.json").read_text() == ports, "a second api-up must change nothing"

        pid = int((folder / "processes" / "kube-apiserver").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        cluster("api-up", folder)
        assert Api(kubeconfig).get("/api/v1/namespaces/kept")["metadata"]["name"] == "kept"
        issuer = Api(kubeconfig).get("/.well-known/openid-configuration")["issuer"]
        assert issuer == json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    finally:
        cluster("api-down", folder)
    assert not folder.exists()
    assert processes_of(folder) == []
    assert [entry for entry in (cache_dir() / "locks").iterdir() if tmp_path.name in entry.name] == []
    cluster("api-down", folder)  # nothing to do is fine


def test_it_starts_after_being_killed_half_way(tmp_path: Path) -> None:
    folder = tmp_path / "api"
    quiet = subprocess.DEVNULL
    argv = [CHECKOUT / "hack" / "cluster", "api-up", folder]
    try:
        starting = subprocess.Popen(argv, stdout=quiet, stderr=quiet, start_new_session=True)
        until((folder / "processes" / "etcd").exists, "etcd is started", every=0.002)
        os.killpg(starting.pid, signal.SIGKILL)
        starting.wait()
        assert Api(Path(cluster("api-up", folder))).ready()
    finally:
        cluster("api-down", folder)
    assert processes_of(folder) == []
