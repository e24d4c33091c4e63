"""A real Kubernetes API server: etcd and kube-apiserver alone, no kubelet, so pods stay Pending."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.process import ROOT, ServiceError, temporary_folder

_UP_SECONDS = 180


@dataclass(frozen=True)
class ApiServer:
    """A running API server, reached with its administrator's kubeconfig."""

    folder: Path
    kubeconfig: Path


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """etcd and kube-apiserver in a folder of their own."""
    command = str(ROOT / "hack" / "cluster")
    with temporary_folder("api") as folder:
        up = subprocess.run([command, "api-up", str(folder)], capture_output=True, text=True, timeout=_UP_SECONDS)
        if up.returncode:
            raise ServiceError(f"hack/cluster api-up failed:\n{up.stdout}{up.stderr}")
        try:
            yield ApiServer(folder, Path(up.stdout.strip().splitlines()[-1]))
        finally:
            subprocess.run([command, "api-down", str(folder)], capture_output=True, timeout=_UP_SECONDS, check=True)
