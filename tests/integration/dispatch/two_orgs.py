"""One DAG in two organisations, moved by the store's statements alone: no dispatcher, no object store, no HTTP.

Both organisations have the chain DAG under the same names and tasks in the same states, so a statement that forgets
its organisation, its job or a part of its fence changes a row that the test did not name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from tests import services
from traceplane.store.engine import Connection
from traceplane.store.statements import claims, completions, events
from traceplane.store.statements.claims import Claimant, Claimed
from traceplane.tasks.retries import RetryPolicy

ORG = services.ORG_ID
RETRY = RetryPolicy(30, 600)
WORKER = "worker-1"
Lease = dict[str, Any]
"""task_id, attempt, lease_token, claim_id: the shape of `leases.Row`."""

WRITTEN = ("tasks", "task_attempts", "events", "data_invalidations", "dataset_cursors", "dataset_finality",
           "operator_state", "partition_versions", "relocations", "outbox")  # fmt: skip
"""Every table that a statement about tasks may write."""


@dataclass
class Orgs:
    """Makes, claims and ends tasks of either organisation."""

    conn: Connection
    sql: psycopg.Connection[dict[str, Any]]

    def reset(self) -> None:
        """As after the deploy, without a task: cheaper than a database for each test."""
        with self.sql.transaction():
            for table in WRITTEN:
                self.sql.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            self.sql.execute("UPDATE jobs SET paused = false, provisioned_at = now()")
            self.sql.execute("UPDATE dag_version_jobs SET max_concurrency = NULL, priority = 0")
            self.sql.execute(
                "UPDATE dag_current_versions c SET deleted_at = NULL, active_version_id = v.id"
                " FROM dag_versions v WHERE v.org_id = c.org_id"
            )

    def rows(self, statement: LiteralString, *parameters: Any) -> list[dict[str, Any]]:
        """Rows of a statement in a transaction of its own."""
        cursor = self.sql.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []

    def written(self) -> dict[str, list[str]]:
        """Every row that statements about tasks may write, with the transaction that wrote it."""
        query = sql.SQL("SELECT xmin || ' ' || x::text AS row FROM {} x ORDER BY x::text")
        return {
            table: [row["row"] for row in self.sql.execute(query.format(sql.Identifier(table)))]
            for table in WRITTEN
        }

    def job(self, name: str, org: UUID = ORG) -> UUID:
        (row,) = self.rows("SELECT id FROM jobs WHERE org_id = %s AND name = %s", org, name)
        return UUID(str(row["id"]))

    def version(self, job: str, output: str, org: UUID = ORG) -> UUID:
        (row,) = self.rows(
            "SELECT v.id FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id"
            " WHERE v.job_id = %s AND d.output = %s",
            self.job(job, org),
            output,
        )
        return UUID(str(row["id"]))

    def task(self, task_id: object) -> dict[str, Any]:
        (row,) = self.rows("SELECT * FROM tasks WHERE id = %s", task_id)
        return row

    def states(self) -> dict[str, tuple[str, bool]]:
        """Status and `cancel_requested` of every task."""
        return {
            str(row["id"]): (row["status"], row["cancel_requested"]) for row in self.rows("SELECT * FROM tasks")
        }

    async def partitions(self, count: int, org: UUID = ORG, first: int = 0) -> list[str]:
        """`count` ranges of 20 blocks, each of which makes a task of `compact`; the tasks' ids, oldest first."""
        made = []
        for start in range(first * 20, (first + count) * 20, 20):
            event = {
                "id": str(uuid4()),
                "version": str(self.version("ranges", "ranges", org)),
                "key": f"{start}-{start + 19}",
                "start": start,
                "end": start + 19,
            }
            await events.relay(self.conn, events=[event], invalidations=[])
            made += self.rows("SELECT id FROM tasks WHERE event_id = %s", event["id"])
        return [str(row["id"]) for row in made]

    async def cursor(self, value: int, org: UUID = ORG, output: str = "blocks") -> None:
        """The follower's output is written up to `value`; of `blocks`, that makes a task of `ranges`."""
        event = {"id": str(uuid4()), "version": str(self.version("follow", output, org)), "cursor": value}
        await events.relay(self.conn, events=[event], invalidations=[])

    async def claimed(
        self, job: str = "compact", wanted: int = 1, org: UUID = ORG, worker: str = WORKER, **more: Any
    ) -> tuple[Claimed | None, list[Lease]]:
        """What the claim statement answers, and the leases it gave."""
        claimant = Claimant(uuid4(), worker, wanted)
        given: dict[str, Any] = {
            "alone": False,
            "newest": False,
            "org_id": org,
            **more,
        }
        answer = await claims.claim(self.conn, job_id=self.job(job, org), claimants=[claimant], **given)
        return answer, [
            {
                "task_id": row.task_id,
                "attempt": row.attempt,
                "lease_token": row.lease_token,
                "claim_id": str(claimant.claim_id),
            }
            for row in (answer.rows if answer else ())
        ]

    async def leases(self, wanted: int = 1, **more: Any) -> list[Lease]:
        """The next `wanted` leases of a job."""
        _, leases = await self.claimed(wanted=wanted, **more)
        assert len(leases) == wanted
        return leases

    async def complete(
        self,
        lease: Lease,
        status: str = "Completed",
        org: UUID = ORG,
        *,
        batch: dict[str, Any] | None = None,
        **item: Any,
    ) -> bool:
        """Complete one lease; whether the fence admitted it."""
        if status == "Failed":
            item.setdefault("error", {"code": "Broken", "message": "", "retryable": True})
        return bool(await self.complete_all([{**lease, "status": status, **item}], org))

    async def complete_all(self, items: Sequence[dict[str, Any]], org: UUID = ORG, **batch: Any) -> int:
        """Complete leases in one batch; how many the fence admitted."""
        accepted, _ = await completions.complete(
            self.conn,
            org_id=org,
            batch=completions.Batch(items=items, **batch),
            retry=RETRY,
            keep_hot_seconds=60,
        )
        return len(accepted)

    async def every_state(self, org: UUID = ORG) -> dict[str, str]:
        """Tasks of `compact` in every state that one can be in: ids by the name of the state."""
        names = ["completed", "canceled", "dead", "retrying", "stopping", "running"]
        made = await self.partitions(len(names), org)
        leases = {lease["task_id"]: lease for lease in await self.leases(len(names), org=org)}
        tasks = dict(zip(names, made, strict=True))
        stop = {"code": "Broken", "message": "", "retryable": False}
        assert await self.complete(leases[tasks["completed"]], "Completed", org)
        assert await self.complete(leases[tasks["canceled"]], "Canceled", org)
        assert await self.complete(leases[tasks["dead"]], "Failed", org, error=stop)
        assert await self.complete(leases[tasks["retrying"]], "Failed", org)
        self.rows("UPDATE tasks SET cancel_requested = true WHERE id = %s", tasks["stopping"])
        (tasks["queued"],) = await self.partitions(1, org, first=len(names))
        return tasks


def commit(lease: Lease, start: int = 0, output: str = "blocks") -> dict[str, Any]:
    """A committed partition of 20 blocks, as the completing statement takes it."""
    return {
        "task_id": lease["task_id"],
        "output": output,
        "key": f"{start}-{start + 19}",
        "start": start,
        "end": start + 19,
        "location": f"s3://bucket/{lease['task_id']}/",
        "files": [],
        "rows": 20,
        "bytes": 100,
        "sha256": "0" * 64,
    }
