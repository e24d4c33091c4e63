"""Raising, breaking, repairing and removing a whole cluster."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hack.localcluster import cgroups
from hack.localcluster.components import NAMES
from hack.localcluster.layout import Layout
from hack.localcluster.lifecycle import open_cluster
from tests.support.waiting import until

from .conftest import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def pids(cluster: Cluster) -> dict[str, int | None]:
    return open_cluster(Layout(cluster.folder)).running()


def kill_when(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> bool:
    """Kill a command without mercy at the moment it has come so far; False where it was over before we saw that."""
    until(lambda: reached() or process.poll() is not None, timeout=120, every=0.002)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def traces(cluster: Cluster) -> dict[str, list[str]]:
    """Everything on the machine that tells of a cluster."""
    layout = Layout(cluster.folder)
    marks = (layout.name, layout.identity, str(cluster.folder))

    def marked(lines: list[str]) -> list[str]:
        return [line for line in lines if any(mark in line for mark in marks)]

    commands = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if "zombie" not in (entry / "status").read_text():
                commands.append((entry / "cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return {
        "processes": marked(commands),
        "mounts": marked(Path("/proc/self/mountinfo").read_text().splitlines()),
        "interfaces": marked([entry.name for entry in Path("/sys/class/net").iterdir()]),
        "control groups": marked([folder for folder, _, _ in os.walk("/sys/fs/cgroup")]),
        "locks": marked([str(entry) for entry in layout.lock.parent.iterdir()]),
        "folder": [str(cluster.folder)] if cluster.folder.exists() else [],
    }


def machine() -> dict[str, object]:
    """What the machine must have again afterwards: what a kubelet would use or set without namespaces."""
    places = (
        "/run/netns",
        "/run/containerd",
        "/var/lib/kubelet",
        "/var/lib/cni",
        "/var/log/pods",
        "/var/log/containers",
    )
    settings = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
    return {
        "places": [place for place in places if Path(place).exists()],
        "settings": [Path("/proc/sys", setting).read_text() for setting in settings],
        "tables": subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout,
        "routes": [
            route
            for route in subprocess.run(
                ["ip", "-4", "route"], capture_output=True, text=True, check=True
            ).stdout.splitlines()
            if "dev tr" not in route  # other clusters on this machine
        ],
    }


def test_a_second_up_changes_nothing(cluster: Cluster) -> None:
    before = pids(cluster)
    assert None not in before.values()
    cluster.command("up")
    assert pids(cluster) == before


def test_up_goes_on_where_it_was_killed_and_down_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    other = Cluster(tmp_path / "two")  # beside the first: addresses and names must not meet
    before = machine()
    reached = [
        Path("cluster.json"),
        *(Path("processes", name) for name in ("namespaces", "etcd", "containerd", "kubelet")),
    ]
    try:
        for record in reached:
            killed = kill_when(other.start("up"), (other.folder / record).exists)
            assert killed, f"it ended before it could be killed at {record}"
        other.command("up")
        assert None not in pids(other).values()
        assert "True" in other.kubectl(
            "get", "nodes", "-o", "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
        )
        assert None not in pids(cluster).values()
        layout = Layout(other.folder)
        while not kill_when(other.start("down"), lambda: not cgroups.members(layout)):
            other.command("up")  # a moment is all that is left of it then
    finally:
        other.command("down")
    assert {what: found for what, found in traces(other).items() if found} == {}
    assert machine() == before
    other.command("down")  # nothing to do is fine


def test_up_repairs_a_cluster_whose_every_process_was_killed(cluster: Cluster, namespace: str, image: str) -> None:
    cluster.kubectl("create", "deployment", "survivor", "-n", namespace, f"--image={image}", "--", "sleep", "inf")
    cluster.kubectl("rollout", "status", "deployment/survivor", "-n", namespace, "--timeout=110s")
    old = cluster.kubectl(
        "get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].status.containerStatuses[*].containerID}"
    )
    cgroups.kill(Layout(cluster.folder))
    cluster.command("up")
    cluster.kubectl("wait", "pods", "--all", "-n", namespace, "--for=condition=Ready", "--timeout=110s")

    def restarted() -> bool:
        path = "jsonpath={.items[*].status.containerStatuses[*].containerID}"
        return cluster.kubectl("get", "pods", "-n", namespace, "-o", path) not in ("", old)

    until(restarted, "every container is another one", timeout=180, every=0.5)
    cluster.kubectl("rollout", "status", "deployment/survivor", "-n", namespace, "--timeout=110s")


def test_components_stop_and_start_singly_while_pods_run_on(cluster: Cluster, namespace: str, image: str) -> None:
    cluster.kubectl("run", "steady", "-n", namespace, f"--image={image}", "--restart=Never", "--", "sleep", "inf")
    cluster.kubectl("wait", "pod/steady", "-n", namespace, "--for=condition=Ready", "--timeout=110s")
    for name in NAMES:
        old = pids(cluster)[name]
        cluster.command("stop", name)
        assert pids(cluster)[name] is None
        cluster.command("start", name)
        assert pids(cluster)[name] not in (None, old)
    cluster.kubectl("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=110s")

    def answers() -> bool:
        return "still here" in cluster.kubectl(
            "exec", "steady", "-n", namespace, "--", "echo", "still here", check=False
        )

    # A kubelet that just started learns of its pods in a moment.
    until(answers, "the pod answers", timeout=120, every=0.2)
    state = "jsonpath={.status.containerStatuses[0].restartCount}"
    assert cluster.kubectl("get", "pod", "steady", "-n", namespace, "-o", state) == "0"


def test_a_folder_with_other_files_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for verb in ("up", "down"):
        process = Cluster(tmp_path).start(verb)
        assert process.wait(timeout=60) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]
