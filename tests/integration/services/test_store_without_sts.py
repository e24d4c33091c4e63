"""A store without STS: refused where STS is asked for, opened with the keys of a folder where that is chosen; and
its certificate is checked by every client."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from tests import services
from tests.integration.services.credentials import opened, task_store
from tests.services.object_store import DEMO, TASKS, write_keys
from tests.support.certificates import Authority
from traceplane.dispatch import health
from traceplane.dispatch.loops.credentials import ProvenCredentials
from traceplane.drivers.objects import S3Objects
from traceplane.drivers.task_credentials import SHORTEST_SECONDS, TaskCredentials
from traceplane.drivers.task_keys import TaskKeys
from traceplane.errors import InvalidSettings, Unavailable
from traceplane.query.files.bucket import Bucket
from traceplane.settings import Settings
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.wire import CredentialsResponse

pytestmark = pytest.mark.services


@pytest.fixture
def bucket(plain_store: services.ObjectStore) -> str:
    return plain_store.bucket()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder of keys of tasks, for all namespaces."""
    write_keys(tmp_path / "keys", TASKS)
    return tmp_path / "keys"


def settings_of(store: services.ObjectStore, bucket: str, **changed: Any) -> Settings:
    return Settings(**store.settings() | {"s3_bucket": bucket} | changed)


