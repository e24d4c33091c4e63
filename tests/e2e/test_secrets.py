"""No secret of the installation is anywhere but in its Secrets: not in logs, objects, events, metrics, tables,
stored files or refusals. It is looked for after every other test on the cluster, in what all of them left.

What is looked for was in use: the Secrets' words, the admin's token, a task's token and keys, a refused token.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.config import Config

from hack.demo.ask import QUERY_PORT, QUERY_SERVICE
from hack.localcluster.layout import ClusterError
from tests.services.installation import DAG, Installation

pytestmark = [pytest.mark.cluster, pytest.mark.last, pytest.mark.timeout(900)]

KINDS = "pods,deployments,statefulsets,replicasets,services,configmaps,events,leases,dags,tjob,assets,nodes"
SHORTEST = 12
WRONG = "a-token-that-nobody-made-4f0c2ab9"
BUCKET = "trace"
BODIES, LARGEST = 300, 1024 * 1024
"""Newest objects that are read, and the largest of them, in bytes; every key is looked at."""
DISPATCHER, TASKS, USERS = "service/trace-dispatcher", 8080, 8081
METRICS = (
    ("app.kubernetes.io/component=dispatcher", "dispatcher", TASKS),
    ("app.kubernetes.io/component=dispatcher", "query", QUERY_PORT),
    ("app.kubernetes.io/component=controller", "controller", 9090),
    (f"trace.dev/dag={DAG},trace.dev/job=follow", "worker", 9090),
)


def secrets(trace: Installation) -> dict[str, str]:
    """Every secret word: values as they are, passwords out of DSNs, and lines of keys."""
    words: dict[str, str] = {}
    for item in trace.kube.items("secrets", "--selector", "app.kubernetes.io/instance=trace"):
        for key, encoded in item["data"].items():
            value = base64.b64decode(encoded).decode()
            name = f"{item['metadata']['name']}/{key}"
            if key == "access-key-id":
                continue  # a name, which signed URLs show
            if "://" in value:
                words[name] = urlsplit(value).password or ""
            elif value.startswith("-----"):
                words.update({f"{name}:{n}": line for n, line in enumerate(value.splitlines()[1:-1])})
            else:
                words.update({f"{name}:{n}": line for n, line in enumerate(value.split())})
    return {name: word for name, word in words.items() if len(word) >= SHORTEST}


def secret(trace: Installation, name: str, key: str) -> str:
    """A value of a Secret, as the platform reads it."""
    return base64.b64decode(trace.kube.get("secret", name)["data"][key]).decode().strip()


def minted(trace: Installation) -> dict[str, str]:
    """Secret words of tokens and keys that are made at run time: the admin's, and those of a task.

    Of a signed token the signature is searched for: it is what makes the rest of it worth anything.
    """
    task, keys = leased(trace)
    tokens = {
        "the admin's token": trace.admin.token,
        "a task's token": task["capability_token"],
        "a task's session token": keys["session_token"],
    }
    words = {name: token.rpartition(".")[2] for name, token in tokens.items()}
    return words | {"a task's key": keys["secret_access_key"], "a refused token": WRONG}


def leased(trace: Installation) -> tuple[dict[str, Any], dict[str, Any]]:
    """A compaction and its keys of the object store, claimed and asked for as a worker does, and handed back."""
    job = trace.psql(
        "trace_state",
        f"""SELECT j.id FROM jobs j JOIN tasks t ON t.job_id = j.id
             WHERE j.namespace = '{trace.kube.namespace}' AND j.dag = '{DAG}' AND j.name = 'compact'
             ORDER BY t.queued_at DESC LIMIT 1""",
    )
    worker = {"X-Trace-Worker-Token": secret(trace, "trace-worker", "token").split()[0]}
    wanted = {"worker_id": "searcher", "job": job, "wait_seconds": 10}
    found: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def look() -> tuple[bool, str]:
        claimed = httpx.post(f"{url}/internal/task-claim", json=wanted, headers=worker, timeout=60)
        if claimed.status_code != 200 or not claimed.json()["tasks"]:
            return False, f"{claimed.status_code}, and no task"
        (task,) = claimed.json()["tasks"]
        fence = {"task_id": task["task"]["task_id"]} | {name: task[name] for name in ("attempt", "lease_token")}
        own = {"X-Trace-Task-Capability": task["capability_token"]}
        given = httpx.post(f"{url}/v1/task/credentials", json={"fence": fence}, headers=own, timeout=60)
        back = {"completions": [{"fence": fence, "status": "Released"}]}
        httpx.post(f"{url}/v1/task/complete", json=back, headers=own, timeout=60)  # else its lease runs out
        if given.status_code == 200:
            found.append((task, given.json()))
        return bool(found), given.text[:200] if not found else ""

    with trace.kube.forward(DISPATCHER, TASKS) as url:
        trace.wait("a compaction is claimed, and its keys are given", look)
    return found[0]


def refusals(trace: Installation) -> Iterator[tuple[str, str]]:
    """What each API says to who has no token, a wrong one, or a right one and nothing sensible to ask."""
    worker, bearer = "X-Trace-Worker-Token", "Authorization"
    own, admin = secret(trace, "trace-worker", "token").split()[0], f"Bearer {trace.admin.token}"
    for service, port, header, right, method, path in (
        (DISPATCHER, TASKS, worker, own, "POST", "/internal/task-claim"),
        (DISPATCHER, USERS, bearer, admin, "GET", "/v1/dags?limit=many"),
        (QUERY_SERVICE, QUERY_PORT, bearer, admin, "POST", "/v1/query"),
    ):
        wrong = WRONG if header == worker else f"Bearer {WRONG}"
        asked = {"no token": {}, "a wrong token": {header: wrong}, "a wrong request": {header: right}}
        with trace.kube.forward(service, port) as url:
            for what, headers in asked.items():
                sent = headers | {"Content-Type": "application/json"}
                answer = httpx.request(method, f"{url}{path}", headers=sent, content=b'{"sql": ', timeout=60)
                assert 400 <= answer.status_code < 500, f"{path}, {what}: {answer.status_code}"
                yield f"refusal of {what} at {path}", f"{answer.headers} {answer.text}"


def logs(trace: Installation) -> Iterator[tuple[str, str]]:
    """What every container says, and what it said before it was last started again."""
    for pod in trace.pods():
        name, status = pod["metadata"]["name"], pod["status"]
        yield f"logs of {name}", log(trace, name, "--all-containers", "--ignore-errors")
        for container in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
            if container["restartCount"]:
                said = log(trace, name, "--container", container["name"], "--previous")
                yield f"logs of {name}/{container['name']} before", said


def log(trace: Installation, *arguments: str) -> str:
    """A log; nothing where it is gone: an idle worker leaves by itself, and its log with it."""
    try:
        return trace.kube.kubectl("logs", *arguments)
    except ClusterError as gone:
        if "not found" not in str(gone):
            raise
        return ""


def metrics(trace: Installation, labels: str, container: str, port: int) -> str:
    """A container's metrics, as it shows them itself; asked again where its pod goes meanwhile."""
    fetch = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/metrics').read().decode())"
    found: list[str] = []

    def look() -> bool:
        pod = trace.one(labels)["metadata"]["name"]
        found.append(trace.kube.kubectl("exec", pod, "--container", container, "--", "python3", "-c", fetch))
        return True

    trace.wait(f"metrics of {container}:{port}", look)
    return found[0]


