"""What the user API answers about the versions of a DAG: how a rollout stands, and what a collection purged."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from traceplane.userapi.shapes import ScopeRange


class RolloutJob(msgspec.Struct):
    """A job that is built for the staged version. `done` of `total` are tasks, of a source values of its scope
    column; `waits` says for what, null once it is ready."""

    job: str
    done: int
    total: int | None
    waits: str | None
    failed: bool


class Rollout(msgspec.Struct):
    """Which version of a DAG serves, which is built beside it, and how far that is. `preview`: the range that it is
    built over for now, null: whole. `held`: the spec as applied is held off, since somebody rolled it back."""

    active_version: str | None
    staged_version: str | None
    staged_at: datetime | None
    phase: Literal["NothingStaged", "Rebuilding", "RebuildFailed", "Preview", "ReadyToCutOver"]
    preview: ScopeRange | None
    approved: bool
    held: bool
    catching_up: bool
    jobs: list[RolloutJob]


class Purged(msgspec.Struct):
    """An output of a former version that was purged, or would be. `kept`: why it is not. `rows` and `bytes` are
    those of files; `version` is the dataset version."""

    job: str
    output: str
    version: UUID
    storage: Literal["Postgres", "S3"]
    location: str
    rows: int
    bytes: int
    kept: str | None


class Collected(msgspec.Struct):
    """What a garbage collection did, or would do (`dry_run`)."""

    dry_run: bool
    items: list[Purged]
