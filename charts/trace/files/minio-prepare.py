"""Prepares the embedded object store: its bucket, and a user for the query service that may do its work only.

Waits for the store to come up; the same once more changes nothing. Reads the settings that every process of the
chart gets, and the user's keys from the folder named. An external store is its owner's business.

MinIO takes users and policies as an archive of JSON files (`mc admin cluster iam import`); what it has besides
stays.
"""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from pathlib import Path

import boto3
import botocore.exceptions
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

from traceplane.query.files.bucket import policy
from traceplane.settings import Settings, load

SECONDS = 120
POLICY = "trace-query"


class NotTaken(Exception):
    """The store did not take the user; it may not be up yet."""


def make_bucket(own: Settings) -> None:
    """The bucket, where it is missing."""
    key_id, secret = own.read_s3_keys()
    s3 = boto3.client(
        "s3",
        endpoint_url=own.s3_endpoint_url,
        region_name=own.s3_region,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}),
    )
    try:
        s3.create_bucket(Bucket=own.s3_bucket)
    except (s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
        return
    print(f"bucket {own.s3_bucket} made")


def make_user(own: Settings, query: Settings) -> None:
    """The query service's user, with the keys it has now. Raises NotTaken."""
    name, secret = query.read_s3_keys()
    if name == own.read_s3_keys()[0]:
        print("the query service has the store's own key: values give it no other")
        return
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        for file, content in {
            "policies": {POLICY: policy(own.s3_bucket, own.org_id)},
            "users": {name: {"secretKey": secret, "status": "enabled"}},
            "user_mappings": {name: {"version": 1, "policy": POLICY}},
        }.items():
            files.writestr(f"iam-assets/{file}.json", json.dumps(content))
    request = AWSRequest("PUT", f"{own.s3_endpoint_url}/minio/admin/v3/import-iam-v2", data=archive.getvalue())
    signing = Credentials(*own.read_s3_keys())
    S3SigV4Auth(signing, "s3", own.s3_region).add_auth(request)
    answer = URLLib3Session(timeout=(2, 5)).send(request.prepare())
    if answer.status_code != 200 or json.loads(answer.text).get("failed"):
        raise NotTaken(f"user {name}: {answer.status_code} {answer.text}")


def main(folder: Path) -> int:
    """0 once both are there; 1 when the store did not make them in time."""
    own = load(Settings)
    query = load(
        Settings,
        s3_access_key_id_file=folder / "access-key-id",
        s3_secret_access_key_file=folder / "secret-access-key",
    )
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            make_bucket(own)
            make_user(own, query)
            return 0
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, NotTaken) as error:
            if time.monotonic() > deadline:
                print(f"the object store is not prepared: {error}")
                return 1
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
