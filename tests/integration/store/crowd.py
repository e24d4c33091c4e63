"""One DAG alone in its database, and the same DAG in one that is full of its like.

What is written in either is undone at the end of a test, so that all tests share the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import sql

from tests import graphs, services
from tests.integration.store.assets import ASSET, declared
from tests.support.deploying import NEIGHBOUR
from traceplane.store import tables
from traceplane.store.engine import Connection, Database
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import deploy as deploying

DAG = DagKey(services.ORG_ID, "demo", "chain")
OTHER = DagKey(services.ORG_ID, "demo", "also")
OTHERS = (DagKey(NEIGHBOUR, "demo", "chain"), DagKey(services.ORG_ID, "aside", "chain"), OTHER)
"""Each differs from DAG in one part of its key, and a search that forgets the part may find it first."""

UID = "uid-1"
"""The resource that every DAG was taken from."""

_RUN = (
    "UPDATE tasks SET status = 'Running', attempt = 1, started_at = now(), lease_token = gen_random_uuid(),"
    " claim_id = gen_random_uuid(), worker_id = id::text, lease_epoch = 1, lease_expires_at = now()"
)

Act = Callable[[Connection], Awaitable[Any]]
Rows = Counter[tuple[str, str]]


async def deploy(
    conn: Connection,
    dag: DagKey = DAG,
    *,
    change: Callable[[dict[str, Any]], Any] = lambda _: None,
    uid: str = UID,
    generation: int = 1,
) -> deploying.Deployment:
    """Deploy the chain DAG under `dag`, changed."""
    manifest = graphs.chain(dag.dag)
    manifest["metadata"]["namespace"] = dag.namespace
    for published in manifest["spec"]["publish"]:
        published["asset"] += "" if dag.dag == DAG.dag else f"-of-{dag.dag}"  # a namespace has each name once
    change(manifest)
    return await deploying.deploy(
        conn,
        org_id=dag.org_id,
        graph=graphs.assembled(manifest),
        resource_uid=uid,
        generation=generation,
        bucket="bucket",
    )


async def fill(databases: services.Databases, dags: Sequence[DagKey]) -> None:
    """Each DAG with a running source and nothing provisioned or asked for, and two assets in its namespace."""
    state = Database(databases.state_dsn, application="test")
    async with state.transaction() as conn:
        await conn.execute("INSERT INTO orgs (id, name) VALUES (%s, 'neighbour')", (NEIGHBOUR,))
        for dag in dags:
            await deploy(conn, dag)
        for dag in reversed(dags):
            asset = ASSET | {"org_id": dag.org_id, "namespace": dag.namespace, "resource_uid": str(dag.org_id)}
            await declared(conn, **asset | {"read_roles": []})
            await declared(conn, **asset | {"name": "closed"})
        await conn.execute(_RUN)
        await conn.execute("DELETE FROM outbox")
    await state.close()


@asynccontextmanager
async def looking(databases: services.Databases) -> AsyncIterator[Connection]:
    """A transaction on state of which nothing stays."""
    state = Database(databases.state_dsn, application="test")
    async with state.autocommit() as conn, conn.transaction(force_rollback=True):
        yield conn
    await state.close()


async def written(conn: Connection) -> Rows:
    """Every row of every table of state, with the transaction that wrote it."""
    rows: Rows = Counter()
    for table in tables.state.tables:
        query = sql.SQL("SELECT xmin || ' ' || x::text FROM {} x").format(sql.Identifier(table))
        rows.update((table, row) for (row,) in await (await conn.execute(query)).fetchall())
    return rows


async def effect(conn: Connection, act: Act) -> tuple[Any, dict[str, tuple[int, int]]]:
    """What an act answers, and how many rows of each table it takes away and makes; an update does both."""
    before = await written(conn)
    answer = await act(conn)
    after = await written(conn)
    gone, made = (Counter(table for table, _ in rows.elements()) for rows in (before - after, after - before))
    return answer, {table: (gone[table], made[table]) for table in gone | made}
