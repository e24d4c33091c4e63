"""What a worker reads from its mounts, and how long it believes a lease to hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from traceplane.errors import InvalidSettings
from traceplane.settings import Settings
from traceplane.worker.attempt import lease_length
from traceplane.worker.health import MAX_MEASURES, Health
from traceplane.worker.surroundings import provider_urls, scratch, worker_token
from traceplane_sdk.errors import OperatorError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _pool(folder: Path, content: str) -> Settings:
    (folder / "local").mkdir()
    (folder / "local" / "urls").write_text(content)
    return Settings(rpc_dir=folder)


def test_provider_urls_are_one_a_line(tmp_path: Path) -> None:
    settings = _pool(tmp_path, "# the fast one\nhttp://a:1\n\nhttps://b/key\n")
    assert provider_urls(settings, "local") == ["http://a:1", "https://b/key"]


@pytest.mark.parametrize("content", ["", "# none\n", "ftp://a\n", "http://a\nnonsense secret\n"])
def test_a_pool_without_usable_urls_is_named_and_no_url_is_shown(tmp_path: Path, content: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        provider_urls(_pool(tmp_path, content), "local")
    assert refusal.value.code == "NoProvider"
    assert "secret" not in refusal.value.message


@pytest.mark.parametrize("pool", ["absent", "../local", "a/b", ""])
def test_a_pool_that_is_not_mounted_is_refused(tmp_path: Path, pool: str) -> None:
    with pytest.raises(OperatorError):
        provider_urls(_pool(tmp_path, "http://a\n"), pool)


def test_the_first_line_of_the_token_file_is_ours(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("\nnew\nold\n")
    assert worker_token(Settings(worker_token_file=file)) == "new"


@pytest.mark.parametrize("content", [None, "", "\n \n"])
def test_a_missing_token_names_its_setting(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidSettings, match="TRACE_WORKER_TOKEN_FILE"):
        worker_token(Settings(worker_token_file=file))


def test_scratch_is_gone_afterwards_even_if_the_run_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch(Settings(scratch_dir=tmp_path / "s")) as folder:  # noqa: PT012
        (folder / "file").write_text("x")
        raise ZeroDivisionError
    assert list((tmp_path / "s").iterdir()) == []


@pytest.mark.parametrize(
    ("seconds_ahead", "believed"),
    [(60, 60), (0.5, 120), (-600, 120), (600, 120)],
)
def test_a_lease_is_as_long_as_told_unless_the_clocks_disagree(seconds_ahead: float, believed: float) -> None:
    expires = (NOW + timedelta(seconds=seconds_ahead)).isoformat()
    assert lease_length(expires, NOW, 120) == believed


def test_an_operator_cannot_fill_memory_with_measures() -> None:
    health = Health()
    for number in range(MAX_MEASURES + 10):
        health.measure(f"m{number}", 1)
    names = [metric.name for metric in health.registry.collect() if metric.name.startswith("trace_m")]
    assert len(names) == MAX_MEASURES
