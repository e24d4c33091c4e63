"""`_manifest.json`: what one commit of Parquet files holds. The worker writes it, the dispatcher checks it.

The bounds are those of the reader: decoding a worker's manifest with these structs is half of the check.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from traceplane_sdk.wire import Id, Partition

MANIFEST = "_manifest.json"
SUCCESS = "_SUCCESS"
"""The marker: the SHA-256 of the manifest's bytes, in hex."""
FORMAT = 1
MAX_FILES = 1000


class ManifestFile(msgspec.Struct, frozen=True):
    """One Parquet file of a commit; `path` is a bare name below the attempt's prefix."""

    # No slash and no leading dot: nothing that a worker writes can point outside its own prefix.
    path: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.parquet$")]
    rows: Annotated[int, msgspec.Meta(ge=0)]
    bytes: Annotated[int, msgspec.Meta(ge=1)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class ManifestColumn(msgspec.Struct, frozen=True):
    """A column as the files hold it."""

    name: str
    type: str
    nullable: bool


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The whole manifest. `rows` and `bytes` are sums over `files`."""

    # The order of the fields is their order in the file: the same commit gives the same bytes and so the same hash.
    format: int
    dataset: Id
    version: Id
    partition: Partition
    task_id: Id
    attempt: int
    files: Annotated[list[ManifestFile], msgspec.Meta(max_length=MAX_FILES)]
    rows: int
    bytes: int
    columns: list[ManifestColumn]
