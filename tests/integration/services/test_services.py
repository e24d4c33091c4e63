"""The parts that other tests stand on do what those tests trust them for."""

from __future__ import annotations

import json
import subprocess

import psycopg
import pytest
from botocore.exceptions import ClientError

from tests import services

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


@pytest.mark.apiserver
def test_the_api_server_accepts_objects(api_server: services.ApiServer):
    kubectl = [services.tool("kubectl"), "--kubeconfig", str(api_server.kubeconfig)]
    subprocess.run([*kubectl, "create", "namespace", "probe"], check=True, capture_output=True)
    done = subprocess.run([*kubectl, "get", "namespace", "probe", "-o", "name"], capture_output=True, text=True)
    assert done.stdout.strip() == "namespace/probe"
