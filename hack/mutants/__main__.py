"""`python -m hack.mutants [--room ROOM] [--only TEXT] [--list] [--first-only] [--tests PATH]`: see the package."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hack.mutants.guards import Guard, python_guards, sql_guards
from hack.mutants.runs import Outcome, Runs, runs

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "controller/traceplane"
SECONDS = 1800.0
"""How long the tests of a room may take with every guard in place."""
PATIENCE = 4.0
GRACE_SECONDS = 30.0
"""A mutant may make a test wait for what never comes. Its run has so many times the time of the whole code, and so
many seconds more."""

Limits = tuple[float, ...]
"""Seconds for each stage of a room's tests that is to run."""


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
        (f"{PACKAGE}/store/statements/*.py", f"{PACKAGE}/store/seed.py"),
        sql_guards,
        ("tests/integration/dispatch", "tests/integration/store", "tests/integration/query/test_userapi.py"),
        (
            "tests/integration/dispatch/test_fences.py",
            "tests/integration/dispatch/test_claim_guards.py",
            "tests/integration/dispatch/test_commit_guards.py",
            "tests/integration/dispatch/test_operation_guards.py",
            "tests/integration/dispatch/test_query_results.py",
            "tests/integration/store/test_asset_policies.py",
            "tests/integration/store/test_browse.py",
            "tests/integration/store/test_hot_tables.py",
            "tests/integration/store/test_other_dags.py",
            "tests/integration/store/test_source_outbox.py",
            "tests/integration/store/test_users.py",
        ),
    ),
    "dispatch": Room(
        (f"{PACKAGE}/dispatch/**/*.py",),
        python_guards,
        ("tests/unit/dispatch", "tests/integration/dispatch"),
        (
            "tests/unit/dispatch",
            "tests/unit/sdk/test_source_outbox.py",
            "tests/integration/dispatch/test_commits.py",
            "tests/integration/dispatch/test_refusals.py",
            "tests/integration/dispatch/test_lifecycle.py",
            "tests/integration/dispatch/test_reports.py",
            "tests/integration/dispatch/test_finality.py",
        ),
    ),
    "identity": Room(
        (f"{PACKAGE}/identity/*.py", f"{PACKAGE}/web/*.py"),
        python_guards,
        ("tests/unit/identity", "tests/unit/web", "tests/integration/dispatch", "tests/integration/query"),
        ("tests/unit/identity", "tests/unit/web"),
    ),
    "versions": Room(
        (f"{PACKAGE}/versions/*.py",),
        python_guards,
        (
            "tests/unit/versions",
            "tests/integration/store",
            "tests/integration/dispatch",
            "tests/integration/query/test_external_verbs.py",
        ),
        (
            "tests/unit/versions",
            *(
                f"tests/integration/store/test_{name}.py"
                for name in ("deploy", "deletion", "rollout", "gc", "asset_input_plans", "asset_input_purges")
            ),
            "tests/integration/query/test_external_verbs.py",
        ),
    ),
    "apis": Room(
        (f"{PACKAGE}/userapi/*.py", f"{PACKAGE}/taskapi/*.py"),
        python_guards,
        ("tests/integration/dispatch", "tests/integration/query"),
        (
            "tests/integration/query/test_userapi.py",
            "tests/integration/query/test_lineage.py",
            "tests/integration/query/test_external_verbs.py",
            "tests/integration/dispatch/test_refusals.py",
            "tests/integration/dispatch/test_health.py",
        ),
    ),
    "queries": Room(
        (f"{PACKAGE}/query/attach/*.py",),
        sql_guards,
        ("tests/integration/query",),
        ("tests/integration/query/test_batch_fences.py",),
    ),
    "gate": Room(
        (f"{PACKAGE}/query/gate/allowlist.py", f"{PACKAGE}/query/gate/parser.py"),
        python_guards,
        ("tests/unit/query", "tests/integration/query/test_gate_process.py"),
        ("tests/unit/query/test_gate.py",),
    ),
    "relations": Room(
        (f"{PACKAGE}/query/relations/*.py",),
        python_guards,
        ("tests/unit/query", "tests/integration/query/test_as_of.py", "tests/integration/query/test_relations.py"),
        tuple(f"tests/unit/query/test_{name}.py" for name in ("cold_files", "hot_sql", "pins", "resolve", "seam")),
    ),
    "operators": Room(
        ("operators/*/*.py", "operators/sdk/python/traceplane_sdk/*.py"),
        python_guards,
        (
            "operators",
            "tests/unit/sdk",
            "tests/unit/runtime",
            "tests/integration/operators",
            "tests/integration/worker",
            "tests/integration/query/test_operator.py",
        ),
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


def outcome(number: int, mutant: Mutant, runs: Runs, limits: Limits) -> Outcome:
    """What the tests of its room make of the code without the guard. `number` is another for each mutant."""
    target = runs.copy / mutant.path
    source, times = target.read_text(), target.stat()
    target.write_text(mutant.guard.removed(source))
    os.utime(target, (number, number))  # unlike any time at which the file was compiled before
    try:
        return run_room(ROOMS[mutant.room], runs, limits)
    finally:
        target.write_text(source)
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


def run_room(room: Room, runs: Runs, limits: Limits) -> Outcome:
    """Run the quick tests of a room and then, where they pass and there are limits for them, all of them."""
    found = Outcome.PASSED
    for (tests, parallel), seconds in zip(stages(room), limits, strict=False):
        found = runs.run(tests, parallel=parallel, seconds=seconds)
        if found is not Outcome.PASSED:
            break
    return found


def stages(room: Room) -> list[tuple[tuple[str, ...], bool]]:
    """The tests of a room in the order in which they run, and whether two processes share them."""
    return [(room.first, False), (room.tests, True)] if room.first else [(room.tests, True)]


def limits_of(name: str, runs: Runs, first_only: bool) -> Limits:
    """Seconds that each stage of a room may take. Ends the program where a test fails with every guard in place."""
    limits = []
    for tests, parallel in stages(ROOMS[name])[: 1 if first_only else None]:
        started = time.monotonic()
        if runs.run(tests, parallel=parallel, seconds=SECONDS) is not Outcome.PASSED:
            log = runs.log.read_text(errors="replace")
            raise SystemExit(f"{log[-3000:]}\nthe tests of {name} fail with every guard in place: mend them first")
        limits.append(GRACE_SECONDS + PATIENCE * (time.monotonic() - started))
    return tuple(limits)


def main() -> int:
    """Run the mutants; exit code 1 if one survived."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--room", choices=sorted(ROOMS), action="append", help="a room; all of them by default")
    parser.add_argument("--only", default="", help="mutants whose place or text contains this")
    parser.add_argument(
        "--first-only", action="store_true", help="run only the quick tests of rooms that have some"
    )
    parser.add_argument("--tests", action="append", help="run these tests alone, and no others of the room")
    parser.add_argument("--list", action="store_true", help="list the mutants, and run none")
    arguments = parser.parse_args()
    if arguments.tests:
        ROOMS.update({name: replace(room, first=tuple(arguments.tests)) for name, room in ROOMS.items()})
    first_only = bool(arguments.first_only or arguments.tests)
    rooms = [room for room in arguments.room or sorted(ROOMS) if ROOMS[room].first or not first_only]
    chosen = mutants(rooms, arguments.only)
    if arguments.list:
        print(*chosen, f"{len(chosen)} mutants", sep="\n")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # all that runs is ended, as after Ctrl-C
    outcomes: dict[Outcome, list[Mutant]] = {one: [] for one in Outcome}
    with tempfile.TemporaryDirectory(prefix="trace-mutants-") as directory:
        copy = Path(directory) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "node_modules"))
        (copy / ".venv").symlink_to(ROOT / ".venv")  # what the tests start as a command
        with runs(copy) as running:
            limits = {name: limits_of(name, running, first_only) for name in {mutant.room for mutant in chosen}}
            for number, mutant in enumerate(chosen, start=1):
                started = time.monotonic()
                found = outcome(number, mutant, running, limits[mutant.room])
                outcomes[found].append(mutant)
                seconds = time.monotonic() - started
                print(f"[{number}/{len(chosen)}] {found} ({seconds:.0f} s) {mutant}", flush=True)
    for found in (Outcome.BROKEN, Outcome.PASSED):
        print(*(f"{found}: {mutant}" for mutant in outcomes[found]), sep="\n", end="\n" if outcomes[found] else "")
    print(", ".join(f"{len(listed)} {found}" for found, listed in outcomes.items()))
    return 1 if outcomes[Outcome.PASSED] or outcomes[Outcome.BROKEN] else 0


if __name__ == "__main__":
    sys.exit(main())
