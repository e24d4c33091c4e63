"""Cold files are read from, and answers exported to, a store without STS, behind TLS with a private CA."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests import services
from tests.integration.query.command import TRACECTL
from tests.integration.query.conftest import Client
from tests.integration.query.world import World, block_hash

pytestmark = pytest.mark.services


@pytest.fixture
def object_store(plain_store: services.ObjectStore) -> services.ObjectStore:
    return plain_store


@pytest.fixture
def bucket(object_store: services.ObjectStore) -> str:
    return object_store.bucket()


def test_hot_and_cold_rows_are_one_and_an_answer_is_fetched_with_the_ca(
    world: World, start_service: Callable[..., Client], object_store: services.ObjectStore, tmp_path: Path
) -> None:
    hot, cold = world.dataset("follow", "Postgres", "blocks"), world.dataset("compact", "S3", "cold-blocks")
    world.follow(hot, 0, 29)
    world.compact(hot, cold, 0, 19)
    client = start_service(query_max_rows=10)
    assert client.rows("SELECT count(*), max(block_number) FROM cold_blocks") == [[20, 19]]

    sql = "SELECT hash FROM cold_blocks ORDER BY block_number"
    argv = [TRACECTL, "query", "-o", "parquet", sql]
    env = {"PATH": os.environ["PATH"], "TRACE_QUERY_URL": client.url, "TRACE_TOKEN": client.token}
    refused = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert "SSL_CERT_FILE names the file" in refused.stderr
    believing = env | {"SSL_CERT_FILE": str(object_store.ca)}
    with (tmp_path / "answer").open("wb") as answer:
        subprocess.run(argv, env=believing, stdout=answer, check=True, timeout=60)
    assert pq.read_table(tmp_path / "answer")["hash"].to_pylist() == [block_hash(n) for n in range(20)]
