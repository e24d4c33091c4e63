"""`POST /v1/task/query`: a task reads exactly the dataset versions its token lists."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.integration.dispatch.callers import signing_key
from tests.integration.query.callers import ENDLESS, in_flight, task_query
from tests.integration.query.conftest import Client
from tests.integration.query.signer import CLAIM, LEASE, TASK, Signer
from tests.integration.query.world import World, block_hash
from tests.support.waiting import until
from traceplane.identity.capability import Capabilities

pytestmark = pytest.mark.services


@pytest.fixture
def client(world: World, start_service: Callable[..., Client], signer: Signer) -> Client:
    world.running(TASK, LEASE, CLAIM)
    return start_service(dispatcher_url=signer.url)


def test_a_task_reads_what_its_token_lists_and_nothing_else(world: World, client: Client, signer: Signer) -> None:
    hot, cold = world.federated()
    other = world.dataset("other", "Postgres", "other-blocks")
    world.follow(hot, 0, 99)
    world.follow(other, 0, 9)
    world.compact(hot, cold, 0, 49)
    one, both = signer.token(hot), signer.token(hot, cold)
    for name in ("hot_blocks", "follow_blocks", '"default".hot_blocks'):
        assert task_query(client, one, f"SELECT count(*) FROM {name}").json()["rows"] == [[100]]
    assert task_query(client, both, "SELECT count(*) FROM blocks").json()["rows"] == [[100]]
    for name in ("blocks", "cold_blocks", "other_blocks", "tasks"):
        refused = task_query(client, one, f"SELECT count(*) FROM {name}")
        assert (refused.status_code, refused.json()["code"]) == (404, "RelationNotFound")


def test_roles_are_for_users_and_tokens_for_tasks(world: World, client: Client, signer: Signer) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 9)
    world.policy("hot-blocks", "Postgres", roles=["analyst"])
    assert client.refused("FROM hot_blocks") == (404, "RelationNotFound")
    assert task_query(client, signer.token(hot), "SELECT count(*) FROM hot_blocks").json()["rows"] == [[10]]


def test_the_version_of_the_token_is_read_whatever_is_current(world: World, client: Client, signer: Signer) -> None:
    old = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(old, 0, 9)
    new = world.next_version(old)
    world.follow(new, 0, 4)
    assert task_query(client, signer.token(old), "SELECT count(*) FROM hot_blocks").json()["rows"] == [[10]]
    assert task_query(client, signer.token(new), "SELECT count(*) FROM hot_blocks").json()["rows"] == [[5]]


def test_an_asset_of_another_dag_is_called_what_it_was_when_the_job_was_made(
    world: World, client: Client, signer: Signer
) -> None:
    """Whether it is withdrawn since, or another dataset has its name."""
    read, other = world.dataset("follow", "Postgres", "hot-blocks"), world.dataset("other", "Postgres", "others")
    world.follow(read, 0, 9)
    given = {"task": TASK, "version": read, "definition": Jsonb({"assets": {"0": ["far/hot-blocks", str(read)]}})}
    world.state.execute(
        "INSERT INTO job_inputs (job_id, position, org_id, dataset_id, dataset_version_id, is_trigger)"
        " SELECT t.job_id, 0, v.org_id, v.dataset_id, v.id, false FROM tasks t, dataset_versions v"
        " WHERE t.id = %(task)s AND v.id = %(version)s",
        given,
    )
    world.state.execute(
        "UPDATE jobs SET definition = %(definition)s WHERE id = (SELECT job_id FROM tasks WHERE id = %(task)s)",
        given,
    )
    world.state.execute("DELETE FROM asset_publications WHERE asset = 'hot-blocks'")
    world.state.execute("UPDATE asset_publications SET asset = 'hot-blocks' WHERE asset = 'others'")
    answer = task_query(client, signer.token(read), "SELECT count(*) FROM hot_blocks")
    assert answer.json()["rows"] == [[10]], answer.text
    both = task_query(client, signer.token(read, other), "SELECT count(*) FROM other_blocks")
    assert both.json()["rows"] == [[0]], both.text


def test_a_federated_asset_is_made_of_the_versions_of_the_token(
    world: World, client: Client, signer: Signer
) -> None:
    """A job of a version that is not active, before its cutover or after, reads its own halves."""
    hot, cold = world.federated()
    world.follow(hot, 0, 9)
    world.compact(hot, cold, 0, 3)
    world.forget(hot, 0, 3)
    next_hot, next_cold = world.next_version(hot), world.retained(cold)
    world.follow(next_hot, 0, 4)
    world.compact(next_hot, next_cold, 0, 1)
    world.forget(next_hot, 0, 1)
    for versions, count in (((hot, cold), 10), ((next_hot, next_cold), 5), ((next_hot, cold), 5)):
        answer = task_query(client, signer.token(*versions), "SELECT count(*), count(DISTINCT hash) FROM blocks")
        assert answer.json()["rows"] == [[count, count]], answer.text
    refused = task_query(client, signer.token(hot, next_hot), "SELECT count(*) FROM blocks")
    assert (refused.status_code, refused.json()["code"]) == (404, "RelationNotFound")


def test_who_asks_stands_in_the_records(world: World, client: Client, signer: Signer) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 9)
    world.mark_personal(hot, "note")
    assert task_query(client, signer.token(hot), "SELECT note FROM hot_blocks").status_code == 200
    for table in ("pii_access_log", "query_results"):
        rows = world.data.execute(f"SELECT user_id, task_id, attempt FROM trace.{table}").fetchall()
        assert rows == [(None, TASK, 1)]


@pytest.mark.parametrize("half", ["hot_blocks", "cold_blocks"])
@pytest.mark.parametrize("value", ["CAST(hash AS INTEGER)", "error(hash)", "now() AT TIME ZONE hash"])
def test_a_task_is_told_no_row_in_an_error(
    half: str, value: str, world: World, client: Client, signer: Signer, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its error stands where people read it who may not read the asset."""
    hot, cold = world.federated()
    world.follow(hot, 0, 0)
    world.compact(hot, cold, 0, 0)
    sql = f"SELECT {value} AS x FROM {half}"
    assert block_hash(0) in client.post(sql).text, "its readers see it"
    answer = task_query(client, signer.token(hot, cold), sql)
    assert (answer.status_code, answer.json()["code"]) == (422, "QueryFailed")
    assert "user who may read the rows" in answer.json()["detail"]
    logged = capfd.readouterr()
    assert str(TASK) in logged.out, "its audit line"
    assert block_hash(0) not in answer.text + logged.out + logged.err


