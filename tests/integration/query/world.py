"""Published datasets: deployed by the product, and filled as follower and compaction fill them.

Jobs, versions, datasets, publications, Assets and hot tables are made by the product's own deploy, and again for a
neighbour (`tests/support/deploying.py`). Rows, files and history are put there directly: what a test needs of them
is their content, which no run of an operator would give as exactly or as fast.

A dataset here has blocks `first..last`, each with a hash that is a function of its number, so that every row of
every answer can be checked against the truth without asking the service.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.types.json import Jsonb
from pydantic import BaseModel

from operators.chain import schemas
from operators.chain.profiles import PROFILES
from tests import services
from tests.support.deploying import Deploys
from tests.support.sources import source
from traceplane.store.statements import asset_policies
from traceplane_sdk.operator import Column, ColumnType, InputSchema, OutputSchema, Storage

NAMESPACE = "default"
COLUMNS = [
    {"name": "block_number", "type": "Int64", "nullable": False},
    {"name": "hash", "type": "Hex", "nullable": False},
    {"name": "value", "type": "UInt256", "nullable": False},
    {"name": "mined_at", "type": "Timestamp", "nullable": False},
    {"name": "note", "type": "Text", "nullable": True},
    {"name": "big", "type": "Bool", "nullable": False},
]


def block_hash(number: int) -> str:
    """The hash of a block of our world."""
    return "0x" + hashlib.sha256(str(number).encode()).hexdigest()


def value_of(number: int) -> int:
    """A 256-bit value of a block: beyond every machine type."""
    return number * 10**60 + 7


class Config(BaseModel):
    """Which kind of storage the output is in, and whose columns it has: those of a chain's `table`, or COLUMNS."""

    storage: Storage
    table: str = ""


def _declare(config: Config, _inputs: Sequence[InputSchema], outputs: Sequence[str]) -> dict[str, OutputSchema]:
    if config.table:
        schema = schemas.schema_of(config.table, PROFILES["Ethereum"], 0, 0)
        return dict.fromkeys(outputs, replace(schema, storage=config.storage))
    columns = tuple(Column(found["name"], ColumnType(found["type"]), found["nullable"]) for found in COLUMNS)
    schema = OutputSchema(config.storage, columns, ("block_number",), "block_number", ("block_number",))
    return dict.fromkeys(outputs, schema)


OPERATOR = source("blocks", Config, _declare)


