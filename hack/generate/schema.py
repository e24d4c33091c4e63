"""Writes the reviewed pictures of both databases, `controller/traceplane/store/schema_{state,data}.sql`.

They are what the migrations make, dumped from a real server with `pg_dump` and without what says nothing about
the schema (comments, settings, owners, the migrations' own version table). A reviewer reads in their diff what a
migration really does, and a test holds them equal to a migrated database and to the declared tables.

Usage: python -m hack.generate.schema [--check]
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests import services
from traceplane.store import migrate

FOLDER = Path(__file__).resolve().parents[2] / "controller" / "traceplane" / "store"
_NOISE = re.compile(r"^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)$", re.MULTILINE)
_BRANCHES = (migrate.STATE, migrate.DATA)


def path(branch: migrate.Branch) -> Path:
    """The reviewed file of one database."""
    return FOLDER / f"schema_{branch.name}.sql"


def dump(dsn: str, branch: migrate.Branch) -> str:
    """The schema of a database as normalised DDL."""
    program = services.postgres_binaries() / "pg_dump"
    options = ["--schema-only", "--no-owner", f"--exclude-table={branch.version_table}", dsn]
    done = subprocess.run([str(program), *options], capture_output=True, text=True, check=True)
    return re.sub(r"\n{3,}", "\n\n", _NOISE.sub("", done.stdout)).strip() + "\n"


def main() -> int:
    """Write the files, or with `--check` say which ones differ; returns the exit code."""
    with services.postgres() as server:
        databases = server.databases()
        made = {
            path(branch): dump(dsn, branch)
            for branch, dsn in zip(_BRANCHES, (databases.state_dsn, databases.data_dsn), strict=True)
        }
    if "--check" not in sys.argv[1:]:
        for file, text in made.items():
            file.write_text(text)
        return 0
    differing = [file.name for file, text in made.items() if not file.exists() or file.read_text() != text]
    for name in differing:
        print(f"{name} differs from what the migrations make: run `make generate`")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
