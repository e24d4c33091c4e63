"""Rendering the chart with the real helm, once per set of values."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.services import tool

CHART = Path(__file__).resolve().parents[2] / "charts" / "trace"
NAMESPACE = "ns1"

EXTERNAL = {
    "postgres": {"enabled": False},
    "minio": {"enabled": False},
    "state": {"existingSecret": "my-state"},
    "data": {"existingSecret": "my-data"},
    "worker": {"existingSecret": "my-worker"},
    "capability": {"existingSecret": "my-capability"},
    "s3": {"existingSecret": "my-s3", "endpoint": "https://s3.example.org"},
}
"""Values of an installation whose stores and secrets are its owner's."""


class Refused(Exception):
    """helm would not render these values; the message is helm's."""


@functools.cache
def _helm() -> str:
    return tool("helm")


OPERATOR = ("monitoring.coreos.com/v1/PrometheusRule", "monitoring.coreos.com/v1/PodMonitor")
"""Kinds that a cluster with the Prometheus operator has."""


@functools.cache
def _render(values: str, kinds: tuple[str, ...]) -> str:
    argv = [
        *(_helm(), "template", "release1", str(CHART), "--namespace", NAMESPACE, "--values", "-"),
        # The helm we build does not know which Kubernetes it was made for.
        *("--kube-version", "1.34.0"),
        *(part for kind in kinds for part in ("--api-versions", kind)),
    ]
    done = subprocess.run(argv, input=values, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


class Rendered(list[dict[str, Any]]):
    """The documents of a rendering."""

    def kind(self, kind: str) -> list[dict[str, Any]]:
        return [document for document in self if document["kind"] == kind]

    def one(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = [document for document in self.kind(kind) if document["metadata"]["name"] == name]
        return found

    def pods(self) -> list[tuple[str, dict[str, Any]]]:
        """(name, pod spec) of everything that becomes a pod."""
        found = [(document["metadata"]["name"], document["spec"]) for document in self.kind("Pod")]
        for kind in ("Deployment", "StatefulSet", "Job"):
            found += [(item["metadata"]["name"], item["spec"]["template"]["spec"]) for item in self.kind(kind)]
        return found

    def containers(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (f"{name}/{container['name']}", container)
            for name, spec in self.pods()
            for container in [*spec.get("initContainers", []), *spec["containers"]]
        ]


@pytest.fixture(scope="session")
def render():
    """Renders values; `Refused` with helm's words where it will not. `kinds`: what the cluster has further."""

    def run(kinds: tuple[str, ...] = (), **values: Any) -> Rendered:
        # libyaml's loader: the one in Python takes longer than helm.
        documents = yaml.load_all(_render(json.dumps(values), kinds), Loader=yaml.CSafeLoader)
        return Rendered(document for document in documents if document)

    return run


@pytest.fixture(scope="session")
def helm():
    """Runs helm; returns exit code and output."""

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run([_helm(), *arguments], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def notes(helm, tmp_path_factory):
    """Renders NOTES.txt, which `helm template` leaves out: a copy of the chart has it in a ConfigMap as well."""
    folder = tmp_path_factory.mktemp("notes")
    copy = folder / "trace"
    shutil.copytree(CHART, copy)
    text = (CHART / "templates" / "NOTES.txt").read_text()
    (copy / "templates" / "notes.yaml").write_text(
        f'{{{{- define "test.notes" -}}}}\n{text}{{{{- end -}}}}\n'
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\n"
        'data: {notes: {{ include "test.notes" . | quote }}}\n'
    )

    def run(kinds: tuple[str, ...] = (), **values: Any) -> str:
        file = folder / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        code, said = helm(
            *("template", "release1", str(copy), "--namespace", NAMESPACE, "--values", str(file)),
            *("--kube-version", "1.34.0", "--show-only", "templates/notes.yaml"),
            *(part for kind in kinds for part in ("--api-versions", kind)),
        )
        assert code == 0, said
        return yaml.safe_load(said)["data"]["notes"]

    return run
