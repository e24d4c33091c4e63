"""What assets of other DAGs are for a DAG that reads them: versions with their schemas, or why not.

Between the look and the deploy that DAG goes on. A deploy holds what it reads, and a purge what it takes away: the
second of the two waits for the first, and sees what that did.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from traceplane.errors import Stale
from traceplane.graph import AssetRef, AssetVersion, Found, Graph, columns_of, may_not_read
from traceplane.store.engine import Connection
from traceplane.store.statements import asset_inputs, notify
from traceplane.store.statements.asset_inputs import CurrentAsset
from traceplane.store.statements.pointers import DagKey
from traceplane_sdk.operator import OutputSchema, Storage


async def look_up(conn: Connection, dag: DagKey, refs: Collection[AssetRef]) -> Found:
    """What is known of `refs` now; nothing of those that nobody publishes."""
    return found(dag.namespace, dag.dag, await asset_inputs.current(conn, dag, refs))


async def hold(conn: Connection, graph: Graph) -> None:
    """Let nothing be purged that a graph which is about to be deployed reads of other DAGs. Raises Stale."""
    read = {UUID(edge.asset.version_id): edge.asset for job in graph.jobs for edge in job.inputs if edge.asset}
    held = await asset_inputs.hold(conn, read) if read else set()
    if purged := sorted(asset.title for version, asset in read.items() if version not in held):
        raise Stale(
            f"DAG {graph.dag}: what asset {purged[0]} was when it was looked up is purged since; it is looked up "
            "anew"
        )


async def wake_readers(conn: Connection, dag: DagKey) -> None:
    """Let the controllers of DAGs that read assets of `dag` look at them anew: what its assets mean changes."""
    if readers := await asset_inputs.reading_dags(conn, dag):
        await notify.deployed(conn, *readers)


def found(namespace: str, dag: str, rows: Iterable[CurrentAsset], written: str | None = None) -> Found:
    """The same, of what was read for a DAG; `written`: what its manifest calls its namespace."""
    known: dict[AssetRef, AssetVersion | str] = {}
    for row in rows:
        ref = AssetRef(written or namespace if row.namespace == namespace else row.namespace, row.asset)
        if refused := _refusal(namespace, dag, row):
            known[ref] = refused
        elif row.version_id is not None:
            known[ref] = _version(ref, row)
    return known


def _refusal(namespace: str, dag: str, row: CurrentAsset) -> str | None:
    if not row.allowed:
        return may_not_read(AssetRef(row.namespace, row.asset), namespace)
    if row.federation is not None:
        hot, cold = row.federation.get("hot"), row.federation.get("cold")
        return (
            f"{row.asset!r} is Federated, one relation for readers; a job reads {hot!r}, and through it what was "
            f"compacted, or {cold!r}, what is compacted"
        )
    if (row.namespace, row.dag) == (namespace, dag):
        return f"{row.asset!r} is this DAG's own, and spec.publish does not name it any more; read the job's output"
    return None


def _version(ref: AssetRef, row: CurrentAsset) -> AssetVersion:
    return AssetVersion(
        namespace=ref.namespace,
        asset=ref.asset,
        dag=row.dag or "",
        job=row.job or "",
        output=row.output or "",
        dataset_id=str(row.dataset_id),
        version_id=str(row.version_id),
        location=row.location or "",
        schema=OutputSchema(
            storage=Storage(row.storage or ""),
            columns=columns_of(row.columns or ()),
            unique_key=tuple(row.unique_key or ()),
            scope_column=row.scope_column or "",
            sort_by=tuple(row.sort_by or ()),
            finality_depth=row.finality_depth,
            first_value=row.first_value,
            unverified=tuple(row.unverified or ()),
            sparse=bool(row.sparse),
        ),
        made_from=frozenset(row.made_from),
    )
