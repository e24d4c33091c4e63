"""Each store holds what the platform, its tasks and the query service ask of it, each by its own client."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from botocore.httpsession import URLLib3Session

from tests import services
from tests.integration.services.credentials import opened, task_store
from tests.services.object_store import DOMAIN
from traceplane.drivers.objects import S3Objects
from traceplane.errors import NotFound, TooLarge, Unavailable
from traceplane.query.files.bucket import Bucket
from traceplane.settings import Settings
from traceplane_sdk.errors import OperatorError

pytestmark = pytest.mark.services

MIB = 1 << 20


@pytest.fixture
def bucket(each_store: services.ObjectStore) -> str:
    return each_store.bucket()


@pytest.fixture
def settings(each_store: services.ObjectStore, bucket: str) -> Settings:
    return Settings(s3_bucket=bucket, **each_store.settings())


@pytest.fixture
def objects(settings: Settings) -> S3Objects:
    return S3Objects(settings)


async def test_the_platform_writes_once_reads_within_a_bound_and_deletes(objects: S3Objects) -> None:
    assert await objects.put_if_absent("a/_manifest.json", b"first")
    assert not await objects.put_if_absent("a/_manifest.json", b"other")
    assert await objects.get("a/_manifest.json", max_bytes=5) == b"first"
    with pytest.raises(TooLarge):
        await objects.get("a/_manifest.json", max_bytes=4)
    found = await objects.head("a/_manifest.json")
    assert found is not None
    assert (found.key, found.size) == ("a/_manifest.json", 5)
    await objects.delete("a/_manifest.json")
    await objects.delete("a/_manifest.json")  # nothing is there, and that is no fault
    assert await objects.head("a/_manifest.json") is None
    with pytest.raises(NotFound):
        await objects.get("a/_manifest.json", max_bytes=5)


async def test_of_writers_of_one_key_at_once_one_wins(objects: S3Objects) -> None:
    won = await asyncio.gather(*(objects.put_if_absent("a/b", b"%d" % n) for n in range(12)))
    assert sum(won) == 1
    assert await objects.get("a/b", max_bytes=9) == b"%d" % won.index(True)


async def test_more_objects_than_a_page_holds_are_listed_and_deleted(
    objects: S3Objects, each_store: services.ObjectStore, bucket: str
) -> None:
    names = [f"p/{n:04}" for n in range(1005)]
    slots = asyncio.Semaphore(32)

    async def put(name: str) -> None:
        async with slots:
            await objects.put_if_absent(name, b"")

    async def delete(name: str) -> None:
        async with slots:
            await objects.delete(name)

    await asyncio.gather(*map(put, [*names, "p-2/a", "p.txt"]))
    assert sorted(found.key for found in await objects.list("p/", limit=2000)) == names
    assert len(await objects.list("p/", limit=7)) == 7
    await asyncio.gather(*map(delete, names))
    assert each_store.keys(bucket) == ["p-2/a", "p.txt"]


@pytest.mark.parametrize(
    "key",
    ["a" * 200, "/".join(["a" * 100] * 9), "a b+c%25?d&e=f#g", "é/日本.parquet", "a=1/b.c_d-e", "a/..b/c"],
    ids=["long name", "long key", "reserved characters", "not ASCII", "plain", "dots"],
)
def test_a_task_reads_back_what_it_wrote_under_any_key(
    each_store: services.ObjectStore, bucket: str, key: str
) -> None:
    store, uri = task_store(each_store, bucket), f"s3://{bucket}/org/demo/{key}"
    store.put_bytes(uri, b"content")
    assert store.get_bytes(uri, hashlib.sha256(b"content").hexdigest()) == b"content"
    assert each_store.keys(bucket) == [f"org/demo/{key}"]


def test_a_task_writes_empty_and_large_files_once(
    each_store: services.ObjectStore, bucket: str, tmp_path: Path
) -> None:
    store = task_store(each_store, bucket)
    for size in (0, 9 * MIB + 1):
        content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        digest, uri = hashlib.sha256(content).hexdigest(), f"s3://{bucket}/org/demo/{size}"
        (tmp_path / "out").write_bytes(content)
        store.put_file(uri, tmp_path / "out", digest)
        store.put_file(uri, tmp_path / "out", digest)  # the reply of the first was lost
        store.get_file(uri, tmp_path / "in", digest)
        assert (tmp_path / "in").read_bytes() == content
        with pytest.raises(OperatorError) as refused:
            store.put_bytes(uri, b"other")
        assert refused.value.code == "ObjectConflict"


@pytest.mark.parametrize("checksums", ["WhenSupported", "WhenRequired"])
def test_both_modes_of_checksums_are_taken(
    each_store: services.ObjectStore, bucket: str, checksums: str, tmp_path: Path
) -> None:
    store = task_store(each_store, bucket, s3_checksums=checksums)
    (tmp_path / "out").write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    store.put_file(f"s3://{bucket}/org/demo/a", tmp_path / "out", digest)
    assert store.get_bytes(f"s3://{bucket}/org/demo/a", digest) == b"content"


def test_the_query_service_streams_exports_in_parts_and_signs_urls(
    each_store: services.ObjectStore, settings: Settings, bucket: str
) -> None:
    service, org = Bucket(settings), UUID(int=1)
    piece = bytes(range(256)) * 4096
    with service.export(org, uuid4()) as export:
        for _ in range(17):
            export.write(piece)
    location = export.location
    assert each_store.keys(bucket) == [f"exports/{org}/{export.sha256}.parquet"], "nothing else is left"
    assert service.holds(location)
    assert not service.holds(location + "x")
    assert b"".join(service.stream(location.removeprefix(f"s3://{bucket}/"))) == piece * 17
    with pytest.raises(Unavailable) as missing:
        list(service.stream("exports/none"))
    assert missing.value.code == "DataMissing"

    signed = service.url(location, 60)
    with httpx.Client(verify=opened(each_store)) as anybody:
        assert anybody.get(signed).content == piece * 17
        assert anybody.get(signed, headers={"Range": "bytes=256-511"}).content == bytes(range(256))
        assert anybody.get(signed.replace(export.sha256[:8], "00000000")).status_code == 403
        assert anybody.put(signed, content=b"mine").status_code == 403


@pytest.mark.parametrize(
    ("changed", "place", "said"),
    [
        ({"secret_access_key": "x" * 20}, "", "SignatureDoesNotMatch"),
        ({"access_key_id": "nobody"}, "", "InvalidAccessKeyId|XAdminUserNotFound"),
        ({}, "-that-is-not-there", "NoSuchBucket|AccessDenied"),
    ],
    ids=["secret", "key id", "bucket"],
)
def test_what_no_further_try_would_change_is_refused_with_the_stores_reason(
    changed: dict[str, str], place: str, said: str, each_store: services.ObjectStore, bucket: str
) -> None:
    store = task_store(each_store, bucket, given=changed)
    with pytest.raises(OperatorError, match=said) as refused:
        store.put_bytes(f"s3://{bucket}{place}/org/demo/a", b"content")
    assert refused.value.code == "ObjectStoreRefused"


async def test_buckets_as_subdomains_are_asked_by_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    with services.plain_store(tls=False) as store:
        bucket = store.bucket()
        # No name server here knows the domain: the store itself is the proxy, and looks at the host.
        monkeypatch.setenv("http_proxy", store.endpoint_url)
        virtual = {"s3_endpoint_url": f"http://{DOMAIN}", "s3_addressing": "VirtualHosted"}
        settings = Settings(s3_bucket=bucket, **store.settings() | virtual)
        assert await S3Objects(settings).put_if_absent("org/demo/a", b"content")
        assert b"".join(Bucket(settings).stream("org/demo/a")) == b"content"
        assert Bucket(settings).url(f"s3://{bucket}/a", 9).startswith(f"http://{bucket}.{DOMAIN}/a?")
        digest = hashlib.sha256(b"content").hexdigest()
        by_task = await asyncio.to_thread(task_store, store, bucket, **virtual)
        sent = []
        send = URLLib3Session.send
        monkeypatch.setattr(URLLib3Session, "send", lambda to, what: sent.append(what.url) or send(to, what))
        assert by_task.get_bytes(f"s3://{bucket}/org/demo/a", digest) == b"content"
        assert sent == [f"http://{bucket}.{DOMAIN}/org/demo/a"], "the store would take the other way, too"
        monkeypatch.delenv("http_proxy")
        assert store.keys(bucket) == ["org/demo/a"]
