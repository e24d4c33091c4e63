"""No password and no API key in what a run says, whatever it stumbles over."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from operators.chain.faults import ProviderFault
from operators.chain.pool import ProviderPool
from traceplane_sdk import runner, wire
from traceplane_sdk.context import Context, Result, TaskIO
from traceplane_sdk.database import connect, connect_arrow
from traceplane_sdk.dsn import BadDsn, parameters
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.operator import Operator
from traceplane_sdk.secrecy import REDACTED, of_dsn, of_url, redact

PASSWORD = "s3cret-canary"
KEY = "k3y-canary-0123456789"
URL = f"https://user:{PASSWORD}@provider.example/v2/{KEY}?token=t0ken-canary"
CLOSED = f"postgresql://trace:{PASSWORD}@127.0.0.1:1/db"


class NoConfig(BaseModel):
    """The operator takes none."""


def misspelt() -> list[str]:
    """DSNs in which libpq finds parts of the password where it looks for something else."""
    return [
        f"postgresql//trace:{PASSWORD}@host/db",
        f"postgresql://trace:x@{PASSWORD}@127.0.0.1/db",
        f"postgresql://trace:x@t#{PASSWORD}@127.0.0.1/db",
        f"postgresql://trace:{PASSWORD}/x@127.0.0.1/db",
        f"postgresql://trace:1/{PASSWORD}@127.0.0.1/db",
        f"postgresql://trace:x@127.0.0.1/db?{PASSWORD}=y",
        f"host=127.0.0.1 password=x {PASSWORD}",
        f"postgresql://trace:%zz{PASSWORD}@127.0.0.1/db",
    ]


def said(run: Callable[[Context], Any], io: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """(code, everything a run let out): its completion's error and its log."""
    operator = Operator(
        name="canary",
        output_revision=1,
        summary="",
        config_model=NoConfig,
        activations=frozenset({"Source"}),
        runtimes=frozenset({"Pod"}),
        execution_strategies=frozenset(),
        update_strategies=frozenset({"Append"}),
        declare_outputs=lambda *_: {},
        entrypoint="canary:run",
    )
    monkeypatch.setattr(runner, "load_operator", lambda _name: operator)
    monkeypatch.setattr(runner, "_entrypoint", lambda _operator: run)
    lines: list[Any] = []
    lent = TaskIO(log=lambda event, fields: lines.append([event, dict(fields)]), **io)
    done = runner.run_task(claimed(), lent)
    assert done.status == "Failed"
    assert done.error is not None
    return done.error.code, json.dumps([done.error.message, lines])


def claimed() -> wire.ClaimedTask:
    task = wire.TaskPayload(
        task_id="t",
        org_id="o",
        attempt=1,
        cause="Source",
        job=wire.JobRef(id="j", namespace="n", dag="d", name="j"),
        operator="canary",
        config={},
        inputs=[],
        outputs=[],
        scope={"kind": "source"},
        lease_epoch=1,
        writer="job",
    )
    return wire.ClaimedTask(
        task=task, attempt=1, lease_token="l", lease_expires_at="2026-01-01T00:00:00Z", capability_token="c"
    )


@pytest.mark.parametrize("dsn", [CLOSED, *misspelt()])
@pytest.mark.parametrize("opened", [lambda ctx: ctx.connection(), lambda ctx: connect_arrow(ctx.io.data_dsn())])
def test_a_run_that_cannot_connect_says_so_without_the_dsn(
    dsn: str, opened: Callable[[Context], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The net is taken away: the words for a failed connection are clean by themselves.
    monkeypatch.setattr(runner.RunSecrets, "redacted", lambda _self, value: value)
    code, text = said(opened, {"data_dsn": lambda: dsn}, monkeypatch)
    assert code == "Unavailable"
    assert "canary" not in text
    assert "database" in text


@pytest.mark.parametrize("dsn", misspelt())
def test_a_dsn_whose_parts_are_shifted_is_refused_in_fixed_words(dsn: str) -> None:
    with pytest.raises(BadDsn) as refused:
        parameters(dsn)
    assert "canary" not in str(refused.value)
    assert "percent-encoded" in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://trace:p%40ss%2Fword@db-1.example.svc:5432/trace_data?sslmode=require",
        "postgresql://trace@/db?host=/var/run/postgresql",
        "postgresql://trace@[::1]:5432/db",
        "postgresql://a,b:5433/db",
        "host=10.0.0.1 port=5432 user=trace password='with space' dbname=trace",
    ],
)
def test_a_right_dsn_is_read(dsn: str) -> None:
    assert parameters(dsn)


