"""`python -m hack.mutants [--room ROOM] [--only TEXT] [--list] [--first-only]`: see the package."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.mutants.guards import Guard, python_guards, sql_guards

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "controller/traceplane"
SECONDS = 900
"""A mutant may make a test wait for what never comes; that is noticed, too."""


@dataclass(frozen=True, slots=True)
class Room:
    """Files whose guards are removed, how they are found, and the tests that must fail without each of them."""

    files: tuple[str, ...]
    guards: Callable[[str], list[Guard]]
    tests: tuple[str, ...]
    first: tuple[str, ...] = ()
    """Tests that notice most of them: run alone first, so that a mutant costs seconds."""


ROOMS = {
    "statements": Room(
        (f"{PACKAGE}/store/statements/*.py",),
        sql_guards,
        ("tests/integration/dispatch", "tests/integration/store", "tests/integration/query/test_userapi.py"),
        (
            "tests/integration/dispatch/test_fences.py",
            "tests/integration/dispatch/test_claim_guards.py",
            "tests/integration/dispatch/test_commit_guards.py",
            "tests/integration/dispatch/test_operation_guards.py",
        ),
    ),
    "dispatch": Room(
        (f"{PACKAGE}/dispatch/**/*.py", f"{PACKAGE}/identity/*.py"),
        python_guards,
        ("tests/unit/dispatch", "tests/unit/identity", "tests/integration/dispatch"),
    ),
    "versions": Room(
        (f"{PACKAGE}/versions/*.py",), python_guards, ("tests/integration/store", "tests/integration/dispatch")
    ),
    "apis": Room(
        (f"{PACKAGE}/web/*.py", f"{PACKAGE}/userapi/*.py", f"{PACKAGE}/taskapi/*.py"),
        python_guards,
        ("tests/unit/dispatch", "tests/integration/dispatch", "tests/integration/query"),
    ),
    "gate": Room(
        (f"{PACKAGE}/query/gate/allowlist.py", f"{PACKAGE}/query/gate/parser.py"),
        python_guards,
        ("tests/unit/query",),
        ("tests/unit/query/test_gate.py",),
    ),
    "relations": Room(
        (f"{PACKAGE}/query/relations/*.py",),
        python_guards,
        ("tests/unit/query", "tests/integration/query/test_as_of.py", "tests/integration/query/test_relations.py"),
        ("tests/unit/query/test_seam.py", "tests/unit/query/test_pins.py", "tests/unit/query/test_resolve.py"),
    ),
    "operators": Room(
        ("operators/*/*.py", "operators/sdk/python/traceplane_sdk/*.py"),
        python_guards,
        ("operators", "tests/unit/sdk", "tests/integration/operators"),
        ("operators", "tests/unit/sdk"),
    ),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard of one file, and the room it belongs to."""

    room: str
    path: str
    guard: Guard

    def __str__(self) -> str:
        return f"{self.path}:{self.guard.line}: {self.guard.text}"


def mutants(rooms: Sequence[str], only: str) -> list[Mutant]:
    """Every mutant of `rooms` whose place or text contains `only`."""
    found = []
    for name in rooms:
        room = ROOMS[name]
        for path in sorted({path for pattern in room.files for path in ROOT.glob(pattern)}):
            relative = str(path.relative_to(ROOT))
            if "/tests/" not in relative:
                found += [Mutant(name, relative, guard) for guard in room.guards(path.read_text())]
    return [mutant for mutant in found if only in str(mutant)]


def survives(mutant: Mutant, copy: Path, first_only: bool) -> bool:
    """Whether the tests of its room pass without the guard."""
    target = copy / mutant.path
    source = target.read_text()
    target.write_text(mutant.guard.removed(source))
    try:
        return room_passes(ROOMS[mutant.room], copy, first_only)
    finally:
        target.write_text(source)


def room_passes(room: Room, copy: Path, first_only: bool) -> bool:
    """Whether the quick tests of a room pass, and then, unless `first_only`, all of them."""
    if room.first and not passes(room.first, copy, parallel=False):
        return False
    return first_only or passes(room.tests, copy, parallel=True)


def passes(tests: Sequence[str], copy: Path, *, parallel: bool) -> bool:
    """Whether `tests` pass on the checkout in `copy`."""
    # The copy stands before the installed package, in the processes that the tests start as well.
    paths = [copy / "controller", copy / "operators/sdk/python", copy]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    # Each worker of a parallel run starts its own services: the quick tests are too short for that.
    spread = ("-n", "2", "--dist", "worksteal") if parallel else ("-n", "0")
    command = [sys.executable, "-m", "pytest", "-q", "-x", *spread]
    try:
        ran = subprocess.run(
            [*command, "-m", "not cluster and not apiserver and not patient", *tests],
            cwd=copy, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    if ran.returncode not in (0, 1, 2):
        raise SystemExit(f"the tests could not run:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return ran.returncode == 0


def main() -> int:
    """Run the mutants; exit code 1 if one survived."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--room", choices=sorted(ROOMS), action="append", help="a room; all of them by default")
    parser.add_argument("--only", default="", help="mutants whose place or text contains this")
    parser.add_argument(
        "--first-only", action="store_true", help="run only the quick tests of rooms that have some"
    )
    parser.add_argument("--list", action="store_true", help="list the mutants, and run none")
    arguments = parser.parse_args()
    first_only: bool = arguments.first_only
    rooms = [room for room in arguments.room or sorted(ROOMS) if ROOMS[room].first or not first_only]
    chosen = mutants(rooms, arguments.only)
    if arguments.list:
        print(*chosen, f"{len(chosen)} mutants", sep="\n")
        return 0
    survivors = []
    with tempfile.TemporaryDirectory(prefix="trace-mutants-") as directory:
        copy = Path(directory) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "node_modules"))
        (copy / ".venv").symlink_to(ROOT / ".venv")  # what the tests start as a command
        for room in sorted({mutant.room for mutant in chosen}):
            if not room_passes(ROOMS[room], copy, first_only):
                raise SystemExit(f"the tests of {room} fail with every guard in place: mend them first")
        for number, mutant in enumerate(chosen, start=1):
            started = time.monotonic()
            survived = survives(mutant, copy, first_only)
            survivors += [mutant] if survived else []
            outcome = "SURVIVES" if survived else "killed"
            print(f"[{number}/{len(chosen)}] {outcome} ({time.monotonic() - started:.0f} s) {mutant}", flush=True)
    killed = len(chosen) - len(survivors)
    print(f"{killed} mutants were killed by tests, {len(survivors)} survive", *survivors, sep="\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
