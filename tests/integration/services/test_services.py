"""The parts that other tests stand on do what those tests trust them for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from botocore.exceptions import ClientError

from tests import services
from tests.support.waiting import until

pytestmark = pytest.mark.services


def test_pairs_of_databases_do_not_see_each_other(postgres: services.Postgres):
    first, second = postgres.databases(), postgres.databases()
    with psycopg.connect(first.state_dsn) as connection:
        connection.execute("INSERT INTO org_roles (org_id, name) SELECT id, 'mine' FROM orgs")
    with psycopg.connect(second.state_dsn) as connection:
        assert connection.execute("SELECT 1 FROM org_roles WHERE name = 'mine'").fetchone() is None
    for pair in (first, second):
        postgres.drop(pair)


def test_a_crashed_server_comes_back_with_what_was_committed():
    with services.postgres() as server:
        pair = server.databases()
        with psycopg.connect(pair.state_dsn) as connection:
            connection.execute("SET synchronous_commit = on")
            connection.execute("INSERT INTO org_roles (org_id, name) SELECT id, 'kept' FROM orgs")
        server.crash()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(pair.state_dsn, connect_timeout=2)
        server.restart()
        with psycopg.connect(pair.state_dsn) as connection:
            assert connection.execute("SELECT 1 FROM org_roles WHERE name = 'kept'").fetchone() == (1,)


def test_a_session_policy_limits_what_assumed_credentials_may_do(object_store: services.ObjectStore, bucket: str):
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": [f"arn:aws:s3:::{bucket}/in/*"]}],
    }
    issued = object_store.client("sts").assume_role(
        RoleArn="arn:aws:iam::000000000000:role/trace-task",
        RoleSessionName="test",
        DurationSeconds=900,
        Policy=json.dumps(policy),
    )["Credentials"]
    s3 = object_store.client(
        aws_access_key_id=issued["AccessKeyId"],
        aws_secret_access_key=issued["SecretAccessKey"],
        aws_session_token=issued["SessionToken"],
    )
    s3.put_object(Bucket=bucket, Key="in/a", Body=b"1")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=bucket, Key="out/a", Body=b"1")
    assert object_store.keys(bucket) == ["in/a"]


def test_the_store_refuses_a_second_write_of_one_key_when_asked(object_store: services.ObjectStore, bucket: str):
    s3 = object_store.client()
    s3.put_object(Bucket=bucket, Key="once", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="once", Body=b"2", IfNoneMatch="*")


def test_a_chain_mines_when_told_and_reorganises(chain: services.Chain):
    assert chain.head == 0
    sent = chain.transfer(value=7)
    assert chain.head == 0
    assert chain.mine(5) == 5
    assert [transaction["hash"] for transaction in chain.block(1)["transactions"]] == [sent]
    before = [chain.block(number)["hash"] for number in range(6)]
    chain.reorg(2)
    after = [chain.block(number)["hash"] for number in range(6)]
    assert chain.head == 5
    assert after[:4] == before[:4]
    assert after[4] != before[4]
    assert after[5] != before[5]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where a killed process leaves its folders."""
    with services.temporary_folder("killed") as path:
        yield path


def test_parts_end_with_the_process_that_started_them_even_when_it_is_killed(folder: Path):
    program = (
        "import time\n"
        "from tests import services\n"
        "with services.chain() as node, services.postgres() as server:\n"
        "    print(node.part.pid, server.part.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    environment = os.environ | {"TMPDIR": str(folder)}
    starter = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=services.ROOT, env=environment
    )
    assert starter.stdout is not None
    pids = [int(word) for word in starter.stdout.readline().split()]
    assert len(pids) == 2
    assert all(_runs(pid) for pid in pids)
    starter.kill()
    starter.communicate()
    until(lambda: not any(_runs(pid) for pid in pids), "no part is left running", timeout=20)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.apiserver
def test_the_api_server_accepts_objects(api_server: services.ApiServer):
    kubectl = [services.tool("kubectl"), "--kubeconfig", str(api_server.kubeconfig)]
    subprocess.run([*kubectl, "create", "namespace", "probe"], check=True, capture_output=True)
    done = subprocess.run([*kubectl, "get", "namespace", "probe", "-o", "name"], capture_output=True, text=True)
    assert done.stdout.strip() == "namespace/probe"
