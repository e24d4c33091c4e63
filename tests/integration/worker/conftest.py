"""The dispatcher's fixtures, for tests that run real workers against a real dispatcher, and the whole path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import services
from tests.integration.dispatch.conftest import deploy, dispatcher, settings
from tests.integration.worker.pipelines import manifest, running
from traceplane.settings import Settings

__all__ = ["deploy", "dispatcher", "pipeline", "settings"]


@pytest.fixture
async def pipeline(
    settings: Settings,
    deploy: Callable[..., Any],
    databases: services.Databases,
    object_store: services.ObjectStore,
    chain: services.Chain,
    tmp_path: Path,
) -> Any:
    """Dispatcher, follower and compaction workers as processes, over a real chain, database and store."""
    short = settings.model_copy(
        update={"retry_base_seconds": 0.2, "retry_max_seconds": 1.0, "longest_query_seconds": 0.5}
    )
    jobs = await deploy(manifest())
    with running(
        short,
        databases=databases,
        store=object_store,
        chain=chain,
        jobs=jobs,
        folder=tmp_path,
    ) as running_pipeline:
        yield running_pipeline
