"""Where the API server is and who we are: a pod's service account, or the kubeconfig that KUBECONFIG names.

Nothing else is looked at. A controller that falls back to `~/.kube/config` acts, one day, on the cluster a
person happened to have used last. Only what a process can use unattended is supported: client certificates,
tokens and token files, not the exec plugins that open a browser.

Outside source: the kubeconfig format of kubernetes.io "Organizing Cluster Access Using kubeconfig Files", and
"Accessing the Kubernetes API from a Pod" for the paths of the service account.
"""

from __future__ import annotations

import base64
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from traceplane.errors import InvalidSettings

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_SECONDS = 60.0
"""A bound service account token is rotated well before it expires (kubelet: at 80 % of an hour or more)."""


@dataclass(frozen=True, slots=True)
class Access:
    """Address, TLS and bearer token of one API server."""

    server: str
    tls: ssl.SSLContext | bool
    token: Callable[[], str | None]
    """The bearer token as of now; None where the client certificate speaks for us."""


def discover(environment: Mapping[str, str], service_account: Path = SERVICE_ACCOUNT) -> Access:
    """Access from `KUBECONFIG`, else from the pod's service account. InvalidSettings where there is neither."""
    if path := environment.get("KUBECONFIG"):
        return from_kubeconfig(Path(path))
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if host and (service_account / "token").exists():
        tls = ssl.create_default_context(cafile=str(service_account / "ca.crt"))
        address = f"[{host}]" if ":" in host else host
        return Access(f"https://{address}:{port}", tls, _FileToken(service_account / "token"))
    raise InvalidSettings("no API server: set KUBECONFIG, or run in a pod with a service account token")


def from_kubeconfig(path: Path) -> Access:
    """Access of the current context of one kubeconfig file."""
    try:
        config = yaml.safe_load(path.read_text())
        context = _named(config, "contexts", "context", config["current-context"])
        cluster = _named(config, "clusters", "cluster", context["cluster"])
        user = _named(config, "users", "user", context["user"])
        server = str(cluster["server"]).rstrip("/")
    except OSError as error:
        raise InvalidSettings(f"KUBECONFIG: cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise InvalidSettings(f"KUBECONFIG: {path} has no complete current context") from error
    unsupported = [key for key in ("exec", "auth-provider", "username") if key in user]
    if unsupported:
        raise InvalidSettings(f"KUBECONFIG: {path}: user has {unsupported[0]!r}; use a certificate or a token")
    return Access(server, _tls(cluster, user, path.parent), _token(user, path.parent))


def _named(config: Any, section: str, key: str, name: str) -> Any:
    return next(entry[key] for entry in config[section] if entry["name"] == name)


def _token(user: Mapping[str, Any], base: Path) -> Callable[[], str | None]:
    if file := user.get("tokenFile"):
        return _FileToken(base / file)
    token: str | None = user.get("token")
    return lambda: token


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], base: Path) -> ssl.SSLContext | bool:
    if cluster.get("insecure-skip-tls-verify"):
        return False
    authority = _content(cluster, "certificate-authority", base)
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    certificate, key = _content(user, "client-certificate", base), _content(user, "client-key", base)
    if certificate and key:
        _load_client(context, certificate, key)
    return context


def _content(section: Mapping[str, Any], key: str, base: Path) -> bytes | None:
    """The bytes that `key` names a file of, or that `key`-data holds."""
    if data := section.get(f"{key}-data"):
        return base64.b64decode(data)
    return (base / section[key]).read_bytes() if section.get(key) else None


def _load_client(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Give `context` a client certificate. The ssl module reads it from files only, so they exist for a moment."""
    with tempfile.NamedTemporaryFile() as cert_file, tempfile.NamedTemporaryFile() as key_file:
        for file, content in ((cert_file, certificate), (key_file, key)):
            file.write(content)
            file.flush()
        context.load_cert_chain(cert_file.name, key_file.name)


class _FileToken:
    """A token file, read again once a minute: rotation must not need a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = float("-inf")
        self._token = ""

    def __call__(self) -> str:
        if time.monotonic() - self._read_at > _TOKEN_SECONDS:
            self._token = self._path.read_text().strip()
            self._read_at = time.monotonic()
        return self._token
