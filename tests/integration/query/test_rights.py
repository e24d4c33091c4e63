"""The query service's own user of the object store, made as the chart makes it: it is enough, and opens no more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests import services
from tests.integration.query.callers import exports, fetched
from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from traceplane.query.files import bucket

pytestmark = pytest.mark.services

CHECKOUT = Path(__file__).resolve().parents[3]
PREPARE = CHECKOUT / "charts" / "trace" / "files" / "minio-prepare.py"
SECRET = "secret-of-the-query-service"
DATA = f"{services.ORG_ID}/default/monad/compact/blocks/1/"
EXPORTED = f"exports/{services.ORG_ID}/a.parquet"
OTHERS = ("top", "another-organisation/a", "exports/another-organisation/a")


def prepare(world: World, folder: Path, key: str, secret: str) -> subprocess.CompletedProcess[str]:
    """What the chart's init container does."""
    (folder / "access-key-id").write_text(key)
    (folder / "secret-access-key").write_text(secret)
    return subprocess.run(
        [sys.executable, str(PREPARE), str(folder)],
        env={
            "PATH": os.environ["PATH"],
            "TRACE_S3_ENDPOINT_URL": world.store.endpoint_url,
            "TRACE_S3_REGION": world.store.region,
            "TRACE_S3_BUCKET": world.bucket,
            "TRACE_S3_ACCESS_KEY_ID": world.store.access_key_id,
            "TRACE_S3_SECRET_ACCESS_KEY": world.store.secret_access_key,
        },
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.fixture
def key(world: World, tmp_path: Path) -> str:
    """Access key id of a user with the policy; SECRET is its other half."""
    name = f"query-{world.bucket}"
    done = prepare(world, tmp_path, name, SECRET)
    assert done.returncode == 0, done.stdout + done.stderr
    return name


@pytest.fixture
def user(world: World, key: str) -> Any:
    """An S3 client with them, and an object of each kind in the bucket."""
    for name in (f"{DATA}a", EXPORTED, *OTHERS):
        world.store.client().put_object(Bucket=world.bucket, Key=name, Body=b"before")
    return as_user(world, key, SECRET)


def as_user(world: World, key: str, secret: str) -> Any:
    return world.store.client(aws_access_key_id=key, aws_secret_access_key=secret)


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    code: str = refused.value.response["Error"]["Code"]
    return code


def test_the_service_needs_no_more(world: World, key: str, start_service: Callable[..., Client]) -> None:
    """Cold files, an export of several parts, its URL, and the same result asked for again."""
    hot, cold = world.federated()
    world.follow(hot, 0, 24_999)
    world.compact(hot, cold, 0, 9_999)
    client = start_service(s3_access_key_id=key, s3_secret_access_key=SECRET)
    assert client.rows("SELECT count(*) FROM cold_blocks") == [[10_000]]
    said = client.post("SELECT md5(range::VARCHAR) AS m FROM range(600000)").json()
    assert said["output"]["bytes"] > 8 * 1024 * 1024, "else one part would do"
    assert fetched(said["output"]).num_rows == 600_000
    headers = {"Authorization": f"Bearer {client.token}"}
    again = httpx.get(f"{client.url}/v1/queries/{said['query_id']}", headers=headers, timeout=60).json()
    assert fetched(again["output"]).num_rows == 600_000
    assert exports(world) == [said["output"]["location"].removeprefix(f"s3://{world.bucket}/")]


def test_data_is_read_only_and_an_export_stays(world: World, user: Any) -> None:
    assert user.get_object(Bucket=world.bucket, Key=f"{DATA}a")["Body"].read() == b"before"
    for name in (f"{DATA}a", f"{DATA}b"):
        assert refusal(user.put_object, Bucket=world.bucket, Key=name, Body=b"mine") == "AccessDenied"
        assert refusal(user.create_multipart_upload, Bucket=world.bucket, Key=name) == "AccessDenied"
        stolen = {"Bucket": world.bucket, "Key": EXPORTED}
        assert refusal(user.copy_object, Bucket=world.bucket, Key=name, CopySource=stolen) == "AccessDenied"
    for name in (f"{DATA}a", EXPORTED):
        assert refusal(user.delete_object, Bucket=world.bucket, Key=name) == "AccessDenied"


def test_every_other_key_is_closed(world: World, user: Any) -> None:
    for name in OTHERS:
        assert refusal(user.get_object, Bucket=world.bucket, Key=name) == "AccessDenied"
        assert refusal(user.put_object, Bucket=world.bucket, Key=name, Body=b"mine") == "AccessDenied"
        assert refusal(user.delete_object, Bucket=world.bucket, Key=name) == "AccessDenied"


def test_no_name_is_listed(world: World, user: Any) -> None:
    for prefix in ("", f"{services.ORG_ID}/", DATA, "exports/", f"exports/{services.ORG_ID}/"):
        assert refusal(user.list_objects_v2, Bucket=world.bucket, Prefix=prefix) == "AccessDenied"


def test_other_buckets_and_the_account_are_closed(world: World, user: Any) -> None:
    other = world.store.bucket()
    world.store.client().put_object(Bucket=other, Key=f"{DATA}a", Body=b"x")
    assert refusal(user.get_object, Bucket=other, Key=f"{DATA}a") == "AccessDenied"
    assert refusal(user.create_bucket, Bucket="another-bucket") == "AccessDenied"
    assert refusal(user.put_bucket_policy, Bucket=world.bucket, Policy="{}") == "AccessDenied"


def test_a_new_secret_takes_the_place_of_the_old_one(world: World, user: Any, key: str, tmp_path: Path) -> None:
    for _ in range(2):  # and once more changes nothing
        done = prepare(world, tmp_path, key, f"{SECRET}-2")
        assert done.returncode == 0, done.stdout + done.stderr
    assert refusal(user.get_object, Bucket=world.bucket, Key=f"{DATA}a") == "SignatureDoesNotMatch"
    renewed = as_user(world, key, f"{SECRET}-2")
    assert renewed.get_object(Bucket=world.bucket, Key=f"{DATA}a")["Body"].read() == b"before"


def test_the_service_takes_a_new_secret_while_it_runs(
    world: World, key: str, tmp_path: Path, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "REREAD_SECONDS", 0)
    files = {"s3_access_key_id_file": "access-key-id", "s3_secret_access_key_file": "secret-access-key"}
    unset = {"s3_access_key_id": None, "s3_secret_access_key": None}
    client = start_service(**unset, **{name: tmp_path / file for name, file in files.items()})
    sql = "SELECT md5(range::VARCHAR) AS m FROM range(20000) WHERE range >= "
    assert fetched(client.post(f"{sql} 1").json()["output"]).num_rows == 19_999
    done = prepare(world, tmp_path, key, f"{SECRET}-2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert fetched(client.post(f"{sql} 2").json()["output"]).num_rows == 19_998


def test_who_is_given_the_stores_own_key_goes_without_a_user(world: World, tmp_path: Path) -> None:
    store = world.store
    done = prepare(world, tmp_path, store.access_key_id, store.secret_access_key)
    assert done.returncode == 0, done.stdout + done.stderr
    assert store.keys(world.bucket) == []
