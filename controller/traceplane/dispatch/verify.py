"""Checking a commit before it becomes one: are the files there, and are they what the worker says?

A worker writes Parquet files below its attempt's own prefix, then `_manifest.json`, then `_SUCCESS` with the
manifest's SHA-256 (`traceplane_sdk.commit`). Before the completing transaction the dispatcher reads both,
checks that the manifest is of this task, attempt, dataset version, partition and schema, and that every file it
names is there with its size. What is read is bounded, and nothing that a worker sends can point outside its own
prefix.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec

from traceplane.drivers.objects import Objects
from traceplane.errors import NotFound, Refused
from traceplane.identity import prefixes
from traceplane_sdk.manifest import FORMAT, MANIFEST, MAX_FILES, SUCCESS, Manifest
from traceplane_sdk.wire import CommittedOutput

MAX_MANIFEST_BYTES = 1024 * 1024
MAX_SUCCESS_BYTES = 128


class BadCommit(Refused):
    """The files of a commit are missing or are not what the completion says."""

    code = "BadCommit"


async def commit(
    objects: Objects,
    *,
    committed: CommittedOutput,
    output: dict[str, Any],
    task_id: str,
    attempt: int,
    scope: tuple[int | None, int | None],
) -> list[dict[str, object]]:
    """The files of a verified commit, for `partition_versions.files`.

    `output` is the task's output as in its payload, `scope` its inclusive range (None, None where it has none).
    Raises BadCommit, prefixes.BadPrefix, TooLarge or Unavailable.
    """
    place = expected_location(committed, output, task_id, attempt, scope)
    success, manifest_bytes = await asyncio.gather(
        _read(objects, place.key + SUCCESS, MAX_SUCCESS_BYTES),
        _read(objects, place.key + MANIFEST, MAX_MANIFEST_BYTES),
    )
    digest = hashlib.sha256(manifest_bytes).hexdigest()
    if success.decode("ascii", "replace").strip() != digest or committed.manifest_sha256 != digest:
        raise BadCommit(f"{committed.location}: _SUCCESS, _manifest.json and manifest_sha256 do not agree")
    try:
        manifest = msgspec.json.decode(manifest_bytes, type=Manifest)
    except msgspec.DecodeError as error:
        raise BadCommit(f"{committed.location}{MANIFEST}: {error}") from error
    _check_manifest(manifest, committed, output, task_id, attempt)
    # Room for the files, the manifest, the marker, and one object that does not belong here.
    present = {found.key: found.size for found in await objects.list(place.key, limit=MAX_FILES + 3)}
    for file in manifest.files:
        if present.get(place.key + file.path) != file.bytes:
            raise BadCommit(f"{committed.location}{file.path}: missing, or not of {file.bytes} bytes")
    return [msgspec.to_builtins(file) for file in manifest.files]


def expected_location(
    committed: CommittedOutput,
    output: dict[str, Any],
    task_id: str,
    attempt: int,
    scope: tuple[int | None, int | None],
) -> prefixes.Prefix:
    """The only prefix this attempt may commit this partition from (pure). Raises BadCommit or BadPrefix."""
    part = committed.partition
    if output["storage"] != "S3":
        raise BadCommit(f"output {committed.name} lives in Postgres and has no files to commit")
    if part.key != f"{part.start}-{part.end}" or part.start > part.end:
        raise BadCommit(f"partition {part.key!r}: the key of a range is start-end, inclusive")
    if scope != (None, None) and scope != (part.start, part.end):
        raise BadCommit(f"partition {part.key}: the task's own is {scope[0]}-{scope[1]}")
    place = prefixes.parse(committed.location)
    own = prefixes.parse(f"{output['location']}{part.key}/{task_id}-{attempt}/")
    if place != own:
        raise BadCommit(f"location: this attempt writes below {own}")
    return place


def _check_manifest(
    manifest: Manifest, committed: CommittedOutput, output: dict[str, Any], task_id: str, attempt: int
) -> None:
    wanted = (FORMAT, output["dataset"], output["version"], committed.partition, task_id, attempt)
    found = (
        manifest.format,
        manifest.dataset,
        manifest.version,
        manifest.partition,
        manifest.task_id,
        manifest.attempt,
    )
    if found != wanted:
        raise BadCommit(f"{committed.location}{MANIFEST}: is of another format, dataset, partition or attempt")
    sums = sum(file.rows for file in manifest.files), sum(file.bytes for file in manifest.files)
    if not sums == (manifest.rows, manifest.bytes) == (committed.rows, committed.bytes):
        raise BadCommit(f"{committed.location}{MANIFEST}: rows and bytes do not add up")
    if len({file.path for file in manifest.files}) != len(manifest.files):
        raise BadCommit(f"{committed.location}{MANIFEST}: names a file twice")
    columns = [(column["name"], column["type"], bool(column.get("nullable"))) for column in output["columns"]]
    if [(column.name, column.type, column.nullable) for column in manifest.columns] != columns:
        raise BadCommit(f"{committed.location}{MANIFEST}: columns differ from those the dataset version declares")


async def _read(objects: Objects, key: str, max_bytes: int) -> bytes:
    try:
        return await objects.get(key, max_bytes=max_bytes)
    except NotFound as error:
        raise BadCommit(f"no object {key}") from error
