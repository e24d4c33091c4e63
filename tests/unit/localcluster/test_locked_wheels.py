"""The platform's image holds what the platform imports, and nothing of a developer's environment."""

from __future__ import annotations

import re

from hack.localcluster.pythonlayers import LockedWheels


def test_the_image_gets_no_group_of_dependencies() -> None:
    names = set(re.findall(r"^([a-z0-9-]+)==", LockedWheels._requirements(), re.MULTILINE))
    assert {"duckdb", "psycopg", "pyarrow"} <= names
    assert not {name for name in names if name.startswith(("duckdb-extension", "pytest", "mypy", "ruff"))}
