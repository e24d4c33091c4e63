"""The broker's databases and object store: the only place in the query service that holds their credentials.

State is read as the role `trace_query` through four views of the schema `catalog`; data through the same role's
right to read hot tables. A query opens its data snapshot first and reads the catalogue second, in one snapshot
of state: see `resolve` for why that order is the whole point.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import obstore
import obstore.exceptions
import obstore.store
import psycopg
from psycopg import IsolationLevel
from psycopg.rows import TupleRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from traceplane.errors import Unavailable, UnknownSchema
from traceplane.query import ranges
from traceplane.query.gate import RelationName
from traceplane.query.resolve import CatalogRow, PartitionRow, Relation, check_columns, match, relation
from traceplane.settings import Settings
from traceplane.store import migrate
from traceplane.store.engine import session

WAIT_SECONDS = 5.0
CATALOG_SECONDS = 10
_IDLE_SLACK_SECONDS = 60
MAX_PARTITIONS = 200_000
"""Partitions of one query; more would be read into memory for nothing, since no cache holds that many files."""

_RELATIONS = """
SELECT namespace, name, storage, read_roles, hot_read_roles, cold_read_roles, columns, scope_column, dataset_id,
       dataset_version_id, location, provisioned, hot_version_id, hot_location, cold_version_id
FROM catalog.relations
WHERE org_id = %(org)s
  AND (replace(namespace, '-', '_'), replace(name, '-', '_')) IN
      (SELECT unnest(%(namespaces)s::text[]), unnest(%(names)s::text[]))
"""

_MOVED = """
SELECT hot_version_id, cold_version_id, ranges::text AS ranges
FROM catalog.relocations
WHERE org_id = %(org)s AND hot_version_id = ANY (%(versions)s::uuid[]) AND NOT isempty(ranges)
"""

_PARTITIONS = """
SELECT dataset_id, dataset_version_id, range_start, range_end, location, files
FROM catalog.partitions
WHERE org_id = %(org)s AND dataset_version_id = ANY (%(versions)s::uuid[])
ORDER BY dataset_version_id, range_start
LIMIT %(limit)s
"""

_ROLES = "SELECT user_id, org_id, roles FROM catalog.principals WHERE issuer = %s AND external_id = %s"


class Databases:
    """State and data as the query service may read them."""

    def __init__(self, settings: Settings) -> None:
        self._org = settings.org_id
        self._bucket = settings.s3_bucket
        self.data_dsn = settings.secret("data_dsn")
        size = settings.query_concurrency + 1
        self._state = _pool(settings.secret("state_dsn"), "trace-query-state", size)
        self._data = _pool(self.data_dsn, "trace-query-data", size)

    def close(self) -> None:
        """End every connection."""
        self._state.close()
        self._data.close()

    def ping(self) -> None:
        """Return when state answers and has the schema this release knows. Raises Unavailable."""
        with _mapped("state"), self._state.connection(timeout=WAIT_SECONDS) as connection:
            found = migrate.revision(connection, migrate.STATE)
        if found != migrate.STATE.head:
            raise Unavailable(
                f"state has schema {found}, this release knows {migrate.STATE.head}", code=UnknownSchema.code
            )

    def principal(self, issuer: str, subject: str) -> tuple[UUID, UUID, frozenset[str]] | None:
        """(user, org, roles) of a user of this organisation; None where there is none."""
        with _mapped("state"), self._state.connection(timeout=WAIT_SECONDS) as connection:
            row = connection.execute(_ROLES, (issuer, subject)).fetchone()
        return (row[0], row[1], frozenset(row[2])) if row and row[1] == self._org else None

    @contextmanager
    def snapshot(self, seconds: float) -> Iterator[str]:
        """A read-only snapshot of data that others can join by the id it yields, held for at most `seconds`."""
        with _mapped("data"), self._data.connection(timeout=WAIT_SECONDS) as connection:
            idle = int((seconds + _IDLE_SLACK_SECONDS) * 1000)
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.execute(f"SET LOCAL idle_in_transaction_session_timeout = {idle}")
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert row is not None
            yield str(row[0])
            connection.rollback()

    def resolve(self, names: Sequence[RelationName], namespace: str, roles: frozenset[str]) -> list[Relation]:
        """Pin every relation of a statement. Raises Refusal for one that is missing or may not be read."""
        spelled = [(name.schema or namespace).replace("-", "_") for name in names]
        with _mapped("state"), self._state.connection(timeout=WAIT_SECONDS) as connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            asked = {"org": self._org, "namespaces": spelled, "names": [name.table for name in names]}
            found = [_catalog_row(row) for row in _fetch(connection, _RELATIONS, asked)]
            matched = match(names, namespace, found, roles)
            moved = self._moved(connection, [row.hot_version for row, _ in matched if row.hot_version])
            versions = {row.cold_version for row, _ in matched if row.cold_version}
            versions.update(cold for by_cold in moved.values() for cold in by_cold)
            partitions = self._partitions(connection, list(versions))
            connection.rollback()
        for row, _ in matched:
            check_columns(row)
        nothing: Mapping[UUID, Sequence[ranges.Range]] = {}
        return [
            relation(row, spellings, moved.get(row.hot_version, nothing) if row.hot_version else nothing,
                     partitions, self._bucket)
            for row, spellings in matched
        ]  # fmt: skip

    def _moved(
        self, connection: psycopg.Connection[TupleRow], hot: Sequence[UUID]
    ) -> dict[UUID, dict[UUID, tuple[ranges.Range, ...]]]:
        found: dict[UUID, dict[UUID, tuple[ranges.Range, ...]]] = defaultdict(dict)
        if hot:
            for row in _fetch(connection, _MOVED, {"org": self._org, "versions": list(hot)}):
                found[row["hot_version_id"]][row["cold_version_id"]] = ranges.parse_multirange(row["ranges"])
        return found

    def _partitions(
        self, connection: psycopg.Connection[TupleRow], versions: Sequence[UUID]
    ) -> dict[UUID, list[PartitionRow]]:
        found: dict[UUID, list[PartitionRow]] = defaultdict(list)
        if not versions:
            return found
        asked = {"org": self._org, "versions": list(versions), "limit": MAX_PARTITIONS + 1}
        rows = _fetch(connection, _PARTITIONS, asked)
        if len(rows) > MAX_PARTITIONS:
            raise Unavailable(f"the relations have more than {MAX_PARTITIONS} partitions", code="TooManyPartitions")
        for row in rows:
            found[row["dataset_version_id"]].append(
                PartitionRow(
                    row["dataset_id"],
                    row["dataset_version_id"],
                    row["range_start"],
                    row["range_end"],
                    row["location"],
                    tuple(row["files"]),
                )
            )
        return found


class Bucket:
    """The object store's bucket of cold data, read only."""

    def __init__(self, settings: Settings) -> None:
        endpoint = settings.s3_endpoint_url
        options: dict[str, Any] = {"region": settings.s3_region}
        if endpoint is not None:
            options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
        if settings.s3_access_key_id_file or settings.s3_access_key_id:
            options["access_key_id"] = settings.secret("s3_access_key_id")
            options["secret_access_key"] = settings.secret("s3_secret_access_key")
        self._store = obstore.store.S3Store(
            settings.s3_bucket,
            **options,
            client_options={
                "allow_http": bool(endpoint and endpoint.startswith("http://")),
                "connect_timeout": "5s",
                "timeout": "60s",
            },
            retry_config={"max_retries": 3},
        )

    def stream(self, key: str) -> Iterator[bytes]:
        """The object's bytes. Raises Unavailable."""
        try:
            for piece in obstore.get(self._store, key).stream(min_chunk_size=1024 * 1024):
                yield bytes(piece)
        except FileNotFoundError as error:
            raise Unavailable("a cold file is missing from the object store", code="DataMissing") from error
        except (obstore.exceptions.BaseError, OSError) as error:
            raise Unavailable("the object store does not answer") from error


