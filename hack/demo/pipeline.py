"""The example pipeline on the installed system: apply, wait for its conditions and for a first compacted range."""

from __future__ import annotations

from pathlib import Path

from hack.demo.ask import User
from hack.demo.kube import Kube, wait_for
from hack.localcluster.progress import step

DAG = "chain"
COLD_TABLE = "cold_blocks"
READY_SECONDS = 180.0
COMPACTED_SECONDS = 300.0


def apply(kube: Kube, files: list[Path]) -> None:
    """`kubectl apply` every file."""
    for file in files:
        print(kube.kubectl("apply", "--filename", str(file)).rstrip())


def wait_ready(kube: Kube, dag: str = DAG) -> None:
    """Wait until the DAG says that it is `Ready`."""

    def look() -> tuple[bool, str]:
        status, message = kube.condition("dag", dag, "Ready")
        return status == "True", message

    with step(f"waiting for DAG {dag} to be Ready") as progress:
        wait_for(f"DAG {dag} is Ready", READY_SECONDS, look, progress)


def wait_compacted(user: User, table: str = COLD_TABLE) -> int:
    """Wait for the first range of blocks in the object store; returns how many blocks are there."""
    counted = 0

    def look() -> tuple[bool, str]:
        nonlocal counted
        counted = int(user.rows(f"SELECT count(*) FROM {table}")[0][0])
        return counted > 0, "no block in the object store yet"

    with step("waiting for a first range to be compacted to Parquet") as progress:
        wait_for("a range is compacted", COMPACTED_SECONDS, look, progress)
    return counted
