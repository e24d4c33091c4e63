"""Tells a Prometheus which pods a namespace has, over HTTP: Debian's is built without Kubernetes discovery.

Prometheus asks `/?namespace=NAME` (`http_sd_configs`), and each answer is a fresh list of the API server. A
target and its labels are those of role `pod` of `kubernetes_sd_configs`, so the same relabelling serves both.
Where the API server does not answer, neither does this, and Prometheus keeps the targets that it had.

    python3 -m hack.monitoring.discovery    # in a pod, whose service account may list pods
"""

from __future__ import annotations

import json
import os
import re
import ssl
import sys
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

LISTEN = ("127.0.0.1", 9091)
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SECONDS = 10.0
_MOST_BYTES = 32 * 1024 * 1024
_META = "__meta_kubernetes_"

Json = dict[str, Any]


def targets(pods: list[Json]) -> list[Json]:
    """A target for each port that a container of a pod with an address names. Pure."""
    return [target for pod in pods if pod.get("status", {}).get("podIP") for target in _of_pod(pod)]


def _of_pod(pod: Json) -> Iterator[Json]:
    metadata, status = pod["metadata"], pod["status"]
    labels = {
        f"{_META}namespace": metadata["namespace"],
        f"{_META}pod_name": metadata["name"],
        f"{_META}pod_phase": status.get("phase", "Unknown"),
    }
    for name, value in metadata.get("labels", {}).items():
        labels[f"{_META}pod_label_{re.sub('[^a-zA-Z0-9_]', '_', name)}"] = value
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", []):
            yield {
                "targets": [f"{status['podIP']}:{port['containerPort']}"],
                "labels": {
                    **labels,
                    f"{_META}pod_container_name": container["name"],
                    f"{_META}pod_container_port_name": port.get("name", ""),
                },
            }


def pods(namespace: str) -> list[Json]:
    """The pods of a namespace, by the API server. OSError where it does not answer, or answers too much."""
    server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    token = (_ACCOUNT / "token").read_text().strip()  # read anew: the kubelet renews it
    request = urllib.request.Request(
        f"{server}/api/v1/namespaces/{quote(namespace, safe='')}/pods", headers={"Authorization": f"Bearer {token}"}
    )
    trusted = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=_SECONDS, context=trusted) as answer:
        body = answer.read(_MOST_BYTES + 1)
    if len(body) > _MOST_BYTES:
        raise OSError(f"the list of pods of {namespace} is larger than {_MOST_BYTES} bytes")
    items: list[Json] = json.loads(body)["items"]
    return items


class Handler(BaseHTTPRequestHandler):
    """Answers Prometheus, which asks from the same pod."""

    def do_GET(self) -> None:
        """The targets of the namespace that is asked for; 503 where they are not known."""
        namespace = parse_qs(urlsplit(self.path).query).get("namespace", [""])[0]
        try:
            code, body = 200, json.dumps(targets(pods(namespace)))
        except OSError as unknown:
            code, body = 503, str(unknown)
            print(f"pods of {namespace}: {unknown}", file=sys.stderr, flush=True)
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: Prometheus asks every few seconds."""


if __name__ == "__main__":
    ThreadingHTTPServer(LISTEN, Handler).serve_forever()
