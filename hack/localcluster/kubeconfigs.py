"""Kubeconfig files: the address of the API server and the certificate a client proves itself with.

Certificates are embedded, so that the file can be copied or mounted alone. JSON is YAML, so no YAML writer is
needed.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from .atomic import write_file
from .certificates import Pair


def write(path: Path, *, server: str, authority: Path, client: Pair, name: str = "trace") -> None:
    """Write a kubeconfig for one server URL and one client certificate, readable by its owner only."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": _encoded(authority)}}
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": _encoded(client.certificate),
                    "client-key-data": _encoded(client.key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
    }
    write_file(path, json.dumps(document, indent=2) + "\n", mode=0o600)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