def _pool(dsn: str, name: str, size: int) -> ConnectionPool[psycopg.Connection[TupleRow]]:
    parameters = session(dsn, name)
    return ConnectionPool(
        kwargs=parameters,
        min_size=1,
        max_size=size,
        timeout=WAIT_SECONDS,
        max_waiting=64,
        reconnect_timeout=30,
        check=ConnectionPool.check_connection,
        reset=_reset,
        open=True,
        name=name,
    )


def _reset(connection: psycopg.Connection[TupleRow]) -> None:
    """Give a connection back as it came."""
    connection.isolation_level = None
    connection.read_only = None


@contextmanager
def _mapped(database: str) -> Iterator[None]:
    """A lost or missing database is `Unavailable`, whatever the driver calls it."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        raise Unavailable(f"the {database} database does not answer") from error


def _fetch(connection: psycopg.Connection[TupleRow], sql: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(sql, values).fetchall()


def _catalog_row(row: dict[str, Any]) -> CatalogRow:
    """For a plain asset the view gives one version; it is the hot or the cold one by its storage."""
    federated, hot = row["storage"] == "Federated", row["storage"] == "Postgres"
    own = row["dataset_version_id"]
    return CatalogRow(
        namespace=row["namespace"],
        name=row["name"],
        storage=row["storage"],
        read_roles=tuple(frozenset(row[f"{half}read_roles"]) for half in ("", "hot_", "cold_")),
        columns=tuple((column["name"], column["type"]) for column in row["columns"] or ()),
        scope_column=row["scope_column"] or "",
        dataset=row["dataset_id"],
        provisioned=row["provisioned"],
        hot_version=row["hot_version_id"] if federated else own if hot else None,
        hot_location=row["hot_location"] if federated else row["location"] if hot else None,
        cold_version=row["cold_version_id"] if federated else None if hot else own,
    )
