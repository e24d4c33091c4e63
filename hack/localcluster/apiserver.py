"""Only etcd and kube-apiserver, as plain processes on loopback: what a test of CRDs or of a controller needs.

No kubelet, so pods stay Pending; no controller manager, so nothing collects garbage or finishes the deletion of a
namespace (as with controller-runtime's envtest). Needs no root. All of it lives in one folder given by the caller;
``up`` on a running one changes nothing, and either command may be killed half way and repeated.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from . import kubeconfigs, toolchain
from .atomic import locked, write_file
from .controlplane import Credentials, apiserver_argv, etcd_argv, make_credentials
from .layout import ClusterError, cache_dir
from .processes import Process, wait_until
from .progress import step

_START_SECONDS = 60.0
_PORT_ATTEMPTS = 3


@dataclass(frozen=True)
class Ports:
    """The loopback ports of one instance."""

    etcd: int
    etcd_peer: int
    api: int


def up(folder: Path) -> Path:
    """Start an API server whose data is in ``folder``; returns the path of its kubeconfig."""
    programs = [toolchain.program(name) for name in ("etcd", "kube-apiserver")]
    folder.mkdir(parents=True, exist_ok=True)
    with locked(_lock(folder), f"API server in {folder}"):
        credentials = make_credentials(folder / "pki")
        ports = _recorded(folder)
        if ports is not None and _serves(ports, credentials):
            return folder / "kubeconfig"
        with step("starting etcd and kube-apiserver"):
            ports = _start_on_free_ports(folder, programs, credentials)
        server = f"https://127.0.0.1:{ports.api}"
        path = folder / "kubeconfig"
        kubeconfigs.write(
            path, server=server, authority=credentials.authority.certificate, client=credentials.administrator
        )
        return path


def down(folder: Path) -> None:
    """Stop the API server of ``folder`` and remove the folder; nothing to do is fine."""
    if not folder.exists():
        return
    owned = {"pki", "etcd", "logs", "processes", "ports.json", "kubeconfig"}
    with locked(_lock(folder), f"API server in {folder}"):
        _stop(folder)
        for entry in folder.iterdir():
            if entry.name not in owned:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
    _lock(folder).unlink(missing_ok=True)


def _processes(folder: Path) -> tuple[Process, Process]:
    """etcd and kube-apiserver, in the order of their start."""
    etcd, api = (
        Process(name, folder / "processes" / name, folder / "logs" / f"{name}.log")
        for name in ("etcd", "kube-apiserver")
    )
    return etcd, api


def _start_on_free_ports(folder: Path, programs: list[Path], credentials: Credentials) -> Ports:
    """Start both; again on other ports when another process took one between our choice and our use of it."""
    attempt = 1
    while True:
        _stop(folder)
        ports = _record(folder, _free_ports())
        try:
            _start(folder, programs, credentials, ports)
        except ClusterError:
            if attempt == _PORT_ATTEMPTS:
                _stop(folder)
                raise
            attempt += 1
        else:
            return ports


def _start(folder: Path, programs: list[Path], credentials: Credentials, ports: Ports) -> None:
    etcd, api = _processes(folder)
    etcd.start(etcd_argv(programs[0], folder / "etcd", ports.etcd, ports.etcd_peer))
    api.start(
        apiserver_argv(
            programs[1],
            credentials,
            etcd_port=ports.etcd,
            bind="127.0.0.1",
            port=ports.api,
            # The address of the Service "kubernetes" may not be a loopback one; nothing here connects to it.
            advertise="198.51.100.1",
            issuer=f"https://127.0.0.1:{ports.api}",
            # Pods need no service account here: nothing makes the default one of a namespace.
            extra=("--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none"),
        )
    )
    ended: list[Process] = []

    def settled() -> bool:
        ended[:] = [process for process in (etcd, api) if process.pid() is None]
        return bool(ended) or _serves(ports, credentials)

    if not wait_until(settled, _START_SECONDS):
        raise api.failure(f"not ready within {_START_SECONDS:.0f} s")
    if ended:
        raise ended[0].failure("ended while starting")


def _stop(folder: Path) -> None:
    etcd, api = _processes(folder)
    # A throw-away server need not drain its connections.
    api.stop(grace=0.0)
    etcd.stop()


def _serves(ports: Ports, credentials: Credentials) -> bool:
    """Whether the API server answers ready and is ours: the certificate must be of our authority."""
    context = ssl.create_default_context(cafile=str(credentials.authority.certificate))
    context.load_cert_chain(str(credentials.administrator.certificate), str(credentials.administrator.key))
    try:
        url = f"https://127.0.0.1:{ports.api}/readyz"
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_ports() -> Ports:
    sockets = [socket.socket() for _ in range(3)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return Ports(*(each.getsockname()[1] for each in sockets))
    finally:
        for each in sockets:
            each.close()


def _record(folder: Path, ports: Ports) -> Ports:
    write_file(folder / "ports.json", json.dumps(asdict(ports)) + "\n")
    return ports


def _recorded(folder: Path) -> Ports | None:
    try:
        return Ports(**json.loads((folder / "ports.json").read_text()))
    except FileNotFoundError:
        return None


def _lock(folder: Path) -> Path:
    return cache_dir() / "locks" / f"api-{str(folder.resolve()).strip('/').replace('/', '-')[-100:]}.lock"
