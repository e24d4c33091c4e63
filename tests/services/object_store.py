"""Real S3-compatible stores, each one process and one folder, with a bucket per test.

MinIO has STS. versitygw keeps objects as files of a folder, and is unlike it in what stores differ in: no STS, its
own codes, ETags and conflicts, another region, static users and bucket policies, and here TLS with a private CA.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.services.process import Part, on_free_port, start, temporary_folder, tool
from tests.support.certificates import Authority

REGION = "us-east-1"
OTHER_REGION = "eu-test-1"
DOMAIN = "s3.test.example"
"""versitygw knows its buckets as subdomains of this, too."""
TASKS, DEMO = ("trace-tasks", "trace-tasks-secret"), ("trace-demo", "trace-demo-secret")
"""Users of versitygw: who may read and write, but not delete, in any bucket, and one with no rights at first."""


@dataclass
class ObjectStore:
    """A running store. STS, where it has it, answers at the same address."""

    part: Part
    port: int
    run: Callable[[int], Part]
    access_key_id: str = "trace-test"
    secret_access_key: str = "trace-test-secret"
    region: str = REGION
    keys_folder: Path | None = None
    """Of a store without STS: `own` and `tasks` hold keys as their Secrets do, `own` also the CA's certificate."""
    tls: bool = False
    _names: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def endpoint_url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path | None:
        """The CA that signed its certificate, if it has one."""
        return self.keys_folder / "own" / "ca.crt" if self.keys_folder and self.tls else None

    def settings(self) -> dict[str, Any]:
        """What a process is told of it."""
        told: dict[str, Any] = {"s3_endpoint_url": self.endpoint_url, "s3_region": self.region}
        if self.keys_folder is None:
            return told | {
                "s3_access_key_id": self.access_key_id,
                "s3_secret_access_key": self.secret_access_key,
            }
        return told | {
            "s3_access_key_id_file": self.keys_folder / "own" / "access-key-id",
            "s3_secret_access_key_file": self.keys_folder / "own" / "secret-access-key",
            "s3_credentials": "Static",
            "s3_task_keys_dir": self.keys_folder / "tasks",
        }

    def client(self, service: str = "s3", **credentials: str) -> Any:
        """A boto3 client of the store's owner, or of `credentials` (boto3's names)."""
        import boto3
        from botocore.config import Config

        own = {"aws_access_key_id": self.access_key_id, "aws_secret_access_key": self.secret_access_key}
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            verify=str(self.ca) if self.ca else None,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3}),
            **(credentials or own),
        )

    def bucket(self) -> str:
        """Make a new bucket; returns its name."""
        name = f"trace-{os.getpid()}-{next(self._names)}"
        self.client().create_bucket(Bucket=name)
        if self.keys_folder is not None:
            self.allow(name, {TASKS[0]: "*"})
        return name

    def allow(self, bucket: str, users: dict[str, str]) -> None:
        """Let users without STS get and put the objects that fit their pattern, and list the bucket."""
        arn = f"arn:aws:s3:::{bucket}"
        allowed = [
            {"Effect": "Allow", "Principal": {"AWS": [user]}, "Action": action, "Resource": [resource]}
            for user, pattern in users.items()
            for action, resource in (
                (["s3:GetObject", "s3:PutObject"], f"{arn}/{pattern}"),
                (["s3:ListBucket"], arn),
            )
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": allowed})
        self.client().put_bucket_policy(Bucket=bucket, Policy=policy)

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Every object's key below `prefix`, sorted."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    def kill(self) -> None:
        """End it as a power cut would."""
        self.part.kill()

    def restart(self) -> None:
        """Start it again on the same port and files."""
        self.part = self.run(self.port)


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """A MinIO server."""
    with temporary_folder("objects") as folder:
        key, secret = ObjectStore.access_key_id, ObjectStore.secret_access_key
        with _running(lambda port: _minio(folder, port, key, secret)) as store:
            yield store


@contextmanager
def plain_store(*, tls: bool = True) -> Iterator[ObjectStore]:
    """A versitygw server."""
    with temporary_folder("plain-objects") as folder:
        own = (ObjectStore.access_key_id, ObjectStore.secret_access_key)
        signed, authority = None, Authority("store")
        for name, keys in (("own", own), ("tasks", TASKS)):
            write_keys(folder / "keys" / name, keys)
        (folder / "iam").mkdir()
        users = {
            user: {"access": user, "secret": secret, "role": "user", "userID": 0, "groupID": 0, "projectID": 0}
            for user, secret in (TASKS, DEMO)
        }
        (folder / "iam" / "users.json").write_text(json.dumps({"accessAccounts": users}))
        if tls:
            signed = authority.server("127.0.0.1", 5)
            (folder / "keys" / "own" / "ca.crt").write_bytes(authority.certificate)
            (folder / "tls.crt").write_bytes(signed.certificate)
            (folder / "tls.key").write_bytes(signed.key)
        with _running(lambda port: _versitygw(folder, port, own, tls=tls)) as store:
            store.region, store.keys_folder, store.tls = OTHER_REGION, folder / "keys", tls
            yield store


def write_keys(folder: Path, keys: tuple[str, str], namespace: str = "") -> None:
    """Write keys as a Secret has them, those of a namespace with its name and a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(("access-key-id", "secret-access-key"), keys, strict=True):
        (folder / f"{namespace}{name}").write_text(value)


@contextmanager
def _running(run: Callable[[int], Part]) -> Iterator[ObjectStore]:
    part, port = on_free_port(run)
    store = ObjectStore(part, port, run)
    try:
        yield store
    finally:
        store.part.stop()


def _minio(folder: Path, port: int, key: str, secret: str) -> Part:
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
    part.wait_ready(lambda: _answers(f"http://{address}/minio/health/ready"))
    return part


def _versitygw(folder: Path, port: int, own: tuple[str, str], *, tls: bool) -> Part:
    files = folder / "files"
    files.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "ROOT_ACCESS_KEY": own[0],
        "ROOT_SECRET_KEY": own[1],
    }
    address = f"127.0.0.1:{port}"
    encrypted = ["--cert", str(folder / "tls.crt"), "--key", str(folder / "tls.key")] if tls else []
    options = ["--port", address, "--region", OTHER_REGION, "--virtual-domain", DOMAIN, "--health", "/health"]
    users = ["--iam-dir", str(folder / "iam")]
    argv = [tool("versitygw"), "--quiet", *options, *encrypted, *users, "posix", str(files)]
    part = start("versitygw", folder, argv, env=environment)
    part.wait_ready(lambda: _answers(f"http{'s' if tls else ''}://{address}/health"))
    return part


def _answers(url: str) -> bool:
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=2, context=unchecked) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
