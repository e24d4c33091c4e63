"""Draining a deleted DAG, in steps that the controller's finalizer takes and may repeat.

`begin` takes it out of service; the finalizer then looks at `running` until nothing runs or its time is over, and
calls `finish`. Each step may be repeated after a crash. A DAG that was deleted and applied again under its name
belongs to a new resource (another uid): the steps of the old one then do nothing.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from traceplane.store.statements import drain as statements


async def begin(conn: AsyncConnection, *, org_id: UUID, namespace: str, dag: str, resource_uid: str) -> bool:
    """Stop routing and publishing, cancel what waits, ask what runs to stop; whether the DAG was its own."""
    return await _retire(conn, {"org": org_id, "namespace": namespace, "dag": dag}, resource_uid)


async def running(conn: AsyncConnection, *, org_id: UUID, namespace: str, dag: str) -> int:
    """How many tasks of the DAG still run."""
    names = {"org": org_id, "namespace": namespace, "dag": dag}
    return int((await conn.execute(statements.RUNNING, names)).scalar_one())


async def finish(conn: AsyncConnection, *, org_id: UUID, namespace: str, dag: str, resource_uid: str) -> int:
    """Cancel what still waits or runs; how many ran. Nothing may call itself part of the DAG afterwards."""
    names = {"org": org_id, "namespace": namespace, "dag": dag}
    if not await _retire(conn, names, resource_uid):
        return 0
    return (await conn.execute(statements.CANCEL_RUNNING, names)).rowcount


async def _retire(conn: AsyncConnection, names: dict[str, object], resource_uid: str) -> bool:
    if (await conn.execute(statements.RETIRE, names | {"uid": resource_uid})).first() is None:
        return False
    for statement in (statements.UNPUBLISH, statements.CANCEL_WAITING, statements.ASK_TO_STOP):
        await conn.execute(statement, names)
    return True
