"""What each process is set by: the parts it reads, and which of their values it cannot start without."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from traceplane.settings import parts
from traceplane.settings.object_store import ObjectStore
from traceplane.settings.part import Part


class ControllerSettings(
    parts.Controller,
    parts.External,
    parts.WorkerPod,
    parts.Attempts,
    parts.MetricNames,
    parts.Metrics,
    parts.Addresses,
    ObjectStore,
    parts.StateDatabase,
    parts.Tracing,
    parts.Process,
):
    """`tracectl run controller`."""

    needed: ClassVar[frozenset[str]] = frozenset({"state_dsn"})

    worker_image: str = Field(description="Image of worker pods.")

    @property
    def served(self) -> tuple[str, ...]:
        """The namespaces that the controller serves, each once."""
        return tuple(dict.fromkeys(self.watch_namespaces.split() or [self.namespace]))


class UserApiSettings(parts.UserApi, parts.Users, parts.StateDatabase, parts.Process):
    """The user API, which the dispatcher serves."""

    needed: ClassVar[frozenset[str]] = frozenset({"state_dsn"})


class DispatcherSettings(
    parts.Dispatch,
    parts.External,
    parts.Capability,
    parts.WorkerToken,
    parts.WorkerPod,
    parts.Attempts,
    parts.MetricNames,
    ObjectStore,
    parts.DataDatabase,
    parts.OpenLineage,
    parts.Tracing,
    UserApiSettings,
):
    """`tracectl run dispatcher`."""

    needed: ClassVar[frozenset[str]] = frozenset({"state_dsn", "data_dsn"})

    capability_key_file: Path = Field(description="PEM (EC P-256) that signs capability tokens.")
    worker_token_file: Path = Field(description="Worker token; one a line, two during rotation.")


class QuerySettings(
    parts.Query,
    parts.Users,
    parts.Capability,
    parts.Addresses,
    ObjectStore,
    parts.DataDatabase,
    parts.StateDatabase,
    parts.Tracing,
    parts.Process,
):
    """`tracectl run query`."""

    needed: ClassVar[frozenset[str]] = frozenset({"state_dsn", "data_dsn"})


class WorkerSettings(
    parts.Worker,
    parts.WorkerPod,
    parts.WorkerToken,
    parts.Attempts,
    parts.Metrics,
    parts.Addresses,
    ObjectStore,
    parts.DataDatabase,
    parts.Tracing,
    parts.Process,
):
    """`tracectl run worker`. The data DSN is read when an operator opens its connection, and may be missing."""

    job_id: UUID = Field(description="Job generation that this worker serves.")


class MigrateSettings(parts.Migration, parts.DataDatabase, parts.StateDatabase, parts.Process):
    """`tracectl run migrate`."""

    needed: ClassVar[frozenset[str]] = frozenset({"state_dsn", "data_dsn"})


class AdminSettings(parts.StateDatabase, parts.Process):
    """`tracectl admin`."""

    needed: ClassVar[frozenset[str]] = frozenset({"state_dsn"})


PROCESSES: dict[str, type[Part]] = {
    "controller": ControllerSettings,
    "dispatcher": DispatcherSettings,
    "query": QuerySettings,
    "worker": WorkerSettings,
    "migrate": MigrateSettings,
}