def test_a_task_is_told_what_is_wrong_with_its_statement(world: World, client: Client, signer: Signer) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    answer = task_query(client, signer.token(hot), "SELECT nothing FROM hot_blocks")
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidQuery")
    assert 'Referenced column "nothing" not found' in answer.json()["detail"]


def test_a_name_of_two_things_is_no_answer(world: World, client: Client, signer: Signer) -> None:
    """`follow` has an output `x_blocks` here, and `follow-x` one `blocks`."""
    one, other = world.dataset("follow", "Postgres", "one"), world.dataset("follow-x", "Postgres", "other")
    world.state.execute("UPDATE datasets SET output = 'x_blocks' WHERE job = 'follow'")
    world.follow(one, 0, 4)
    token = signer.token(one, other)
    refused = task_query(client, token, "SELECT count(*) FROM follow_x_blocks")
    assert (refused.status_code, refused.json()["code"]) == (400, "RelationAmbiguous")
    assert task_query(client, token, "SELECT count(*) FROM one").json()["rows"] == [[5]]


def test_a_large_answer_is_exported_for_a_task_too(world: World, client: Client, signer: Signer) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 10_999)
    said = task_query(client, signer.token(hot), "FROM hot_blocks").json()
    assert said["output"]["location"].startswith(f"s3://{world.bucket}/exports/")


def test_every_wrong_token_is_refused(world: World, client: Client, signer: Signer, tmp_path: Path) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    sql = "SELECT count(*) FROM hot_blocks"
    good = signer.token(hot)
    (tmp_path / "else.pem").write_bytes(signing_key())
    stranger = Signer(tmp_path, "", Capabilities(tmp_path / "else.pem", issuer="trace"))
    elsewhere = Signer(tmp_path, "", Capabilities(tmp_path / "key.pem", issuer="elsewhere"))
    head, body, signature = good.split(".")
    for wrong in (
        "",
        "x",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[::-1]}",
        stranger.token(hot),
        elsewhere.token(hot),
        signer.token(hot, seconds=-120),
        client.token,
    ):
        refused = task_query(client, wrong, sql)
        assert (refused.status_code, refused.json()["code"]) == (401, "BadCapability"), wrong
    assert task_query(client, good, sql, attempt=2).json()["code"] == "NotCovered"
    assert task_query(client, good, sql, task=uuid4()).json()["code"] == "NotCovered"
    assert task_query(client, signer.token(hot, org=uuid4()), sql).status_code == 403
    mine = httpx.post(
        f"{client.url}/v1/query", json={"sql": sql}, headers={"Authorization": f"Bearer {good}"}, timeout=60
    )
    assert mine.status_code == 401


def test_an_attempt_that_lost_its_lease_reads_nothing(world: World, client: Client, signer: Signer) -> None:
    """Its token is valid for as long as its attempt might have taken."""
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    sql, token = "SELECT count(*) FROM hot_blocks", signer.token(hot)
    assert task_query(client, token, sql).status_code == 200
    refused = [
        task_query(client, token, sql, lease_token=uuid4()),
        task_query(client, signer.token(hot, claim=uuid4()), sql),
    ]
    world.state.execute("UPDATE tasks SET status = 'Canceled', finished_at = now() WHERE id = %s", (TASK,))
    refused.append(task_query(client, token, sql))
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(409, "StaleLease")] * 3
    assert world.data.execute("SELECT count(*) FROM trace.query_results").fetchone() == (1,)


