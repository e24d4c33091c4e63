"""A real S3-compatible store with STS: MinIO, one process, one folder, a bucket per test."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.services.process import Part, on_free_port, start, temporary_folder, tool

REGION = "us-east-1"


@dataclass
class ObjectStore:
    """A running store. STS answers at the same address."""

    part: Part
    port: int
    access_key_id: str = "trace-test"
    secret_access_key: str = "trace-test-secret"
    region: str = REGION
    _names: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str = "s3", **credentials: str) -> Any:
        """A boto3 client of the store's owner, or of `credentials` (boto3's names)."""
        import boto3
        from botocore.config import Config

        own = {"aws_access_key_id": self.access_key_id, "aws_secret_access_key": self.secret_access_key}
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3}),
            **(credentials or own),
        )

    def bucket(self) -> str:
        """Make a new bucket; returns its name."""
        name = f"trace-{os.getpid()}-{next(self._names)}"
        self.client().create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Every object's key below `prefix`, sorted."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    def kill(self) -> None:
        """End it as a power cut would."""
        self.part.kill()

    def restart(self) -> None:
        """Start it again on the same port and files."""
        self.part = _run(self.part.folder, self.port, self.access_key_id, self.secret_access_key)


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """A MinIO server."""
    with temporary_folder("objects") as folder:
        key, secret = ObjectStore.access_key_id, ObjectStore.secret_access_key
        part, port = on_free_port(lambda port: _run(folder, port, key, secret))
        store = ObjectStore(part, port)
        try:
            yield store
        finally:
            store.part.stop()


def _run(folder: Path, port: int, key: str, secret: str) -> Part:
    files = folder / "files"
    files.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MINIO_ROOT_USER": key,
        "MINIO_ROOT_PASSWORD": secret,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_API_SYNC_EVENTS": "off",
    }
    address = f"127.0.0.1:{port}"
    part = start("minio", folder, [tool("minio"), "server", "--address", address, str(files)], env=environment)

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/minio/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    part.wait_ready(ready)
    return part
