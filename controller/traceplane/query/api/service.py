"""The parts of one running query service."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import structlog

from traceplane.errors import TraceError
from traceplane.identity import issuers
from traceplane.identity.oidc import Subject
from traceplane.identity.published_capability import PublishedCapabilities
from traceplane.observe import credentials
from traceplane.query.admission.pools import Pools
from traceplane.query.admission.slots import Slots
from traceplane.query.attach import databases
from traceplane.query.batch.runner import Runner
from traceplane.query.batch.submission import Submission
from traceplane.query.broker import engine
from traceplane.query.broker.cells import Cells
from traceplane.query.broker.limits import cell_limits
from traceplane.query.broker.telemetry import Telemetry
from traceplane.query.files.bucket import Bucket
from traceplane.query.files.cache import Cache
from traceplane.query.gate.supervisor import GateSupervisor
from traceplane.settings import QuerySettings
from traceplane.web.principals import Principal

_log = structlog.get_logger("trace.query")


class Service:
    """Every part, made from the settings. What answers requests with them is in `handlers`."""

    def __init__(self, settings: QuerySettings) -> None:
        self.settings = settings
        self.telemetry = Telemetry()
        credentials.Credentials(self.telemetry.registry, credentials.of_issuer(settings))
        self.admission = Slots(settings.query_concurrency, settings.query_queue)
        self.verifier = issuers.verifier(settings)
        self.capabilities = PublishedCapabilities(settings)
        self.databases = databases.Databases(settings)
        self.bucket = Bucket(settings)
        self.cache = Cache(settings.query_cache_dir / "files", settings.query_cache_mb * 1024**2, self.bucket)
        self.supervisor = GateSupervisor()
        self.cells = Cells(settings.query_cache_dir / "cells", cell_limits(settings), settings.query_concurrency)
        self.engine = engine.Engine(self.databases, self.cache, self.cells, self.bucket, settings.org_id)
        self.submission = Submission(settings, self.databases, self.supervisor)
        self.runner = Runner(settings, self.databases, self.supervisor, self.engine, self.telemetry, self.refill)
        self.threads = ThreadPoolExecutor(settings.query_concurrency, thread_name_prefix="query")
        self.pools = Pools()

    async def start(self) -> None:
        """Start the gate, and the first cells: a query shall not wait for either."""
        await asyncio.to_thread(self.supervisor.start)
        await asyncio.to_thread(self.cells.fill)

    async def close(self) -> None:
        """End every part; running queries are killed with their cells."""
        self.runner.close()
        self.cells.close()
        self.supervisor.close()
        self.cache.close()
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.pools.close()
        await asyncio.to_thread(self.databases.close)
        await self.verifier.close()
        await self.capabilities.close()

    async def lookup(self, subject: Subject) -> Principal | None:
        """The user that `subject` names. Raises Unavailable or Overloaded."""
        found = await self.pools.logins.run(self.databases.principal, subject.issuer, subject.subject)
        return Principal(*found) if found else None

    def refill(self) -> None:
        """Start cells for the queries to come. Where that fails, the next query starts its own, or says why not."""
        try:
            self.cells.fill()
        except TraceError as error:
            _log.warning("cells were not refilled", code=error.code, detail=error.message)
