"""What an attempt reads from its host, and how long it believes a lease to hold."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.support.tasks import ID
from traceplane.kit import spans
from traceplane.kit.spans import Span
from traceplane.runtime.attempt import lease_length
from traceplane.runtime.task_io import provider_urls, scratch, traced
from traceplane_sdk import tracing, wire
from traceplane_sdk.control import Control
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.queries import QueryService

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _pool(folder: Path, content: str) -> Path:
    (folder / "local").mkdir()
    (folder / "local" / "urls").write_text(content)
    return folder


def test_provider_urls_are_one_a_line(tmp_path: Path) -> None:
    rpc_dir = _pool(tmp_path, "# the fast one\nhttp://a:1\n\nhttps://b/key\nwss://b/key\n")
    assert provider_urls(rpc_dir, "local") == ["http://a:1", "https://b/key", "wss://b/key"]


@pytest.mark.parametrize("content", ["", "# none\n", "ftp://a\n", "wss://a\n", "http://a\nnonsense secret\n"])
def test_a_pool_without_usable_urls_is_named_and_no_url_is_shown(tmp_path: Path, content: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        provider_urls(_pool(tmp_path, content), "local")
    assert refusal.value.code == "NoProvider"
    assert "secret" not in refusal.value.message


@pytest.mark.parametrize("pool", ["absent", "../local", "a/b", ""])
def test_a_pool_that_is_not_mounted_is_refused(tmp_path: Path, pool: str) -> None:
    with pytest.raises(OperatorError):
        provider_urls(_pool(tmp_path, "http://a\n"), pool)


def test_scratch_is_removed_even_if_the_run_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch(tmp_path / "s") as folder:  # noqa: PT012
        assert folder is not None
        (folder / "file").write_text("x")
        raise ZeroDivisionError
    assert list((tmp_path / "s").iterdir()) == []


def test_a_host_without_a_disk_lends_none() -> None:
    with scratch(None) as folder:
        assert folder is None


@pytest.mark.parametrize(
    ("seconds_ahead", "believed"),
    [(60, 60), (0.5, 120), (-600, 120), (600, 120)],
)
def test_a_lease_is_as_long_as_claimed_unless_the_clocks_disagree(seconds_ahead: float, believed: float) -> None:
    expires = (NOW + timedelta(seconds=seconds_ahead)).isoformat()
    assert lease_length(expires, NOW, 120) == believed


def test_each_query_of_a_run_is_a_span_below_it_whose_context_is_sent(tmp_path: Path) -> None:
    recorded: list[Span] = []
    sent: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["traceparent"])
        return httpx.Response(400)

    fence, transport = wire.Fence(ID, 1, ID), httpx.MockTransport(answer)
    service = QueryService("http://query", lambda: (fence, "token"), Control(), transport=transport)
    spans.install(recorded.append)
    try:
        # Operators may ask from threads of their own, which know nothing of the run's.
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(traced(service.ask, fence), "SELECT 'canary'", tmp_path / "answer", None, None)
        assert isinstance(asked.exception(), OperatorError)
    finally:
        spans.install(None)
    (span,) = recorded
    assert sent == [span.context.traceparent]
    assert (span.kind, span.context.trace_id, span.context.sampled) == (spans.CLIENT, tracing.trace_id(ID), True)
    assert span.parent == spans.of_task(ID, 1, "run").span_id
    assert span.failed == "QueryRefused"
    assert "canary" not in repr(span)
