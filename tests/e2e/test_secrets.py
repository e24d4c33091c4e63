"""No secret of the installation is anywhere but in its Secrets: not in logs, objects, events, metrics or tables."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from hack.localcluster.layout import ClusterError
from tests.services.installation import Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

KINDS = "pods,deployments,statefulsets,replicasets,services,configmaps,events,leases,dags,tjob,assets,nodes"
SHORTEST = 12


def secrets(trace: Installation) -> dict[str, str]:
    """Every secret word: values as they are, passwords out of DSNs, and lines of keys."""
    words: dict[str, str] = {}
    for item in trace.kube.items("secrets", "--selector", "app.kubernetes.io/instance=trace"):
        for key, encoded in item["data"].items():
            value = base64.b64decode(encoded).decode()
            name = f"{item['metadata']['name']}/{key}"
            if key == "access-key-id":
                continue  # a name, which signed URLs show
            if "://" in value:
                words[name] = urlsplit(value).password or ""
            elif value.startswith("-----"):
                words.update({f"{name}:{n}": line for n, line in enumerate(value.splitlines()[1:-1])})
            else:
                words.update({f"{name}:{n}": line for n, line in enumerate(value.split())})
    return {name: word for name, word in words.items() if len(word) >= SHORTEST}


def said(trace: Installation) -> Iterator[tuple[str, str]]:
    """Everything the installation shows to somebody: where, and what."""
    kubectl = trace.kube.kubectl
    for pod in trace.pods():
        name = pod["metadata"]["name"]
        try:
            logs = kubectl("logs", name, "--all-containers", "--ignore-errors")
        except ClusterError as gone:  # an idle worker leaves by itself, and its log with it
            if "(NotFound)" not in str(gone):
                raise
            continue
        yield f"logs of {name}", logs
    yield "objects", kubectl("get", KINDS, "--output", "json")
    for component, port in (("dispatcher", 8080), ("dispatcher", 8082), ("controller", 9090)):
        pod = trace.one(f"app.kubernetes.io/component={component}")
        fetch = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/metrics').read().decode())"
        argv = ("--container", component, "--", "python3", "-c", fetch)
        yield f"metrics of {component}:{port}", kubectl("exec", pod["metadata"]["name"], *argv)
    postgres = trace.one("app.kubernetes.io/component=postgres")
    for database in ("trace_state", "trace_data"):
        dump = ("pg_dump", "--host", "/tmp", "--username", "postgres", "--exclude-table-data=hot.*", database)
        yield database, kubectl("exec", postgres["metadata"]["name"], "--container", "postgres", "--", *dump)


def test_no_secret_is_shown_anywhere(trace: Installation) -> None:
    trace.rows("SELECT count(*) FROM blocks")
    words = secrets(trace)
    kinds = {name.partition("/")[0] for name in words}
    assert kinds >= {"trace-postgres", "trace-state", "trace-data", "trace-worker", "trace-capability", "trace-s3"}
    found = [
        f"{name} in {place}"
        for place, text in said(trace)
        for name, word in words.items()
        if re.search(re.escape(word), text)
    ]
    assert not found


def test_the_search_finds_what_is_there(trace: Installation) -> None:
    """The search itself: a secret word in a ConfigMap is found."""
    word = next(iter(secrets(trace).values()))
    trace.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "leak"}, "data": {"word": word}})
    try:
        assert word in dict(said(trace))["objects"]
    finally:
        trace.kube.kubectl("delete", "configmap", "leak")
