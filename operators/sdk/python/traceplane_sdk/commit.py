"""The commit protocol of Parquet outputs: files, then `_manifest.json`, then `_SUCCESS`.

An attempt writes below a prefix of its own, so two attempts never meet. Readers see nothing of it until the
dispatcher has checked manifest and marker and points at the prefix in the transaction that accepts the
completion; an attempt that dies on the way leaves objects nobody reads. Files are written once, never renamed.

    {version prefix}/{start}-{end}/{task}-{attempt}/{output}_{start}_{end}.parquet
                                                   /_manifest.json     what was written, with checksums
                                                   /_SUCCESS           sha256 of the manifest's bytes, in hex
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from traceplane_sdk import crashpoints, wire
from traceplane_sdk.manifest import FORMAT, MANIFEST, SUCCESS, Manifest, ManifestColumn, ManifestFile

_CHUNK = 1 << 20


class Store(Protocol):
    """Where a commit writes: `traceplane_sdk.objects.ObjectStore`, for a task."""

    def put_bytes(self, uri: str, content: bytes) -> None:
        """Create a small object."""

    def put_file(self, uri: str, path: Path, sha256: str) -> None:
        """Create an object from a file."""


@dataclass
class PartitionCommit:
    """Collects the files of one output and one partition, and seals them."""

    store: Store
    task: wire.TaskPayload
    output: wire.TaskOutput
    partition: wire.Partition
    crash_point: Callable[[str], None] = crashpoints.no_crash
    files: list[ManifestFile] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        """Where this attempt writes, `s3://.../`."""
        return f"{self.output.location}{self.partition.key}/{self.task.task_id}-{self.task.attempt}/"

    def file_name(self, part: int | None) -> str:
        """Name of the only file (`part` None), or of one of several."""
        suffix = "" if part is None else f"_{part}"
        return f"{self.output.name}_{self.partition.start}_{self.partition.end}{suffix}.parquet"

    def add(self, path: Path, name: str, rows: int) -> None:
        """Upload one finished file."""
        sha256 = file_sha256(path)
        self.store.put_file(self.prefix + name, path, sha256)
        self.files.append(ManifestFile(path=name, rows=rows, bytes=path.stat().st_size, sha256=sha256))
        self.crash_point(crashpoints.COLD_FILE)

    def seal(self) -> wire.CommittedOutput:
        """Write manifest and marker; the answer goes into the task's result."""
        manifest = self.manifest()
        encoded = msgspec.json.encode(manifest)
        sha256 = hashlib.sha256(encoded).hexdigest()
        self.store.put_bytes(self.prefix + MANIFEST, encoded)
        self.crash_point(crashpoints.COLD_MANIFEST)
        self.store.put_bytes(self.prefix + SUCCESS, sha256.encode())
        self.crash_point(crashpoints.COLD_SEALED)
        return wire.CommittedOutput(
            name=self.output.name,
            partition=self.partition,
            location=self.prefix,
            rows=manifest.rows,
            bytes=manifest.bytes,
            manifest_sha256=sha256,
        )

    def manifest(self) -> Manifest:
        """What was added so far."""
        return Manifest(
            format=FORMAT,
            dataset=self.output.dataset,
            version=self.output.version,
            partition=self.partition,
            task_id=self.task.task_id,
            attempt=self.task.attempt,
            files=self.files,
            rows=sum(file.rows for file in self.files),
            bytes=sum(file.bytes for file in self.files),
            columns=[ManifestColumn(column.name, column.type, column.nullable) for column in self.output.columns],
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex, in constant memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