@contextmanager
def bucket(trace: Installation) -> Iterator[Any]:
    """An S3 client with the platform's own keys, which see everything."""
    with trace.kube.forward("service/trace-minio", 9000) as url:
        yield boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=secret(trace, "trace-s3", "access-key-id"),
            aws_secret_access_key=secret(trace, "trace-s3", "secret-access-key"),
            config=Config(s3={"addressing_style": "path"}),
        )


def stored(trace: Installation) -> Iterator[tuple[str, str]]:
    """Every key, and the bodies of the newest objects: as they are, and what is compressed in them as rows."""
    with bucket(trace) as s3:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        listed = [item for page in pages for item in page.get("Contents", ())]
        yield "keys of the bucket", "\n".join(item["Key"] for item in listed)
        newest = sorted(listed, key=lambda item: item["LastModified"], reverse=True)
        for key in [item["Key"] for item in newest if item["Size"] <= LARGEST][:BODIES]:
            try:
                body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            except s3.exceptions.NoSuchKey:  # what nobody needs any more is deleted meanwhile
                continue
            yield f"object {key}", body.decode("latin-1")
            if key.endswith(".parquet"):
                yield f"rows of {key}", str(pq.read_table(io.BytesIO(body)).to_pydict())


def said(trace: Installation) -> Iterator[tuple[str, str]]:
    """Everything the installation shows to somebody: where, and what. Refusals first: they leave traces, too."""
    kubectl = trace.kube.kubectl
    yield from refusals(trace)
    yield from logs(trace)
    yield "objects", kubectl("get", KINDS, "--output", "json")
    for labels, container, port in METRICS:
        yield f"metrics of {container}:{port}", metrics(trace, labels, container, port)
    postgres = trace.one("app.kubernetes.io/component=postgres")
    for database in ("trace_state", "trace_data"):
        dump = ("pg_dump", "--host", "/tmp", "--username", "postgres", "--exclude-table-data=hot.*", database)
        yield database, kubectl("exec", postgres["metadata"]["name"], "--container", "postgres", "--", *dump)
    yield from stored(trace)


def shown(trace: Installation, words: dict[str, str]) -> set[tuple[str, str]]:
    """(word's name, place) of every word that is shown somewhere."""
    return {
        (name, place)
        for place, text in said(trace)
        for name, word in words.items()
        if re.search(re.escape(word), text)
    }


def test_no_secret_is_shown_anywhere(trace: Installation, request: pytest.FixtureRequest) -> None:
    assert request.session.items[-1].path == request.path, "what runs later is not searched"
    trace.rows("SELECT count(*) FROM blocks")
    words = secrets(trace)
    kinds = {name.partition("/")[0] for name in words}
    assert kinds >= {"trace-postgres", "trace-state", "trace-data", "trace-worker", "trace-capability"}
    assert kinds >= {"trace-s3", "trace-query-s3"}
    assert not shown(trace, words | minted(trace))


def test_the_search_finds_what_is_there(trace: Installation) -> None:
    """The search itself: a word in a ConfigMap, a key, a body, and rows that are compressed."""
    word = "planted-where-it-is-to-be-found"
    table = io.BytesIO()
    pq.write_table(pa.table({"note": [word] * 9}), table, compression="zstd", use_dictionary=False)
    planted = {"leak/body": word.encode(), "leak/table.parquet": table.getvalue(), f"leak/{word}": b""}
    trace.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "leak"}, "data": {"word": word}})
    try:
        with bucket(trace) as s3:
            for key, body in planted.items():
                s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        places = {place for _, place in shown(trace, {"planted": word})}
        assert places >= {"objects", "keys of the bucket", "object leak/body", "rows of leak/table.parquet"}
    finally:
        trace.kube.kubectl("delete", "configmap", "leak")
        with bucket(trace) as s3:
            for key in planted:
                s3.delete_object(Bucket=BUCKET, Key=key)
