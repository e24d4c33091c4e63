"""A real Prometheus beside an installation, with the configuration of the docs and the chart's own rules.

It is Debian's program, which is built without Kubernetes discovery. A container beside it lists the pods instead,
with the same labels (hack/monitoring/discovery.py); all else of docs/examples/prometheus.yml is as it stands.
"""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

from hack.demo import install
from hack.demo.kube import Kube, wait_for
from hack.localcluster.layout import CHECKOUT, ClusterError
from hack.localcluster.progress import step

NAMESPACE = "monitoring"
PORT = 9090
IMAGE = "prometheus"
METRICS_FROM = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}}
"""Who scrapes, for `networkPolicies.metricsFrom` of the chart."""

_CONFIG = CHECKOUT / "docs" / "examples" / "prometheus.yml"
_MANIFESTS = Path(__file__).with_name("prometheus.yaml")
_DISCOVERY = "http://127.0.0.1:9091/?namespace="
_READY_SECONDS = 120.0
_MOST_BYTES = 64 * 1024 * 1024

Json = dict[str, Any]


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that answers at an address."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its HTTP API. ClusterError with what it says where it refuses."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return json.loads(answer.read(_MOST_BYTES))["data"]
        except urllib.error.HTTPError as refused:
            raise ClusterError(f"Prometheus: {refused.read(2000).decode(errors='replace')}") from refused
        except OSError as error:
            raise ClusterError(f"Prometheus at {self.url} does not answer: {error}") from error

    def query(self, expression: str) -> list[Json]:
        """The samples of an expression now: `metric` has the labels, `value` the time and the value."""
        found: list[Json] = self.ask("query", query=expression)["result"]
        return found

    def targets(self) -> list[Json]:
        """What it scrapes now, each with its `health` and `lastError`."""
        found: list[Json] = self.ask("targets", state="active")["activeTargets"]
        return found

    def alerts(self) -> list[str]:
        """Names of the alerts that are loaded."""
        groups: list[Json] = self.ask("rules", type="alert")["groups"]
        return [rule["name"] for group in groups for rule in group["rules"]]

    def firing(self) -> list[dict[str, str]]:
        """Labels of each alert that fires; `alertname` is one of them."""
        found: list[Json] = self.ask("alerts")["alerts"]
        return [alert["labels"] for alert in found if alert["state"] == "firing"]


def rules(kube: Kube, values: Mapping[str, Any]) -> Json:
    """The chart's alert rules, as it would give them to the operator."""
    rendered = kube.helm(
        *("template", install.RELEASE, str(install.CHART), "--show-only", "templates/prometheusrule.yaml"),
        *("--kube-version", "1.34.0", "--api-versions", "monitoring.coreos.com/v1/PrometheusRule"),
        *("--values", "-"),
        stdin=json.dumps(values),
    )
    spec: Json = yaml.safe_load(rendered)["spec"]
    return spec


def config(namespace: str, seconds: int) -> Json:
    """The configuration of the docs for a namespace, scraping every so many seconds, with that discovery."""
    found: Json = yaml.safe_load(_CONFIG.read_text())
    found["global"] = {"scrape_interval": f"{seconds}s", "evaluation_interval": f"{seconds}s"}
    (scrape,) = found["scrape_configs"]
    del scrape["kubernetes_sd_configs"]
    scrape["http_sd_configs"] = [{"url": f"{_DISCOVERY}{namespace}", "refresh_interval": f"{seconds}s"}]
    return found


def manifests(scraped: str, image: str, configuration: Json, loaded: Json) -> list[Json]:
    """The objects of a Prometheus that scrapes a namespace; those with a namespace of their own belong there."""
    texts = {"config": yaml.safe_dump(configuration), "rules": yaml.safe_dump(loaded, sort_keys=False)}
    filled = Template(_MANIFESTS.read_text()).substitute(
        # A text in JSON is one in YAML, on one line.
        {name: json.dumps(text) for name, text in texts.items()},
        image=image,
        scraped=scraped,
        namespace=NAMESPACE,
        checksum=hashlib.sha256(json.dumps(texts).encode()).hexdigest(),
    )
    return list(yaml.safe_load_all(filled))


def start(kube: Kube, loaded: Json, seconds: int) -> Kube:
    """Bring Prometheus up with these rules, or bring it up to date; returns its own namespace."""
    own = Kube(NAMESPACE, kube.layout)
    with step("starting Prometheus") as progress:
        image = install.image(IMAGE)
        install.namespace(own)
        for document in manifests(kube.namespace, image, config(kube.namespace, seconds), loaded):
            place = kube if document["metadata"].get("namespace") == kube.namespace else own
            place.kubectl("apply", "--server-side", "--filename", "-", stdin=json.dumps(document))
        wait_for("Prometheus is ready", _READY_SECONDS, lambda: install.ready(own), progress)
    return own


@contextmanager
def reached(own: Kube) -> Iterator[Prometheus]:
    """The Prometheus, with a port-forward to it while the block runs."""
    with own.forward("service/prometheus", PORT) as url:
        yield Prometheus(url)


def standing(prometheus: Prometheus) -> tuple[bool, str]:
    """Whether the three processes of Trace are scraped and everything that is scraped is up; and what is not."""
    targets = prometheus.targets()
    down = [f"{target['scrapeUrl']}: {target['lastError']}" for target in targets if target["health"] != "up"]
    processes = {sample["metric"]["process"] for sample in prometheus.query("trace_build_info")}
    missing = {"controller", "dispatcher", "query"} - processes
    return not down and not missing, "; ".join([*down, *(f"no {name} is scraped" for name in sorted(missing))])


def look(kube: Kube, values: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """What `make demo MONITORING=1` adds: Prometheus, and what it says of the installation."""
    own = start(kube, rules(kube, values), seconds=5)
    with reached(own) as prometheus:
        with step("waiting for every target to be scraped") as progress:
            wait_for("every target is up", _READY_SECONDS, lambda: standing(prometheus), progress)
        for target in prometheus.targets():
            labels = target["labels"]
            say(f"  {target['health']:5} {labels['pod']:45} {target['scrapeUrl']}")
        firing = sorted({labels["alertname"] for labels in prometheus.firing()})
        say(f"\n{len(prometheus.alerts())} alerts are loaded; firing: {', '.join(firing) or 'none'}")
