"""A job of as many inputs and outputs as a manifest may have: its tokens say where its scope stands.

The real dispatcher and the real query service on one state: what the first signs, the second reads by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import psycopg
import pytest
from botocore.exceptions import ClientError
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests import services
from tests.integration.dispatch.callers import Caller, fence_of, written_commit
from tests.integration.query.conftest import running
from tests.issuer import issuer
from tests.unit.graph import doubles
from traceplane.dispatch.accept import Unpacked
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.identity.capability import MAX_INLINE
from traceplane.kinds.fields import MAX_INPUTS, MAX_OUTPUTS
from traceplane.query.api.app import create_app
from traceplane.settings import Settings
from traceplane_sdk import wire

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]
Ask = Callable[[str, dict[str, Any], str], httpx.Response]

OPERATORS = doubles.OPERATORS | {"cool": doubles.operator("cool", declare_outputs=doubles.declare_cold)}
HALF = [f"o{n}" for n in range(32)]
LAST = "right_o31"


def reading(*sources: tuple[str, str]) -> list[dict[str, Any]]:
    """Inputs of a job, of which the first makes tasks."""
    return [
        {"from": {"job": job, "output": output}, "trigger": number == 0}
        for number, (job, output) in enumerate(sources)
    ]


def manifest() -> dict[str, Any]:
    """`wide` reads 63 hot datasets and `cooled`'s cold one, and writes 30 hot and 2 cold ones; `elsewhere` and
    `later` write cold ones that it has nothing to do with."""
    hot = [("left", name) for name in HALF] + [("right", name) for name in HALF[1:]]
    wide = doubles.derived("wide", operator="cool", outputs=[*HALF[2:], "cold_a", "cold_b"])
    wide["inputs"] = reading(hot[0], ("cooled", "out"), *hot[1:])
    jobs = [doubles.source("left", outputs=HALF), doubles.source("right", outputs=HALF), wide]
    for name in ("cooled", "elsewhere", "later"):
        jobs.append(doubles.derived(name, operator="cool", inputs=reading(("left", "o0"))))
    assert (len(wide["inputs"]), len(wide["outputs"])) == (MAX_INPUTS, MAX_OUTPUTS)
    return {
        "apiVersion": "trace.dev/v1alpha1",
        "kind": "DAG",
        "metadata": {"name": "broad", "namespace": "demo", "uid": "uid-1"},
        "spec": {"jobs": jobs},
    }


@pytest.fixture
async def wide(deploy: Callable[..., Any]) -> UUID:
    """The job, deployed and provisioned."""
    deployed: dict[str, UUID] = await deploy(manifest(), operators=OPERATORS)
    return deployed["wide"]


@pytest.fixture
def version(wide: UUID, sql: Sql) -> Callable[[str, str], dict[str, Any]]:
    """The dataset version (id, location) of one output."""

    def find(job: str, output: str) -> dict[str, Any]:
        (row,) = sql(
            "SELECT v.id, v.location FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id"
            " WHERE d.job = %(job)s AND d.output = %(output)s",
            job=job,
            output=output,
        )
        return row

    return find


@pytest.fixture
def claimed(
    dispatcher: Dispatcher, caller: Caller, wide: UUID, version: Callable[[str, str], dict[str, Any]]
) -> Callable[..., Any]:
    """Makes tasks of the job by events of its trigger, and claims them."""
    ranges = iter(range(1000))

    async def run(count: int = 1) -> list[wire.ClaimedTask]:
        starts = [next(ranges) * 20 for _ in range(count)]
        trigger = str(version("left", "o0")["id"])
        events: list[dict[str, object]] = [
            {"id": str(uuid4()), "version": trigger, "key": f"{n}-{n + 19}", "start": n, "end": n + 19}
            for n in starts
        ]
        await dispatcher.acceptance.relay(Unpacked(events, [], []))
        leases = await caller.claim(wide, max_tasks=count)
        assert len(leases) == count
        assert dispatcher.capabilities.verify(leases[0].capability_token).scope == "state"
        return leases

    return run


@pytest.fixture
def ask(dispatcher: Dispatcher, databases: services.Databases, settings: Settings, tmp_path: Path) -> Iterator[Ask]:
    """Asks the query service as a task: token, fence, statement."""

    async def keys(request: Any) -> JSONResponse:
        return JSONResponse(dispatcher.capabilities.jwks())

    with issuer() as oidc, running() as started:
        own = {
            "state_dsn": databases.query_state_dsn,
            "data_dsn": databases.query_dsn,
            "oidc_issuer": oidc.url,
            "dispatcher_url": started(Starlette(routes=[Route("/internal/jwks/task", keys)])),
            "query_cache_dir": tmp_path / "cache",
        }
        url = started(create_app(settings.model_copy(update=own), pytest.fail))

        def run(token: str, fence: dict[str, Any], statement: str) -> httpx.Response:
            return httpx.post(
                f"{url}/v1/task/query",
                json={"fence": fence, "sql": statement, "namespace": "demo"},
                headers={"X-Trace-Task-Capability": token},
                timeout=120,
            )

        yield run


async def credentials(caller: Caller, token: str, fence: dict[str, Any]) -> httpx.Response:
    return await caller.task_call("credentials", token, {"fence": fence})


def s3(store: services.ObjectStore, answer: httpx.Response) -> Any:
    """An S3 client with the credentials of an answer."""
    assert answer.status_code == 200, answer.text
    given = msgspec.json.decode(answer.content, type=wire.CredentialsResponse)
    return store.client(
        aws_access_key_id=given.access_key_id,
        aws_secret_access_key=given.secret_access_key,
        aws_session_token=given.session_token,
    )


def opens(client: Any, location: str, *, write: bool = False) -> bool:
    """Whether credentials list a prefix, or write below it."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    try:
        if write:
            client.put_object(Bucket=bucket, Key=f"{key}probe", Body=b"x")
        else:
            client.list_objects_v2(Bucket=bucket, Prefix=key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


async def test_it_runs_from_claim_to_completion(
    claimed: Callable[..., Any],
    caller: Caller,
    dispatcher: Dispatcher,
    databases: services.Databases,
    object_store: services.ObjectStore,
    version: Callable[[str, str], dict[str, Any]],
    ask: Ask,
    task_row: Callable[[str], dict[str, Any]],
):
    (lease,) = await claimed()
    token, fence = lease.capability_token, fence_of(lease)
    with psycopg.connect(databases.data_dsn) as data:
        data.execute(f"INSERT INTO {version('right', 'o31')['location']} (id, key) VALUES (1, 'a'), (2, 'b')")

    answer = ask(token, fence, f"SELECT count(*) FROM {LAST}")
    assert (answer.status_code, answer.json().get("rows")) == (200, [[2]]), answer.text
    assert ask(token, fence, "SELECT count(*) FROM wide_o31").json()["rows"] == [[0]], "its own output"
    hidden = ask(token, fence, "SELECT count(*) FROM right_o0")
    assert (hidden.status_code, hidden.json()["code"]) == (404, "RelationNotFound"), "the job does not read it"

    store = s3(object_store, await credentials(caller, token, fence))
    own, read, other = (version(*name)["location"] for name in (
        ("wide", "cold_b"), ("cooled", "out"), ("elsewhere", "out")))  # fmt: skip
    assert [opens(store, place) for place in (own, read, other)] == [True, True, False]
    assert [opens(store, place, write=True) for place in (own, read, other)] == [True, False, False]

    outputs = [await written_commit(dispatcher.objects, dispatcher.settings, lease, name="cold_a")]
    assert (await caller.complete(lease, outputs=outputs)).status_code == 200
    assert task_row(lease.task.task_id)["status"] == "Completed"
    for ended in (ask(token, fence, f"SELECT count(*) FROM {LAST}"), await credentials(caller, token, fence)):
        assert (ended.status_code, ended.json()["code"]) == (409, "StaleLease")


async def test_a_token_of_another_claim_gains_none_of_it(claimed: Callable[..., Any], caller: Caller, ask: Ask):
    """Of claims so large that their tokens list no task either: only the claim's id tells them apart."""
    one, other = await claimed(MAX_INLINE + 1), await claimed(MAX_INLINE + 1)
    token, fence = one[0].capability_token, fence_of(other[0])
    refused = [ask(token, fence, f"SELECT count(*) FROM {LAST}"), await credentials(caller, token, fence)]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(409, "StaleLease")] * 2
    assert ask(token, fence_of(one[-1]), f"SELECT count(*) FROM {LAST}").status_code == 200


