"""The whole path over a store without STS, behind TLS with a private CA: tasks commit with the keys of a folder."""

from __future__ import annotations

import json

import pytest

from tests import services
from tests.integration.operators.following import Activity
from tests.integration.worker.pipelines import Pipeline

pytestmark = pytest.mark.services


@pytest.fixture
def object_store(plain_store: services.ObjectStore) -> services.ObjectStore:
    return plain_store


@pytest.fixture
def bucket(object_store: services.ObjectStore) -> str:
    return object_store.bucket()


def test_final_ranges_become_files_whose_manifests_hold(pipeline: Pipeline) -> None:
    Activity(pipeline.chain).blocks(26)
    pipeline.keep("follow")
    pipeline.keep("compact")
    pipeline.until("final ranges are cold", lambda: pipeline.compacted() == ["0-9", "10-19"])
    pipeline.equals_chain()
    bucket = pipeline.settings.s3_bucket
    manifests = [key for key in pipeline.store.keys(bucket) if key.endswith("/_manifest.json")]
    assert manifests
    for key in manifests:
        manifest = json.loads(pipeline.store.client().get_object(Bucket=bucket, Key=key)["Body"].read())
        for file in manifest["files"]:
            place = key.removesuffix("_manifest.json") + file["path"]
            head = pipeline.store.client().head_object(Bucket=bucket, Key=place)
            assert head["ContentLength"] == file["bytes"]
