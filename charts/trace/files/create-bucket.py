"""Makes the bucket of the embedded object store where it is missing, and waits for the store to come up.

Reads the settings that every process of the chart gets. An external bucket is its owner's business.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import boto3
import botocore.exceptions
from botocore.config import Config

SECONDS = 120


def secret(name: str) -> str:
    """A credential from its file."""
    return Path(os.environ[f"TRACE_{name}_FILE"]).read_text().strip()


def main() -> int:
    """0 once the bucket is there; 1 when the store did not answer in time."""
    bucket = os.environ["TRACE_S3_BUCKET"]
    s3 = boto3.client(
        "s3",
        endpoint_url=os.environ["TRACE_S3_ENDPOINT_URL"],
        region_name=os.environ["TRACE_S3_REGION"],
        aws_access_key_id=secret("S3_ACCESS_KEY_ID"),
        aws_secret_access_key=secret("S3_SECRET_ACCESS_KEY"),
        config=Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}),
    )
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            s3.create_bucket(Bucket=bucket)
            print(f"bucket {bucket} made")
            return 0
        except (s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
            return 0
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            if time.monotonic() > deadline:
                print(f"bucket {bucket} cannot be made: {error}")
                return 1
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
