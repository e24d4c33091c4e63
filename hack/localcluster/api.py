"""A small client of the Kubernetes API on the standard library: requests and watches with JSON.

Enough for the commands here and the node agent; the project's controller uses a real client library.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .layout import ClusterError

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_TIMEOUT = 10.0


class Api:
    """The API server of one kubeconfig written by ``kubeconfigs``."""

    def __init__(self, kubeconfig: Path) -> None:
        document = json.loads(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self._server: str = cluster["server"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        # The standard library loads client certificates from files only.
        with tempfile.NamedTemporaryFile("wb", suffix=".pem") as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]))
            pair.flush()
            self._context.load_cert_chain(pair.name)

    def ready(self) -> bool:
        """Whether the API server answers that it is ready."""
        return self.answers("/readyz")

    def answers(self, path: str) -> bool:
        """Whether a GET of a path is answered with success, whatever the body."""
        try:
            with self._open("GET", path, None, "", timeout=2.0) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def get(self, path: str) -> Any:
        """The decoded answer to a GET."""
        return self.request("GET", path)

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Send one request and decode its answer; an answer of 400 or more raises ``ClusterError``."""
        data = None if body is None else json.dumps(body).encode()
        try:
            with self._open(method, path, data, content_type, timeout=_TIMEOUT) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            detail = refused.read(4096).decode(errors="replace")
            raise ClusterError(f"{method} {path}: {refused.code} {detail}") from refused
        except OSError as broken:
            raise ClusterError(f"{method} {path}: {broken}") from broken

    def apply(self, path: str, document: Any) -> Any:
        """Server-side apply of one object at its own path, as the field manager ``hack-cluster``."""
        return self.request("PATCH", f"{path}?fieldManager=hack-cluster&force=true", document, APPLY_PATCH)

    def watch(self, path: str, version: str, seconds: int) -> Iterator[dict[str, Any]]:
        """Events of a collection after a resource version, for a bounded time."""
        query = f"{path}?watch=1&resourceVersion={version}&timeoutSeconds={seconds}"
        with self._open("GET", query, None, "", timeout=seconds + _TIMEOUT) as answer:
            for line in answer:
                yield json.loads(line)

    def _open(self, method: str, path: str, data: bytes | None, content_type: str, timeout: float) -> Any:
        headers = {"Accept": "application/json"}
        if data is not None:
            headers["Content-Type"] = content_type
        request = urllib.request.Request(self._server + path, data, headers, method=method)
        return urllib.request.urlopen(request, timeout=timeout, context=self._context)
