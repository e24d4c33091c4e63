"""What a task's S3 credentials open on a real store: its own prefixes, and nothing by any other spelling."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Signing
from botocore.exceptions import ClientError

from tests import services
from tests.integration.services.credentials import INPUT, OTHER, OWN, as_task, mint
from traceplane_sdk.wire import CredentialsResponse

pytestmark = pytest.mark.services


@pytest.fixture
def filled(object_store: services.ObjectStore) -> str:
    """A bucket with an object in each prefix, and names that begin like ours."""
    bucket = object_store.bucket()
    for key in (
        f"{OWN}a",
        f"{INPUT}a",
        f"{OTHER}a",
        "org/chain/own.txt",
        "org/chain/owner/a",
        "org/chain/input-2/a",
        "top",
    ):
        object_store.client().put_object(Bucket=bucket, Key=key, Body=b"content of " + key.encode())
    return bucket


@pytest.fixture
def given(object_store: services.ObjectStore, filled: str) -> CredentialsResponse:
    """Credentials that write OWN and read INPUT."""
    return mint(object_store, filled, read=[INPUT], write=[OWN])


@pytest.fixture
def task(object_store: services.ObjectStore, given: CredentialsResponse) -> Any:
    """An S3 client with them."""
    return as_task(object_store, given)


def denied(call: Callable[..., Any], **arguments: Any) -> bool:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]["Code"] == "AccessDenied"


def test_own_prefixes_are_open(task: Any, filled: str) -> None:
    assert task.get_object(Bucket=filled, Key=f"{INPUT}a")["Body"].read() == f"content of {INPUT}a".encode()
    task.put_object(Bucket=filled, Key=f"{OWN}b", Body=b"x")
    listed = task.list_objects_v2(Bucket=filled, Prefix=OWN)
    assert [item["Key"] for item in listed["Contents"]] == [f"{OWN}a", f"{OWN}b"]


@pytest.mark.parametrize(
    "key", [f"{OTHER}a", "org/chain/own.txt", "org/chain/owner/a", "org/chain/input-2/a", "top"]
)
def test_every_other_key_is_closed(task: Any, filled: str, key: str) -> None:
    assert denied(task.get_object, Bucket=filled, Key=key)
    assert denied(task.put_object, Bucket=filled, Key=key, Body=b"mine")
    assert denied(task.delete_object, Bucket=filled, Key=key)
    assert denied(task.copy_object, Bucket=filled, Key=f"{OWN}stolen", CopySource={"Bucket": filled, "Key": key})
    assert denied(task.create_multipart_upload, Bucket=filled, Key=key)


def test_inputs_are_read_only_and_nothing_is_deleted(task: Any, filled: str) -> None:
    assert denied(task.put_object, Bucket=filled, Key=f"{INPUT}a", Body=b"mine")
    for key in (f"{OWN}a", f"{INPUT}a"):
        assert denied(task.delete_object, Bucket=filled, Key=key)
    gone = task.delete_objects(Bucket=filled, Delete={"Objects": [{"Key": f"{OWN}a"}, {"Key": f"{OTHER}a"}]})
    assert [error["Code"] for error in gone["Errors"]] == ["AccessDenied"] * 2


@pytest.mark.parametrize("prefix", ["", "org/", "org/chain/", OTHER, "org/chain/own", "org/chain/o"])
def test_only_own_prefixes_are_listed(task: Any, filled: str, prefix: str) -> None:
    assert denied(task.list_objects_v2, Bucket=filled, Prefix=prefix)
    assert denied(task.list_objects_v2, Bucket=filled, Prefix=prefix, Delimiter="/")


def test_other_buckets_and_the_account_are_closed(task: Any, object_store: services.ObjectStore) -> None:
    other = object_store.bucket()
    object_store.client().put_object(Bucket=other, Key=f"{OWN}a", Body=b"x")
    assert denied(task.get_object, Bucket=other, Key=f"{OWN}a")
    assert denied(task.put_object, Bucket=other, Key=f"{OWN}a", Body=b"x")
    assert denied(task.create_bucket, Bucket="another-bucket")
    assert denied(task.list_buckets)


SPELLINGS = [
    f"{OWN}../other/a",
    f"{OWN}%2e%2e/other/a",
    f"{OWN}..%2fother%2fa",
    f"{OWN}%252e%252e/other/a",
    f"{OWN}./../other/a",
    f"{OWN}..%5cother%5ca",
    f"{OWN}..;/other/a",
    f"{OWN}%00/../../other/a",
    f"{OWN}%c0%ae%c0%ae/other/a",
    f"/{OTHER}a",
    f"{OWN}/../other/a",
    f"{OTHER}%61",
    f"x/../{OTHER}a",
]


def test_no_spelling_of_a_path_leaves_the_prefix(
    object_store: services.ObjectStore, filled: str, given: CredentialsResponse
) -> None:
    for method, path in itertools.product(("GET", "PUT", "DELETE"), SPELLINGS):
        _try_spelling(object_store, filled, given, method, path)


def _try_spelling(
    object_store: services.ObjectStore, filled: str, given: CredentialsResponse, method: str, path: str
) -> None:
    """Signed by hand, since a client would clean the path before it signs it."""
    url = f"{object_store.endpoint_url}/{filled}/{path}"
    signed = AWSRequest(method, url, data=b"mine" if method == "PUT" else b"", headers={"Host": url.split("/")[2]})
    signing = Signing(given.access_key_id, given.secret_access_key, given.session_token)
    SigV4Auth(signing, "s3", object_store.region).add_auth(signed)
    answer = httpx.request(method, httpx.URL(url), content=signed.data, headers=dict(signed.headers), timeout=60)
    assert f"content of {OTHER}a" not in answer.text, (method, path)
    owner = object_store.client()
    assert owner.get_object(Bucket=filled, Key=f"{OTHER}a")["Body"].read() == f"content of {OTHER}a".encode()
    beside = [key for key in object_store.keys(filled) if not key.startswith(OWN)]
    assert len(beside) == 6, (method, path, beside)


def test_a_token_that_was_changed_opens_nothing(
    object_store: services.ObjectStore, filled: str, given: CredentialsResponse
) -> None:
    head, body, signature = given.session_token.split(".")
    for token in ("", f"{head}.{body}.", f"{head}.{body[:-4]}AAAA.{signature}", quote(given.session_token[:-8])):
        client = object_store.client(
            aws_access_key_id=given.access_key_id,
            aws_secret_access_key=given.secret_access_key,
            aws_session_token=token,
        )
        with pytest.raises(ClientError):
            client.get_object(Bucket=filled, Key=f"{OWN}a")
