"""Deleting a DAG, in steps that the controller's finalizer takes and may repeat.

`begin` takes the DAG out of service; the finalizer then looks at `running` until nothing runs or its time is over,
and calls `finish`. Each step may be repeated after a crash. A DAG that was deleted and applied again under its name
belongs to a new resource (another uid): the steps of the old one then do nothing. Data, versions and generations
stay, and a DAG of the same name that is applied again finds them.
"""

from __future__ import annotations

from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.statements import cancel, pointers, publications, versions, views
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import asset_inputs


async def begin(conn: Connection, dag: DagKey, resource_uid: str) -> bool:
    """Stop routing and publishing, cancel what waits, ask what runs to stop; False for another resource's DAG."""
    return await _retire(conn, dag, resource_uid) is not None


async def running(conn: Connection, dag: DagKey) -> int:
    """How many tasks of the DAG still run."""
    return await cancel.count_running(conn, job_ids=await versions.generation_ids(conn, dag))


async def finish(conn: Connection, dag: DagKey, resource_uid: str) -> int:
    """Cancel what still waits or runs, without waiting for its workers; how many tasks ran."""
    # Everything again: a crash, or a controller of before, may have left out the first step.
    job_ids = await _retire(conn, dag, resource_uid)
    return 0 if job_ids is None else await cancel.end_running(conn, job_ids=job_ids)


async def _retire(conn: Connection, dag: DagKey, resource_uid: str) -> list[UUID] | None:
    """Take the DAG out of service; its job generations, or None where it belongs to another resource."""
    if not await pointers.retire(conn, dag, resource_uid):
        return None
    # The pointer row is locked from here on, so no deploy adds a generation behind these ids.
    job_ids = await versions.generation_ids(conn, dag)
    if await publications.withdraw(conn, dag):  # at the first time: this step is repeated while tasks still run
        await asset_inputs.wake_readers(conn, dag)
    await views.request(conn, dag.org_id, dag.namespace, [dag.dag])
    await cancel.waiting(conn, job_ids=job_ids)
    await cancel.request_stop(conn, job_ids=job_ids)
    return job_ids
