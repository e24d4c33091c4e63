"""Answers beyond the inline bounds: a Parquet file in the bucket, named after its content."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests import services
from tests.integration.query.callers import exports, fetched
from tests.integration.query.conftest import Client
from tests.integration.query.world import World, block_hash, value_of
from traceplane.query.files import bucket as buckets

pytestmark = pytest.mark.services

SQL = "SELECT block_number, hash, value FROM hot_blocks ORDER BY block_number"


@pytest.mark.parametrize("form", ["json", "csv", "arrow"])
def test_more_rows_than_go_inline_are_exported_whole(form: str, blocks: World, client: Client) -> None:
    answer = client.post(SQL, format=form)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    said = answer.json()
    assert (said["rows"], said["row_count"], said["truncated"]) == ([], 25_000, False)
    assert said["output"]["location"].startswith(f"s3://{blocks.bucket}/exports/")
    found = fetched(said["output"])
    assert found["block_number"].to_pylist() == list(range(25_000))
    assert found["hash"][24_999].as_py() == block_hash(24_999)
    assert found["value"][24_999].as_py() == str(value_of(24_999))


def test_who_asks_for_parquet_is_led_to_the_file(blocks: World, client: Client) -> None:
    led = client.post(SQL, format="parquet")
    assert led.status_code == 303
    assert led.headers["location"] == led.json()["output"]["url"]
    assert fetched(led.json()["output"]).num_rows == 25_000


def test_too_many_bytes_are_exported_too(blocks: World, start_service: Callable[..., Client]) -> None:
    client = start_service(query_max_bytes=100_000)
    said = client.post("SELECT block_number, repeat('x', 100) AS pad FROM hot_blocks LIMIT 5000").json()
    assert fetched(said["output"]).num_rows == said["row_count"] == 5000


def test_the_same_answer_is_the_same_object(blocks: World, client: Client) -> None:
    first, second = (client.post(SQL).json() for _ in range(2))
    assert first["output"]["location"] == second["output"]["location"]
    assert first["query_id"] != second["query_id"]
    assert exports(blocks) == [first["output"]["location"].removeprefix(f"s3://{blocks.bucket}/")]


def test_an_export_is_bounded_and_leaves_nothing_when_it_fails(
    blocks: World, start_service: Callable[..., Client]
) -> None:
    client = start_service(query_export_max_mb=2)
    assert client.refused("SELECT md5(range::VARCHAR) AS m FROM range(200000)") == (413, "TooLarge")
    late = "SELECT CASE WHEN range < 100000 THEN md5(range::VARCHAR) ELSE error('late') END AS m FROM range(110000)"
    assert client.refused(late)[0] == 422
    assert exports(blocks) == []
    assert client.rows("SELECT 1") == [[1]]


def test_who_wants_the_first_rows_only_says_so(blocks: World, client: Client) -> None:
    said = client.post(SQL, overflow="truncate").json()
    assert (len(said["rows"]), said["truncated"]) == (10_000, True)
    assert exports(blocks) == []
    assert client.refused(SQL, overflow="burst") == (400, "InvalidRequest")


def test_a_result_can_be_asked_for_again_by_who_got_it(
    blocks: World, client: Client, oidc: Any, world: World
) -> None:
    said = client.post(SQL).json()
    inline = client.post("SELECT count(*) FROM hot_blocks").json()

    def get(query: str, token: str) -> httpx.Response:
        return httpx.get(
            f"{client.url}/v1/queries/{query}", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    found = get(said["query_id"], client.token).json()
    assert (found["row_count"], found["exported"]) == (25_000, True)
    assert fetched(found["output"]).num_rows == 25_000
    assert get(inline["query_id"], client.token).json()["output"] is None
    world.user(oidc.url, "bob", "reader")
    assert get(said["query_id"], oidc.token("bob")).status_code == 404
    assert get("no-id", client.token).status_code == 404
    assert get(said["query_id"], "x").status_code == 401
    world.store.client().delete_object(Bucket=world.bucket, Key=exports(blocks)[0])
    gone = get(said["query_id"], client.token).json()
    assert (gone["exported"], gone["output"]) == (True, None)


def test_a_role_that_was_taken_takes_the_file_with_it(blocks: World, client: Client, oidc: Any) -> None:
    said = client.post(SQL).json()

    def output() -> Any:
        headers = {"Authorization": f"Bearer {client.token}"}
        return httpx.get(f"{client.url}/v1/queries/{said['query_id']}", headers=headers, timeout=60).json()[
            "output"
        ]

    assert output() is not None
    blocks.policy("hot-blocks", "Postgres", roles=["analyst"])
    assert output() is None


def test_a_store_that_is_away_fails_the_export_and_nothing_else(
    blocks: World, start_service: Callable[..., Client]
) -> None:
    client = start_service(s3_endpoint_url="http://127.0.0.1:1")
    assert client.refused(SQL) == (503, "Unavailable")
    assert client.rows("SELECT count(*) FROM hot_blocks") == [[25_000]]


def test_two_attempts_of_one_query_keep_their_answers_apart(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second writes all of its answer between the last byte of the first and its copy."""
    query, real = uuid4(), buckets.obstore.copy
    done: list[str] = []

    def written(body: bytes) -> None:
        with client.service.bucket.export(services.ORG_ID, query) as export:
            export.write(body)
        done.append(export.location)

    def copy(*arguments: Any) -> None:
        monkeypatch.undo()
        written(b"of the second")
        real(*arguments)

    monkeypatch.setattr(buckets.obstore, "copy", copy)
    written(b"of the first")
    assert len(exports(world)) == len(done) == 2
    for key in exports(world):
        body = world.store.client().get_object(Bucket=world.bucket, Key=key)["Body"].read()
        assert key.endswith(f"/{hashlib.sha256(body).hexdigest()}.parquet")


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A store that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        yield listening


def asked_again(client: Client, query: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {client.token}"}
    return httpx.get(f"{client.url}/v1/queries/{query}", headers=headers, timeout=100)


def test_a_store_that_hangs_keeps_nobody_else_waiting(
    blocks: World, silent: socket.socket, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    query = start_service().post(SQL).json()["query_id"]
    monkeypatch.setattr(buckets, "PROMPT_SECONDS", 60)
    client = start_service(s3_endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
    with ThreadPoolExecutor(4) as pool:
        hanging = [pool.submit(asked_again, client, query) for _ in range(4)]
        connections = [silent.accept()[0] for _ in range(3)]
        assert client.rows("SELECT 1") == [[1]]
        assert httpx.get(f"{client.url}/readyz", timeout=60).status_code == 200
        assert not any(request.done() for request in hanging), "all of that happened meanwhile"
        silent.close()
        for connection in connections:
            connection.close()
    assert {request.result().status_code for request in hanging} == {503}


def test_who_asks_for_a_result_is_told_soon_that_the_store_hangs(
    blocks: World, silent: socket.socket, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    query = start_service().post(SQL).json()["query_id"]
    monkeypatch.setattr(buckets, "PROMPT_SECONDS", 0.5)
    client = start_service(s3_endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert asked_again(client, query).json()["code"] == "Unavailable"