@pytest.fixture
def old_store(plain_store: services.ObjectStore) -> Iterator[str]:
    """The store as one that knows no checksums of the protocol: the address of a proxy that refuses them."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if (
                "aws-chunked" in self.headers.get("Content-Encoding", "")
                or "x-amz-sdk-checksum-algorithm" in self.headers
            ):
                self._say(501, b"<Error><Code>NotImplemented</Code><Message>no trailers</Message></Error>")
                return
            self._pass(body)

        def do_GET(self) -> None:
            self._pass(b"")

        def _pass(self, body: bytes) -> None:
            url, headers = f"{plain_store.endpoint_url}{self.path}", dict(self.headers)
            answer = httpx.request(
                self.command, url, content=body, headers=headers, verify=opened(plain_store), timeout=30
            )
            self._say(answer.status_code, answer.content)

        def _say(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


async def mint(source: TaskKeys, namespace: str) -> CredentialsResponse:
    return await source.mint("{}", namespace=namespace, session="test", seconds=SHORTEST_SECONDS)


async def test_sts_that_is_not_there_is_refused_with_the_setting_and_the_remedy(
    plain_store: services.ObjectStore, bucket: str
) -> None:
    settings = settings_of(plain_store, bucket, s3_credentials="Sts")
    credentials = TaskCredentials(settings)
    with structlog.testing.capture_logs(), pytest.raises(Unavailable) as refused:
        await ProvenCredentials(credentials, settings).run_once()
    assert refused.value.code == "NoSts"
    assert credentials.refusal == refused.value.message
    for said in (plain_store.endpoint_url, "has no STS (405)", "TRACE_S3_CREDENTIALS", "Static"):
        assert said in refused.value.message


async def test_sts_that_has_worked_is_never_taken_for_one_that_is_not_there(
    object_store: services.ObjectStore, plain_store: services.ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(object_store, object_store.bucket())
    credentials = TaskCredentials(settings)
    assert (credentials.proven, credentials.refusal) == (False, None)
    await ProvenCredentials(credentials, settings).run_once()
    assert (credentials.proven, credentials.refusal) == (True, None)
    other = TaskCredentials(settings_of(plain_store, "other", s3_credentials="Sts"))
    monkeypatch.setattr(credentials, "_assume", other._assume)
    with structlog.testing.capture_logs(), pytest.raises(Unavailable):
        await health.ask_for_credentials(credentials, settings)
    assert credentials.refusal is None


async def test_a_namespace_with_keys_of_its_own_has_these_and_others_those_of_all(
    plain_store: services.ObjectStore, bucket: str, keys: Path
) -> None:
    write_keys(keys, DEMO, "demo.")
    source = TaskKeys(settings_of(plain_store, bucket, s3_task_keys_dir=keys))
    assert (await mint(source, "other")).access_key_id == TASKS[0]
    given = await mint(source, "demo")
    assert (given.access_key_id, given.secret_access_key, given.session_token) == (*DEMO, "")
    write_keys(keys, ("next", "next-secret"), "demo.")
    assert (await mint(source, "demo")).access_key_id == "next", "they are files because they rotate"


def test_the_store_confines_a_namespaces_keys_where_it_is_told_to(
    plain_store: services.ObjectStore, bucket: str, keys: Path
) -> None:
    write_keys(keys, DEMO, "demo.")
    plain_store.allow(bucket, {DEMO[0]: "org/demo/*"})
    store = task_store(plain_store, bucket, s3_task_keys_dir=keys)
    store.put_bytes(f"s3://{bucket}/org/demo/a", b"content")
    with pytest.raises(OperatorError) as refused:
        store.put_bytes(f"s3://{bucket}/org/other/a", b"content")
    assert refused.value.code in ("ObjectStoreRefused", "ObjectStoreUnavailable")
    assert plain_store.keys(bucket) == ["org/demo/a"]


async def test_keys_that_the_store_does_not_know_are_found_by_the_doctor(
    plain_store: services.ObjectStore, bucket: str, keys: Path
) -> None:
    source = TaskKeys(settings_of(plain_store, bucket, s3_task_keys_dir=keys))
    assert await source.try_out("org") == "1 pairs of keys open the bucket"
    write_keys(keys, ("nobody", "secret"), "demo.")
    with pytest.raises(Unavailable, match=r"demo\.access-key-id"):
        await source.try_out("org")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (None, "set TRACE_S3_TASK_KEYS_DIR"),
        ({}, "has no file access-key-id"),
        ({"access-key-id": "a"}, "secret-access-key: No such file"),
        ({"access-key-id": "a", "secret-access-key": ""}, "is empty"),
        ({"demo.access-key-id": "a"}, "demo.secret-access-key: No such file"),
    ],
    ids=["no folder", "no keys", "half", "empty", "half of a namespace"],
)
def test_keys_that_are_not_there_are_named_at_start(
    files: dict[str, str] | None, said: str, plain_store: services.ObjectStore, tmp_path: Path
) -> None:
    for name, content in (files or {}).items():
        (tmp_path / name).write_text(content)
    folder = None if files is None else tmp_path
    with pytest.raises(InvalidSettings, match=said):
        TaskKeys(settings_of(plain_store, "bucket", s3_task_keys_dir=folder))


async def test_a_namespace_without_keys_is_told_what_to_add(
    plain_store: services.ObjectStore, tmp_path: Path
) -> None:
    write_keys(tmp_path, DEMO, "demo.")
    with pytest.raises(Unavailable, match=r"add other\.access-key-id") as refused:
        await mint(TaskKeys(settings_of(plain_store, "bucket", s3_task_keys_dir=tmp_path)), "other")
    assert refused.value.code == "NoTaskKeys"


@pytest.mark.parametrize("ca", [None, Authority("stranger").certificate], ids=["no CA", "another CA"])
async def test_a_store_whose_certificate_is_not_vouched_for_is_opened_by_nobody(
    ca: bytes | None, plain_store: services.ObjectStore, bucket: str, tmp_path: Path
) -> None:
    write_keys(tmp_path, (plain_store.access_key_id, plain_store.secret_access_key))
    if ca is not None:
        (tmp_path / "ca.crt").write_bytes(ca)
    files = {
        "s3_access_key_id_file": tmp_path / "access-key-id",
        "s3_secret_access_key_file": tmp_path / "secret-access-key",
    }
    settings = settings_of(plain_store, bucket, **files)
    with pytest.raises(Unavailable):
        await S3Objects(settings).list("a/", limit=1)
    with pytest.raises(Unavailable):
        list(Bucket(settings).stream("a"))
    with structlog.testing.capture_logs() as said, pytest.raises(Unavailable):
        await health.ask_for_credentials(TaskCredentials(settings), settings)
    assert [line["code"] for line in said] == ["SSLError"]


def test_a_task_gets_the_ca_with_its_credentials(plain_store: services.ObjectStore, bucket: str) -> None:
    store, digest = task_store(plain_store, bucket), hashlib.sha256(b"content").hexdigest()
    store.put_bytes(f"s3://{bucket}/org/demo/a", b"content")
    for ca in (None, Authority("stranger").certificate.decode()):
        with pytest.raises(OperatorError, match="certificate verify failed") as refused:
            task_store(plain_store, bucket, given={"ca": ca}).get_bytes(f"s3://{bucket}/org/demo/a", digest)
        assert refused.value.code == "ObjectStoreUnavailable"


def test_older_stores_that_know_no_checksums_are_written_to_without(
    plain_store: services.ObjectStore, bucket: str, old_store: str, tmp_path: Path
) -> None:
    (tmp_path / "out").write_bytes(b"content")
    digest, uri = hashlib.sha256(b"content").hexdigest(), f"s3://{bucket}/org/demo/a"
    with pytest.raises(OperatorError, match="NotImplemented") as refused:
        task_store(plain_store, bucket, s3_endpoint_url=old_store).put_file(uri, tmp_path / "out", digest)
    assert refused.value.code == "ObjectStoreRefused"
    older = task_store(plain_store, bucket, s3_endpoint_url=old_store, s3_checksums="WhenRequired")
    older.put_file(uri, tmp_path / "out", digest)
    assert older.get_bytes(uri, digest) == b"content"