def test_a_task_reads_no_version_of_then_that_its_token_does_not_list(
    world: World, client: Client, signer: Signer
) -> None:
    """`as_of` names versions, and anybody can write one."""
    old = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(old, 0, 9)
    sql = "SELECT count(*) FROM hot_blocks"
    then = task_query(client, signer.token(old), sql).json()["as_of"]
    new = world.next_version(old)
    world.follow(new, 0, 4)
    refused = task_query(client, signer.token(new), sql, as_of=then)
    assert (refused.status_code, refused.json()["code"]) == (404, "RelationNotFound")
    assert task_query(client, signer.token(old), sql, as_of=then).json()["rows"] == [[10]]


def test_a_token_of_many_tasks_names_no_other(world: World, client: Client, signer: Signer) -> None:
    """One of a large claim lists none of its tasks: its claim stands for them."""
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    many = signer.token(hot, tasks=100)
    assert task_query(client, many, "SELECT count(*) FROM hot_blocks").status_code == 200
    assert task_query(client, many, "SELECT count(*) FROM hot_blocks", task=uuid4()).status_code == 409
    assert task_query(client, many, "SELECT count(*) FROM hot_blocks", attempt=99).status_code == 409


def test_the_query_service_may_ask_about_a_lease_and_see_none(world: World) -> None:
    with psycopg.connect(world.databases.query_state_dsn, autocommit=True) as connection:
        asked = "SELECT catalog.holds_lease(%s, %s, 1, %s, %s)"
        assert connection.execute(asked, [uuid4() for _ in range(4)]).fetchone() == (False,)
        for function in ("claim_versions", "claim_filters", "claim_assets"):
            asked = f"SELECT catalog.{function}(%s, %s, 1, %s, %s)"
            assert connection.execute(asked, [uuid4() for _ in range(4)]).fetchone() == (None,)
        for hidden in ("lease_token FROM tasks", "dataset_version_id FROM job_inputs"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {hidden}")


def test_a_new_key_works_at_once_and_the_old_one_on(world: World, client: Client, signer: Signer) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    sql = "SELECT count(*) FROM hot_blocks"
    old = signer.token(hot)
    assert task_query(client, old, sql).status_code == 200
    client.service.capabilities._verifier._not_before = 0.0  # as if the last look was a while ago
    signer.rotate()
    assert task_query(client, signer.token(hot), sql).status_code == 200
    assert task_query(client, old, sql).status_code == 200


def test_without_the_dispatcher_no_token_can_be_judged(
    world: World, start_service: Callable[..., Client], signer: Signer
) -> None:
    client = start_service(dispatcher_url="http://127.0.0.1:1")
    refused = task_query(client, signer.token(uuid4()), "SELECT 1")
    assert (refused.status_code, refused.json()["code"]) == (503, "Unavailable")


def siblings(world: World, signer: Signer) -> list[tuple[UUID, str]]:
    """Two running tasks of one job, each with the token of its own claim."""
    job, made = uuid4(), []
    for _ in range(2):
        task, claim = uuid4(), uuid4()
        world.running(task, LEASE, claim)
        made.append((task, signer.token(claim=claim, task=task, job=job)))
    return made


def test_the_tasks_of_a_job_that_asks_too_often_are_told_when_to_come_back(
    world: World, start_service: Callable[..., Client], signer: Signer
) -> None:
    """However many tasks it has: its rate is one, so slow here that none comes back while the test runs."""
    client = start_service(dispatcher_url=signer.url, query_task_rate_per_minute=0.01)
    (first, token), (second, other) = siblings(world, signer)
    assert task_query(client, token, "SELECT 1", task=first).status_code == 200
    refused = task_query(client, other, "SELECT 1", task=second)
    assert (refused.status_code, refused.json()["code"]) == (429, "RateLimited")
    assert 1 <= int(refused.headers["retry-after"]) <= 6000
    world.running(TASK, LEASE, CLAIM)
    assert task_query(client, signer.token(), "SELECT 1").status_code == 200, "another job is another matter"
    assert [client.rows("SELECT 1") for _ in range(2)] == [[[1]]] * 2, "and so is a user"


def test_the_tasks_of_a_job_take_turns_with_others_as_one(
    world: World, start_service: Callable[..., Client], signer: Signer
) -> None:
    client = start_service(dispatcher_url=signer.url, query_concurrency=1, query_queue=4)
    (first, token), (second, other) = siblings(world, signer)
    admission = client.service.admission

    def fence(task: UUID) -> dict[str, Any]:
        return {"task_id": str(task), "attempt": 1, "lease_token": str(LEASE)}

    with ExitStack() as running, ThreadPoolExecutor(1) as pool:
        running.enter_context(in_flight(client, ENDLESS, token, fence=fence(first)))
        until(lambda: admission.running == 1)
        with in_flight(client, ENDLESS, other, fence=fence(second)):
            until(lambda: admission.waiting == 1)
            of_user = pool.submit(client.post, "SELECT 7")
            until(lambda: admission.waiting == 2)
            running.close()
            answer = of_user.result()
            assert (answer.status_code, answer.json().get("rows")) == (200, [[7]]), "an endless one is before it"