def test_an_exception_of_an_operator_is_redacted_in_error_and_log(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(ctx: Context) -> Result:
        ctx.io.data_dsn()
        (url,) = ctx.io.rpc_urls("pool")
        ctx.log("asking", url=url, nested={"headers": [f"key={KEY}"]})
        raise RuntimeError(f"401 for {url}") from ValueError(f"no session with {CLOSED}, tried {PASSWORD}")

    io = {"data_dsn": lambda: CLOSED, "rpc_urls": lambda _pool: [URL]}
    code, text = said(run, io, monkeypatch)
    assert code == "OperatorCrashed"
    assert "canary" not in text
    assert text.count(REDACTED) >= 5


def test_an_operators_own_error_is_redacted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(ctx: Context) -> Result:
        (url,) = ctx.io.rpc_urls("pool")
        raise OperatorError("Custom", f"cannot read {url}")

    code, text = said(run, {"data_dsn": lambda: CLOSED, "rpc_urls": lambda _pool: [URL]}, monkeypatch)
    assert (code, "canary" in text, "cannot read" in text) == ("Custom", False, True)


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:1/v2/{KEY}?token={KEY}",
        f"http://127.0.0.1:{KEY}/rpc",
        f"http://user:pa/{KEY}@127.0.0.1/rpc",
        f"http://[{KEY}/rpc",
    ],
)
def test_a_provider_that_does_not_answer_is_named_by_its_position(url: str) -> None:
    providers = ProviderPool([url], 1, timeout=1, max_bytes=1000, connections=1)
    with pytest.raises(ProviderFault) as fault:
        providers._all[0].call("eth_chainId")
    providers.close()
    assert "canary" not in str(fault.value)
    assert str(fault.value).startswith("provider 0: ")
    assert fault.value.__context__ is None


def test_a_key_that_a_provider_repeats_is_redacted_before_the_message_is_cut() -> None:
    answer = {"id": None, "error": {"code": -32000, "message": "x" * 190 + f"bad key {KEY}, user {PASSWORD}"}}
    providers = ProviderPool([URL], 1, timeout=1, max_bytes=10_000, connections=1)
    providers._all[0]._http = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    )
    with pytest.raises(ProviderFault) as fault:
        providers._all[0].call("eth_chainId")
    providers.close()
    assert "k3y" not in str(fault.value)
    assert "-32000" in str(fault.value)


def test_every_request_of_httpx_stays_out_of_a_workers_log(caplog: pytest.LogCaptureFixture) -> None:
    from traceplane.worker import journal

    journal.configure("debug")
    logging.root.setLevel(logging.DEBUG)
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200)))
    http.get(URL)
    assert "canary" not in caplog.text


def test_words_too_short_to_be_secrets_are_left_alone() -> None:
    assert redact("trace trace", of_dsn("postgresql://trace:trace@host/trace")) == "trace trace"
    assert redact("the mainnet of v2", of_url("https://host/mainnet/v2")) == "the mainnet of v2"


def test_a_percent_encoded_password_is_redacted_in_both_spellings() -> None:
    secrets = of_dsn("postgresql://trace:p%40ss-canary@host/db")
    assert redact("p@ss-canary and p%40ss-canary", secrets) == f"{REDACTED} and {REDACTED}"


def test_connect_names_the_reason_where_nothing_listens() -> None:
    with pytest.raises(OperatorError, match="nothing listens at its address") as failed:
        connect(CLOSED)
    assert failed.value.__context__ is None
    assert failed.value.retryable
