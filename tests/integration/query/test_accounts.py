"""What the log and the metrics keep of calls: whose each was, and who was not let in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import httpx
import pytest
import structlog

from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from tests.issuer import Issuer
from traceplane.observe import dispatch_metrics as metrics
from traceplane.settings import Settings
from traceplane.userapi.app import app

pytestmark = pytest.mark.services

Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What this process logs."""
    with structlog.testing.capture_logs() as said:
        yield said


@pytest.fixture
def url(world: World, oidc: Issuer, serve: Callable[[Any], str]) -> str:
    """A user API where `alice` is a reader and everybody may ask three times a minute."""
    world.user(oidc.url, "alice", "reader")
    return serve(
        app(
            Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url, user_rate_per_minute=3), pytest.fail
        )
    )


def events(lines: Lines, name: str) -> Lines:
    return [line for line in lines if line["event"] == name]


def ask(url: str, token: str, path: str = "/v1/dags", method: str = "GET") -> httpx.Response:
    return httpx.request(method, f"{url}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=20)


def test_each_call_of_a_user_is_told_with_its_user_and_organisation(
    world: World, oidc: Issuer, url: str, lines: Lines
) -> None:
    assert ask(url, oidc.token("alice")).status_code == 200
    assert ask(url, oidc.token("alice"), "/v1/dags/none").status_code == 404
    told = [(line["path"], line["code"], line["org_id"]) for line in events(lines, "user call")]
    org = str(Settings().org_id)
    assert told == [("/v1/dags", "OK", org), ("/v1/dags/none", "NotFound", org)]
    (user,) = {line["user_id"] for line in events(lines, "user call")}
    assert world.state.execute("SELECT external_id FROM users WHERE id = %s", (user,)).fetchone() == ("alice",)


def test_who_is_not_let_in_is_told_and_counted(oidc: Issuer, url: str, lines: Lines) -> None:
    before = denials()
    forged = oidc.token("alice")[:-8] + "AAAAAAAA"
    asked = [(forged, "GET", "/v1/dags"), (oidc.token("mallory"), "GET", "/v1/dags")]
    asked += [(oidc.token("alice"), "POST", "/v1/tasks/00000000-0000-4000-8000-000000000000/retry")]
    codes = [ask(url, token, path, method).json()["code"] for token, method, path in asked]
    assert codes == ["Unauthenticated", "Forbidden", "Forbidden"]
    told = [(line["code"], line["path"], line["who"]) for line in events(lines, "denied")]
    assert told == [
        ("Unauthenticated", "/v1/dags", None),
        ("Forbidden", "/v1/dags", f"{oidc.url}|mallory"),
        ("Forbidden", asked[2][2], f"{oidc.url}|alice"),
    ]
    assert denials() == before + 3
    assert not events(lines, "user call")
    assert forged not in str(lines)


def test_who_is_no_user_is_counted_before_anybody_is_looked_up(
    oidc: Issuer, url: str, lines: Lines, world: World
) -> None:
    """An issuer may know many who are no users here, and each of their calls would ask the database."""
    codes = [ask(url, oidc.token("mallory")).json()["code"] for _ in range(5)]
    assert codes == ["Forbidden"] * 3 + ["RateLimited"] * 2
    assert [line["who"] for line in events(lines, "denied")] == [f"{oidc.url}|mallory"] * 5
    assert ask(url, oidc.token("alice")).status_code == 200


def test_a_query_that_is_denied_is_told_and_counted(
    world: World, oidc: Issuer, start_service: Callable[..., Client], lines: Lines
) -> None:
    client = start_service(query_rate_per_minute=2)
    stranger = Client(client.url, oidc.token("mallory"), client.service)
    assert [stranger.refused("SELECT 1") for _ in range(3)] == [(403, "Forbidden")] * 2 + [(429, "RateLimited")]
    assert [line["code"] for line in events(lines, "denied")] == ["Forbidden", "Forbidden", "RateLimited"]
    told = httpx.get(f"{client.url}/metrics", timeout=60).text
    assert 'trace_denied_total{code="RateLimited"}' in told


@pytest.mark.parametrize("path", ["/v1/dags/", "//v1/dags", "/v1/dags/none/"])
def test_a_path_that_is_almost_in_the_table_is_not_there(path: str, url: str) -> None:
    answer = httpx.get(f"{url}{path}", timeout=20)
    assert (answer.status_code, answer.headers.get("location")) == (404, None)


def test_a_method_that_is_not_for_a_path_is_told_which_is(url: str) -> None:
    answer = httpx.delete(f"{url}/v1/dags", timeout=20)
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]


def denials() -> float:
    return sum(
        sample.value for one in metrics.DENIED.collect() for sample in one.samples if sample.name.endswith("_total")
    )
