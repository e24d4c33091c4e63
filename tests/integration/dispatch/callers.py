"""How tests speak to the task API, and the small things they make for it."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import services
from traceplane.drivers.objects import Objects
from traceplane.settings import Settings
from traceplane_sdk import wire
from traceplane_sdk.context import TaskIO
from traceplane_sdk.runner import run_task

WORKER_TOKEN = "a-worker-token-of-the-tests"


def signing_key() -> bytes:
    """A fresh PEM key on P-256."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def settings_of(
    databases: services.Databases, object_store: services.ObjectStore, bucket: str, folder: Path, **more: Any
) -> Settings:
    """Settings of a dispatcher on these services, whose key and worker token are written into `folder`."""
    (folder / "key.pem").write_bytes(signing_key())
    (folder / "worker").write_text(WORKER_TOKEN + "\n")
    return Settings(
        state_dsn=databases.state_dsn,
        data_dsn=databases.data_dsn,
        s3_bucket=bucket,
        **object_store.settings(),
        capability_key_file=folder / "key.pem",
        worker_token_file=folder / "worker",
        **more,
    )


def fence_of(claimed: wire.ClaimedTask) -> dict[str, Any]:
    """The fence of a lease, as JSON."""
    return {"task_id": claimed.task.task_id, "attempt": claimed.attempt, "lease_token": claimed.lease_token}


def completion(claimed: wire.ClaimedTask, status: str = "Completed", **more: Any) -> dict[str, Any]:
    """A completion of a lease, as JSON."""
    if status == "Failed":
        more.setdefault("error", {"code": "Broken", "message": "as the test wanted", "retryable": True})
    return {"fence": fence_of(claimed), "status": status, **more}


@dataclass
class Caller:
    """A worker that calls the task API."""

    http: httpx.AsyncClient
    worker_token: str

    async def claim(self, job: UUID, max_tasks: int = 1, **more: Any) -> list[wire.ClaimedTask]:
        """Claimed tasks, decoded strictly as the wire type."""
        body = {"worker_id": "worker-1", "job": str(job), "max_tasks": max_tasks, **more}
        answer = await self.http.post(
            "/internal/task-claim", json=body, headers={"X-Trace-Worker-Token": self.worker_token}
        )
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=wire.ClaimResponse).tasks

    async def task_call(self, call: str, token: str, body: Any) -> httpx.Response:
        """POST /v1/task/<call> with a capability token."""
        return await self.http.post(f"/v1/task/{call}", json=body, headers={"X-Trace-Task-Capability": token})

    async def complete(self, claimed: wire.ClaimedTask, status: str = "Completed", **more: Any) -> httpx.Response:
        """Complete one lease."""
        body = {"completions": [completion(claimed, status, **more)]}
        return await self.task_call("complete", claimed.capability_token, body)

    async def heartbeat(self, claimed: wire.ClaimedTask, **report: Any) -> wire.HeartbeatState:
        """Extend one lease, with what its source reports where it does."""
        lease = {**fence_of(claimed), **({"report": report} if report else {})}
        answer = await self.task_call("heartbeat", claimed.capability_token, {"leases": [lease]})
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=wire.HeartbeatResponse).leases[0]

    async def report(self, claimed: wire.ClaimedTask, report: UUID | None = None, **more: Any) -> httpx.Response:
        """Report events or invalidations of one lease."""
        body = {"fence": fence_of(claimed), "id": str(report or uuid4()), **more}
        return await self.task_call("events", claimed.capability_token, body)


async def written_commit(
    objects: Objects, settings: Settings, claimed: wire.ClaimedTask, *, name: str = "blocks", **changes: Any
) -> dict[str, Any]:
    """Write a small, correct commit of one output, with `changes` to its manifest; the CommittedOutput as JSON."""
    output = next(output for output in claimed.task.outputs if output.name == name)
    scope = claimed.task.scope
    location = f"{output.location}{scope['key']}/{claimed.task.task_id}-{claimed.attempt}/"
    place = location.removeprefix(f"s3://{settings.s3_bucket}/")
    content = b"PAR1 stands here for a Parquet file"
    file = f"{name}_{scope['start']}_{scope['end']}.parquet"
    manifest = {
        "format": 1,
        "dataset": output.dataset,
        "version": output.version,
        "partition": {"key": scope["key"], "start": scope["start"], "end": scope["end"]},
        "task_id": claimed.task.task_id,
        "attempt": claimed.attempt,
        "files": [{"path": file, "rows": 20, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}],
        "rows": 20,
        "bytes": len(content),
        "columns": [{"name": c.name, "type": c.type, "nullable": c.nullable} for c in output.columns],
        **changes,
    }
    encoded = msgspec.json.encode(manifest)
    digest = hashlib.sha256(encoded).hexdigest()
    await objects.put_if_absent(place + file, content)
    await objects.put_if_absent(place + "_manifest.json", encoded)
    await objects.put_if_absent(place + "_SUCCESS", digest.encode())
    return {
        "name": name,
        "partition": manifest["partition"],
        "location": location,
        "rows": manifest["rows"],
        "bytes": manifest["bytes"],
        "manifest_sha256": digest,
    }


async def compacted(
    caller: Caller, lease: wire.ClaimedTask, databases: services.Databases, scratch: Path
) -> wire.Completion:
    """Run a compaction with the credentials that its token gives, and complete it."""
    answer = await caller.task_call("credentials", lease.capability_token, {"fence": fence_of(lease)})
    given = msgspec.json.decode(answer.content, type=wire.CredentialsResponse)
    lent = TaskIO(data_dsn=lambda: databases.writer_dsn, credentials=lambda: given, scratch=scratch)
    done = await asyncio.to_thread(run_task, lease, lent)
    assert done.status == "Completed", done.error
    answer = await caller.task_call(
        "complete", lease.capability_token, {"completions": [msgspec.to_builtins(done)]}
    )
    assert answer.status_code == 200, answer.text
    return done
