"""`make demo` and `make demo-down`.

`up` may be repeated: it does what is missing and proves again. `down` needs nothing but Python, and may be
repeated too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from hack.localcluster.layout import CHECKOUT, ClusterError

_SQL = """\
SELECT date_trunc('minute', block_timestamp) AS minute, count(*) AS blocks, sum(transaction_count) AS transactions,
       min(block_number) AS first, max(block_number) AS last
FROM blocks GROUP BY 1 ORDER BY 1"""

_AROUND = """
Trace is running. Look around (each line works as it stands):

  hack/cluster exec -- kubectl -n {namespace} get trace            # DAGs, jobs, assets
  hack/cluster exec -- kubectl -n {namespace} describe dag {dag}   # conditions and events
  hack/cluster exec -- kubectl -n {namespace} get pods --watch     # worker pods come and go
  hack/cluster exec -- kubectl -n {namespace} logs deploy/trace-dispatcher -c dispatcher
  hack/cluster exec -- helm -n {namespace} test {release}
  hack/cluster exec -- .venv/bin/tracectl query -n {namespace} "SELECT count(*) FROM blocks"

Take it down: make demo-down
"""


_PROMETHEUS = """
Prometheus scrapes it, with the chart's alerts loaded:

  hack/cluster exec -- kubectl -n {namespace} port-forward service/prometheus {port}
  http://127.0.0.1:{port}/classic/targets    # and /classic/alerts, /classic/graph
"""


def up(monitored: bool = False) -> int:
    """Raise everything, run the pipeline, ask, and prove the answer. 0 when the proof holds."""
    from hack.demo import install, monitoring, pipeline
    from hack.demo.ask import user
    from hack.demo.kube import Kube
    from hack.demo.prove import prove
    from hack.localcluster.progress import step

    began = time.monotonic()
    install.forget_stopped()
    install.cluster_up()
    references = install.images()
    kube = Kube(install.NAMESPACE)
    values = install.example_values()
    if monitored:
        values["networkPolicies"] = {"metricsFrom": [monitoring.METRICS_FROM]}
    install.chart(kube, references, values)
    pipeline.apply(kube, install.manifests())
    pipeline.wait_ready(kube)
    with user(kube) as admin, kube.forward("service/trace-chain", 8545) as rpc:
        blocks = pipeline.wait_compacted(admin)
        _title(f"The pipeline: {blocks} blocks are compacted, and new ones keep coming")
        print(kube.kubectl("get", "dags,tjob,assets"))
        print(kube.kubectl("get", "pods"))
        _title("SQL over cold Parquet and hot rows as one table")
        print(_SQL + "\n")
        print(admin.tracectl("query", "--namespace", kube.namespace, _SQL))
        with step("comparing every row with the node") as progress:
            proof = prove(admin.rows, rpc, step=progress)
    _title("The proof")
    print(proof)
    if monitored:
        _title("What Prometheus sees")
        monitoring.look(kube, values, print)
        print(_PROMETHEUS.format(namespace=monitoring.NAMESPACE, port=monitoring.PORT))
    print(_AROUND.format(namespace=kube.namespace, dag=pipeline.DAG, release=install.RELEASE))
    print(f"({time.monotonic() - began:.0f} s)")
    return 0 if proof.holds else 1


def down() -> int:
    """End the cluster and with it everything that ran on it."""
    return subprocess.run([sys.executable, str(CHECKOUT / "hack" / "cluster"), "down"]).returncode


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def main(argv: list[str]) -> int:
    """Run a verb; returns the exit code."""
    verbs: dict[tuple[str, ...], Callable[[], int]] = {
        ("up",): up,
        ("up", "--monitoring"): lambda: up(monitored=True),
        ("down",): down,
    }
    if tuple(argv) not in verbs:
        print("usage: python -m hack.demo up [--monitoring] | down")
        return 2
    try:
        return verbs[tuple(argv)]()
    except ClusterError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; `make demo` goes on from here, `make demo-down` removes it", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
