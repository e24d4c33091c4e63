"""What tests of operators share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.operators.compacting import Compaction
from tests.services import Databases, ObjectStore


@pytest.fixture
def compaction(
    databases: Databases, object_store: ObjectStore, bucket: str, tmp_path: Path
) -> Callable[..., Compaction]:
    """Makes a compaction of a given config."""
    return lambda **config: Compaction(databases, object_store, bucket, tmp_path, **config)
