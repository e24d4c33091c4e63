"""A collector of traces inside the cluster: the receiver of other tests, in a pod of a namespace of its own."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hack.demo import install
from hack.localcluster.layout import CHECKOUT
from tests.e2e.doors import SECURITY
from tests.services.collector import Received
from tests.services.installation import Installation

NAMESPACE, NAME, PORT = "observability", "collector", 4318
ENDPOINT = f"http://{NAME}.{NAMESPACE}.svc:{PORT}"
PEER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}}
_PROGRAM = "tests/services/collector.py", "tests/support/waiting.py"


@dataclass(frozen=True)
class PodCollector:
    """What came in, and its end."""

    place: Installation

    def traces(self) -> dict[str, list[Received]]:
        """Its spans by their trace."""
        found: dict[str, list[Received]] = defaultdict(list)
        for line in self.place.kube.kubectl("logs", NAME).splitlines():
            span = Received(**json.loads(line))
            found[span.trace].append(span)
        return found

    def take_away(self) -> None:
        """Let nobody answer at its address."""
        self.place.kube.kubectl("delete", "pod", NAME, "--grace-period=0", "--force", "--ignore-not-found")


@contextmanager
def collecting(trace: Installation) -> Iterator[PodCollector]:
    """A collector that answers at ENDPOINT while the block runs."""
    place = trace.within(NAMESPACE)
    install.namespace(place.kube)
    collector = PodCollector(place)
    place.apply(*_objects(trace.images["trace"]))
    try:
        place.wait("the collector is ready", lambda: bool(place.running(f"app={NAME}")))
        yield collector
    finally:
        collector.take_away()


def _objects(image: str) -> Iterator[dict[str, object]]:
    files = {path.rpartition("/")[2]: path for path in _PROGRAM}
    about = {"name": NAME, "labels": {"app": NAME}}
    texts = {name: (CHECKOUT / path).read_text() for name, path in files.items()}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": texts}
    spec = {"selector": {"app": NAME}, "ports": [{"port": PORT}]}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": spec}
    container = {
        "name": NAME,
        "image": image,
        "command": ["python3", "-m", "tests.services.collector", str(PORT)],
        "workingDir": "/program",
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "securityContext": SECURITY,
        "volumeMounts": [{"name": "program", "mountPath": "/program"}],
    }
    items = [{"key": name, "path": path} for name, path in files.items()]
    volume = {"name": "program", "configMap": {"name": NAME, "items": items}}
    pod = {"automountServiceAccountToken": False, "containers": [container], "volumes": [volume]}
    yield {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": pod}