@dataclass
class World:
    """Makes and moves data. All of it belongs to one DAG, `monad`."""

    databases: services.Databases
    store: services.ObjectStore
    bucket: str
    state: psycopg.Connection[Any] = field(init=False)
    data: psycopg.Connection[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.state = psycopg.connect(self.databases.state_dsn, autocommit=True)
        self.data = psycopg.connect(self.databases.data_dsn, autocommit=True)
        self._deploys = Deploys(self.databases, self.bucket, NAMESPACE, {OPERATOR.name: OPERATOR})
        self._spec: dict[str, list[Any]] = {"jobs": [], "publish": []}

    def close(self) -> None:
        self._deploys.close()
        self.state.close()
        self.data.close()

    @property
    def dag_version(self) -> UUID:
        """The active version of the DAG, made by the newest `dataset`."""
        row = self.state.execute(
            "SELECT active_version_id FROM dag_current_versions WHERE org_id = %s", (services.ORG_ID,)
        ).fetchone()
        return row[0]

    def user(self, issuer: str, subject: str, *roles: str) -> UUID:
        """A user with roles."""
        row = self.state.execute(
            "INSERT INTO users (org_id, issuer, external_id, name) VALUES (%s, %s, %s, %s) RETURNING id",
            (services.ORG_ID, issuer, subject, subject),
        ).fetchone()
        for role in roles:
            self.state.execute(
                "INSERT INTO org_roles (org_id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (services.ORG_ID, role),
            )
            self.state.execute(
                "INSERT INTO org_role_memberships (org_id, role_id, user_id)"
                " SELECT org_id, id, %s FROM org_roles WHERE org_id = %s AND name = %s",
                (row[0], services.ORG_ID, role),
            )
        return row[0]

    def dataset(self, job: str, storage: str, asset: str) -> UUID:
        """A published dataset without rows, by one more job of the DAG; returns its version."""
        (version,) = self.publish((job, storage, asset))
        return version

    def publish(self, *datasets: tuple[str, str, str], table: str = "") -> list[UUID]:
        """Deploy the DAG with these (job, storage, asset) added, of one schema; their versions."""
        for job, storage, asset in datasets:
            self._spec["jobs"].append(
                {
                    "name": job,
                    "activation": "Source",
                    "runtime": "Pod",
                    "operator": OPERATOR.name,
                    "source": {"kind": "AlwaysOn"},
                    "config": {"storage": storage, "table": table},
                    "outputs": ["blocks"],
                    "updateStrategy": "Replace",
                }
            )
            self._spec["publish"].append({"asset": asset, "from": {"job": job, "output": "blocks"}})
        self._deploys.deploy(self._manifest(), generation=len(self._spec["jobs"]))
        # A source has its task from the start. Tests count those that they make; the neighbour's stays in the way.
        self.state.execute(
            "DELETE FROM tasks WHERE cause = 'Source' AND status = 'Queued' AND org_id = %s", (services.ORG_ID,)
        )
        return [self.version(job) for job, _, _ in datasets]

    def republish(self, **assets: str) -> None:
        """Deploy the DAG with the outputs of these jobs published under these names, and no other."""
        self._spec["publish"] = [
            {"asset": asset, "from": {"job": job, "output": "blocks"}} for asset, job in assets.items()
        ]
        self._deploys.deploy(self._manifest(), generation=70)

    def rebuild(self, job: str, token: str, generation: int = 50, **rollout: Any) -> UUID:
        """Stage the DAG with one job made anew; the version of its dataset. Its source is where it has to be."""
        self._spec["rollout"] = rollout
        for spec in self._spec["jobs"]:
            if spec["name"] == job:
                spec["rebuildToken"] = token
        self._deploys.deploy(self._manifest(), generation, staged=True)
        return self.version(job)

    def announce(self, version: UUID, last: int) -> None:
        """A source says that it has written up to `last`."""
        self.state.execute(
            "INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, cursor_value)"
            " SELECT gen_random_uuid(), org_id, dataset_id, id, 'Cursor', %s FROM dataset_versions WHERE id = %s",
            (last, version),
        )

    def _manifest(self) -> dict[str, Any]:
        metadata = {"name": "monad", "namespace": NAMESPACE, "uid": "uid-1"}
        return {"apiVersion": "trace.dev/v1alpha1", "kind": "DAG", "metadata": metadata, "spec": self._spec}

    def version(self, job: str) -> UUID:
        """The newest version of a job's dataset."""
        row = self.state.execute(
            "SELECT v.id FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id"
            " WHERE d.org_id = %s AND d.job = %s ORDER BY v.id DESC LIMIT 1",
            (services.ORG_ID, job),
        ).fetchone()
        return row[0]

    def running(self, task: UUID, lease_token: UUID, claim: UUID) -> None:
        """The first attempt of a task that runs, of a job that no dataset has.

        Forged: a claim would choose the ids that a test's tokens are made of.
        """
        job = uuid4()
        self.state.execute(
            "INSERT INTO jobs (id, org_id, namespace, dag, name, config_hash, operator, activation,"
            " execution_strategy, update_strategy, definition, provisioned_at)"
            " VALUES (%s, %s, %s, 'monad', %s, 'c', 'x', 'Source', NULL, 'Replace', '{}', now())",
            (job, services.ORG_ID, NAMESPACE, f"asks-{job}"),
        )
        self.state.execute(
            "INSERT INTO tasks (id, org_id, namespace, job_id, dedupe_key, cause, status, scope, attempt,"
            " worker_id, lease_token, lease_epoch, lease_expires_at, claim_id, started_at)"
            " VALUES (%s, %s, %s, %s, 'one', 'Source', 'Running', '{}', 1, 'w', %s, 1, now() + interval '1 hour',"
            " %s, now())",
            (task, services.ORG_ID, NAMESPACE, job, lease_token, claim),
        )

    def next_version(self, old: UUID) -> UUID:
        """Cut a hot dataset over to a new, empty version.

        Forged: a rebuild and its cutover would make it no truer for those who read, and take longer.
        """
        new = uuid4()
        self.state.execute(
            "INSERT INTO dataset_versions (id, org_id, dataset_id, job_id, config_hash, schema_hash, storage,"
            " location, columns, unique_key, scope_column, sort_by, provisioned_at)"
            " SELECT %s, org_id, dataset_id, job_id, 'next', schema_hash, storage, %s, columns, unique_key,"
            " scope_column, sort_by, now() FROM dataset_versions WHERE id = %s",
            (new, f"hot.d_{new.hex}", old),
        )
        self.state.execute(
            "UPDATE dag_version_datasets SET dataset_version_id = %s WHERE dataset_version_id = %s", (new, old)
        )
        self.data.execute(f"CREATE TABLE hot.d_{new.hex} (LIKE hot.d_{old.hex} INCLUDING ALL)")
        return new

    def retained(self, cold: UUID) -> UUID:
        """One more version of a cold dataset, which is not the active one. Forged, as `next_version`."""
        row = self.state.execute(
            "INSERT INTO dataset_versions (org_id, dataset_id, job_id, config_hash, schema_hash, storage, location,"
            " columns, unique_key, scope_column, sort_by, provisioned_at)"
            " SELECT org_id, dataset_id, job_id, %(new)s, schema_hash, storage, location || %(new)s || '/',"
            " columns, unique_key, scope_column, sort_by, now() FROM dataset_versions WHERE id = %(cold)s"
            " RETURNING id",
            {"new": str(uuid4()), "cold": cold},
        ).fetchone()
        return row[0]

    def activate(self, version: UUID) -> None:
        """Make it the active version of its dataset."""
        self.state.execute(
            "UPDATE dag_version_datasets d SET dataset_version_id = v.id FROM dataset_versions v"
            " WHERE v.id = %s AND d.dataset_id = v.dataset_id",
            (version,),
        )

    def policy(self, asset: str, storage: str, *, roles: list[str] | None = None, federation: Any = None) -> None:
        """A declared Asset."""
        self._deploys.declare(
            asset_policies.Policy(
                name=asset,
                resource_uid="u",
                storage=storage,
                federation=federation,
                description="",
                read_roles=roles or [],
                policy={},
            )
        )

    def federated(self) -> tuple[UUID, UUID]:
        """Assets `hot-blocks`, `cold-blocks` and `blocks` over both; returns (hot version, cold version)."""
        hot, cold = self.publish(("follow", "Postgres", "hot-blocks"), ("compact", "S3", "cold-blocks"))
        federation = {"hot": "hot-blocks", "cold": "cold-blocks", "column": "block_number"}
        self.policy("blocks", "Federated", federation=federation)
        return hot, cold

    def prefix(self, version: UUID) -> str:
        """Where the files of a cold version are."""
        row = self.state.execute("SELECT location FROM dataset_versions WHERE id = %s", (version,)).fetchone()
        return row[0]

    def follow(self, version: UUID, first: int, last: int) -> None:
        """Insert hot rows of blocks `first..last`."""
        with self.data.cursor().copy(
            f"COPY hot.d_{version.hex} (block_number, hash, value, mined_at, note, big) FROM STDIN"
        ) as copy:
            for row in rows(first, last):
                copy.write_row(row)

    def compact(self, hot: UUID, cold: UUID, first: int, last: int, body: bytes | None = None) -> None:
        """Write the range to the bucket and commit partition and relocation in one transaction. Hot rows stay."""
        location, files, size = self.write_cold(cold, first, last, body)
        with self.state.transaction():
            self.commit_partition(cold, first, last, location, files, size)
            self.state.execute(
                "INSERT INTO relocations (hot_version_id, cold_version_id, org_id, ranges)"
                " VALUES (%s, %s, %s, int8multirange(int8range(%s, %s)))"
                " ON CONFLICT (hot_version_id, cold_version_id) DO UPDATE"
                " SET ranges = relocations.ranges + excluded.ranges",
                (hot, cold, services.ORG_ID, first, last + 1),
            )

    def write_cold(
        self, cold: UUID, first: int, last: int, body: bytes | None = None
    ) -> tuple[str, list[dict[str, Any]], int]:
        """One Parquet object, of our blocks unless `body` is it; returns (location, manifest files, bytes)."""
        body = body or parquet(first, last)
        name = f"blocks_{first}_{last}.parquet"
        location = f"{self.prefix(cold)}{first}-{last}/{uuid4()}-1/"
        key = (location + name).removeprefix(f"s3://{self.bucket}/")
        self.store.client().put_object(Bucket=self.bucket, Key=key, Body=body)
        digest = hashlib.sha256(body).hexdigest()
        return location, [{"path": name, "rows": last - first + 1, "bytes": len(body), "sha256": digest}], len(body)

    def commit_partition(
        self, cold: UUID, first: int, last: int, location: str, files: list[dict[str, Any]], size: int
    ) -> None:
        self.state.execute(
            "INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start,"
            " range_end, location, files, rows, bytes, manifest_sha256, task_id, attempt)"
            " SELECT org_id, dataset_id, id, %s, %s, %s, %s, %s, %s, %s, 'x', %s, 1"
            " FROM dataset_versions WHERE id = %s",
            (f"{first}-{last}", first, last, location, json.dumps(files), last - first + 1, size, uuid4(), cold),
        )

    def recompute(self, cold: UUID, first: int, last: int) -> None:
        """Commit the range again, with other content: its last block is missing."""
        location, files, size = self.write_cold(cold, first, last - 1)
        with self.state.transaction():
            self.state.execute(
                "UPDATE partition_versions SET superseded_at = now(), superseded_xid = pg_current_xact_id()"
                " WHERE dataset_version_id = %s AND partition_key = %s AND superseded_at IS NULL",
                (cold, f"{first}-{last}"),
            )
            self.commit_partition(cold, first, last, location, files, size)

    def invalidate(self, version: UUID, start: int, end: int) -> None:
        """What state hears when hot rows were rewritten."""
        self.state.execute(
            "INSERT INTO data_invalidations (id, org_id, dataset_id, dataset_version_id, kind, range_start,"
            " range_end, reason, detail)"
            " SELECT gen_random_uuid(), org_id, dataset_id, id, 'Rows', %s, %s, 'reorg', '{}'"
            " FROM dataset_versions WHERE id = %s",
            (start, end, version),
        )

    def rewrite(self, version: UUID, start: int, end: int) -> None:
        """What a follower leaves beside rewritten rows, before the dispatcher has relayed it."""
        payload = Jsonb({"output": "blocks", "start": start, "end": end, "reason": "reorg"})
        self.data.execute(
            "INSERT INTO trace.source_outbox (id, org_id, dataset_version_id, kind, payload, task_id, attempt,"
            " lease_epoch) VALUES (gen_random_uuid(), %s, %s, 'Invalidation', %s, gen_random_uuid(), 1, 1)",
            (services.ORG_ID, version, payload),
        )

    def mark_personal(self, version: UUID, column: str) -> None:
        """Declare that a column holds personal data."""
        marked = [{**found, "pii": found["name"] == column} for found in COLUMNS]
        self.state.execute("UPDATE dataset_versions SET columns = %s WHERE id = %s", (Jsonb(marked), version))

    def forget(self, hot: UUID, first: int, last: int) -> None:
        """Delete hot rows of a range, as the janitor does long after their relocation."""
        self.data.execute(f"DELETE FROM hot.d_{hot.hex} WHERE block_number BETWEEN %s AND %s", (first, last))


def rows(first: int, last: int) -> list[tuple[Any, ...]]:
    """Blocks as rows, in the order of COLUMNS; one block per second since 2026."""
    return [
        (
            number,
            block_hash(number),
            value_of(number),
            f"2026-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}+00:00",
            None if number % 3 else f"note {number}",
            number % 2 == 0,
        )
        for number in range(first, last + 1)
    ]


def parquet(first: int, last: int) -> bytes:
    """Blocks as a cold file."""
    table = rows(first, last)
    columns = list(zip(*table, strict=True))
    arrow = pa.table(
        {
            "block_number": pa.array(columns[0], pa.int64()),
            "hash": pa.array(columns[1], pa.string()),
            "value": pa.array([str(value) for value in columns[2]], pa.string()),
            "mined_at": pa.array(columns[3], pa.string()).cast(pa.timestamp("us", tz="UTC")),
            "note": pa.array(columns[4], pa.string()),
            "big": pa.array(columns[5], pa.bool_()),
        }
    )
    out = io.BytesIO()
    pq.write_table(arrow, out, compression="zstd", row_group_size=10_000)
    return out.getvalue()


def add_tasks(world: World, job: str, count: int, status: str = "Queued") -> None:
    """Queued or canceled tasks of a job."""
    finished = "now()" if status == "Canceled" else "NULL"
    world.state.execute(
        "INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, status, scope, finished_at)"
        f" SELECT org_id, namespace, id, %s || g, 'Event', %s, '{{}}', {finished}"
        " FROM jobs, generate_series(1, %s) g WHERE name = %s AND org_id = %s",
        (str(uuid4()), status, count, job, services.ORG_ID),
    )
