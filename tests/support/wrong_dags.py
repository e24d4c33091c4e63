"""DAGs in which things are wrong while drills run: a statement that always fails, and a source without its chain.

Their alerts take the longest to fire, so they stand beside other drills instead of being waited for.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from hack.localcluster.layout import CHECKOUT
from tests.services.installation import Installation

STATEMENT = {"dag": "fails", "job_name": "sum"}
SOURCE = {"dag": "blind", "job_name": "follow"}
"""Labels of the two in metrics and alerts."""
_POOL = "away"
_SQL = """
SELECT $partition_start AS first_block, max(CAST(block_hash AS BIGINT)) AS blocks
FROM follow_blocks WHERE block_number BETWEEN $partition_start AND $partition_end"""


@dataclass(frozen=True)
class Wrong:
    """What is wrong, and how either of it ends."""

    trace: Installation

    def give_up_statement(self) -> None:
        """Delete the DAG of the statement, as an owner does who writes it anew under another name."""
        _delete(self.trace, STATEMENT["dag"])

    def bring_chain(self) -> None:
        """Lead the address of the chain that is away to the one that there is."""
        _lead(self.trace, "example-chain")


@contextmanager
def wrong_dags(trace: Installation) -> Iterator[Wrong]:
    """Both while the block runs."""
    _lead(trace, "nobody")
    urls = {"urls": f"http://{_POOL}.{trace.kube.namespace}.svc:8545"}
    pool = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"rpcpool-{_POOL}"}, "stringData": urls}
    example = yaml.safe_load((CHECKOUT / "operators" / "query" / "example.yaml").read_text())
    wrong = Wrong(trace)
    trace.apply(pool, _failing(example, trace.head()), _blind(example))
    try:
        yield wrong
    finally:
        names = {STATEMENT["dag"], SOURCE["dag"]}
        _delete(trace, *names)
        trace.wait(
            "both are drained", lambda: not names & {dag["metadata"]["name"] for dag in trace.kube.items("dags")}
        )
        trace.kube.kubectl("delete", f"service/{_POOL}", f"secret/rpcpool-{_POOL}")


def _failing(example: dict[str, Any], start: int) -> dict[str, Any]:
    """The example of the operator `query` from a block on, with a statement that no row lets through."""
    dag = copy.deepcopy(example)
    dag["metadata"]["name"] = STATEMENT["dag"]
    del dag["spec"]["publish"]
    follow, ranges, run = dag["spec"]["jobs"]
    follow["config"]["startBlock"] = start
    ranges["config"]["rangeSize"] = 10
    columns = [{"name": name, "type": "Int64"} for name in ("first_block", "blocks")]
    run["config"] |= {"sql": _SQL, "columns": columns}
    run["maxAttempts"] = 1
    return dag


def _blind(example: dict[str, Any]) -> dict[str, Any]:
    """A source alone, whose pool leads nowhere yet."""
    (follow, *_) = copy.deepcopy(example)["spec"]["jobs"]
    follow["config"]["rpcPool"] = _POOL
    return {**example, "metadata": {"name": SOURCE["dag"]}, "spec": {"jobs": [follow]}}


def _delete(trace: Installation, *dags: str) -> None:
    trace.kube.kubectl("delete", "dag", *dags, "--ignore-not-found", "--wait=false")


def _lead(trace: Installation, component: str) -> None:
    spec = {"selector": {"app.kubernetes.io/component": component}, "ports": [{"port": 8545}]}
    trace.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": _POOL}, "spec": spec})
