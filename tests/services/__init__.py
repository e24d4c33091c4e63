"""Real parts as processes, for tests and benches: Postgres, an S3 store with STS, a chain, an API server.

Each is a context manager. Nothing here knows pytest: `tests/conftest.py` turns them into fixtures, and a bench
uses them the same way.

    with services.postgres() as server, services.chain() as chain:
        databases = server.databases()
"""

from tests.services.api_server import ApiServer, api_server
from tests.services.chain import CHAIN_ID, Chain, chain
from tests.services.object_store import ObjectStore, object_store, plain_store
from tests.services.pgbouncer import pgbouncer
from tests.services.postgres import (
    ORG_ID,
    Databases,
    Postgres,
    postgres,
    postgres_binaries,
    share_postgres,
    shared_postgres,
)
from tests.services.process import ROOT, Part, ServiceError, free_port, start, temporary_folder, tool

__all__ = [
    "CHAIN_ID",
    "ORG_ID",
    "ROOT",
    "ApiServer",
    "Chain",
    "Databases",
    "ObjectStore",
    "Part",
    "Postgres",
    "ServiceError",
    "api_server",
    "chain",
    "free_port",
    "object_store",
    "pgbouncer",
    "plain_store",
    "postgres",
    "postgres_binaries",
    "share_postgres",
    "shared_postgres",
    "start",
    "temporary_folder",
    "tool",
]