async def test_places_of_relocated_ranges_are_those_of_the_claim(
    claimed: Callable[..., Any],
    caller: Caller,
    object_store: services.ObjectStore,
    version: Callable[[str, str], dict[str, Any]],
    sql: Sql,
):
    def relocate(job: str) -> str:
        hot, cold = version("left", "o7"), version(job, "out")
        sql(
            "INSERT INTO relocations (hot_version_id, cold_version_id, org_id, ranges)"
            " VALUES (%(hot)s, %(cold)s, %(org)s, int8multirange(int8range(0, 1000)))",
            hot=hot["id"],
            cold=cold["id"],
            org=services.ORG_ID,
        )
        return str(cold["location"])

    before = relocate("elsewhere")
    (lease,) = await claimed()
    after = relocate("later")
    store = s3(object_store, await credentials(caller, lease.capability_token, fence_of(lease)))
    assert [opens(store, place) for place in (before, after)] == [True, False]


async def test_prefixes_past_a_session_policy_are_refused_as_that(
    claimed: Callable[..., Any], caller: Caller, version: Callable[[str, str], dict[str, Any]], sql: Sql
):
    """What a claim adds is not known where the job is deployed."""
    sql(
        "WITH cold AS ("
        "  INSERT INTO dataset_versions (id, org_id, dataset_id, job_id, config_hash, schema_hash, storage,"
        "    location, columns, unique_key, scope_column, sort_by, provisioned_at)"
        "  SELECT gen_random_uuid(), org_id, dataset_id, job_id, 'earlier ' || n, schema_hash, storage,"
        "    location || n || '/', columns, unique_key, scope_column, sort_by, now()"
        "  FROM dataset_versions, generate_series(1, 100) n WHERE id = %(like)s RETURNING id, org_id)"
        " INSERT INTO relocations (hot_version_id, cold_version_id, org_id, ranges)"
        " SELECT %(hot)s, id, org_id, int8multirange(int8range(n, n + 1))"
        " FROM (SELECT *, row_number() OVER () AS n FROM cold) c",
        like=version("later", "out")["id"],
        hot=version("left", "o7")["id"],
    )
    (lease,) = await claimed()
    assert (await caller.heartbeat(lease)).lease_expires_at is not None, "its token is one that can be shown"
    refused = await credentials(caller, lease.capability_token, fence_of(lease))
    assert (refused.status_code, refused.json()["code"]) == (413, "PolicyTooLarge")
