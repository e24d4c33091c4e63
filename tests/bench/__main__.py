"""Runs the benches and keeps their figures: `python -m tests.bench [NAME...]`.

Every line is a ratio of two measurements taken in one run on one machine, because machines differ by more than
code does: an absolute number in a document is soon untrue. Each bench is a module beside this one whose `main`
prints one JSON object a measure on stdout; it runs in a process of its own, so that one bench's memory and
threads cannot colour the next. With no names all run, and `docs/benchmarks.md` is written anew.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

BENCHES = (
    "hot_path",
    "follower",
    "heads",
    "compact",
    "query",
    "service",
    "operators",
    "versions",
    "reconcile",
    "memory",
)
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
TIMEOUT_SECONDS = 600

HEAD = """# Benchmarks

Written by `make bench`. Each line is a ratio of two measurements taken in one run: ours against the bare thing
underneath. Machines are noisy and differ; ratios travel, seconds do not. A ratio above the aim is good, except
where the note says otherwise.

In `hot_path` the clients, the dispatcher and Postgres share the machine's cores, so on two cores the time that the
dispatcher takes for a task (about 35 microseconds) is missing where the bare statements have it. Small batches make
up for most of it by sharing statements, large ones cannot.

In `query`, rows across the seam are below their aim, and what is missing is known. Such a query takes 350 ms of
processor time in raw DuckDB and its Postgres, and 530 ms here, where 30 ms are the fixed cost. About 50 ms are
decoding: the wheels of the ADBC driver since 1.9.0 are compiled without optimisation, and take 70 ms for 200,000
hot rows where 1.8.0 takes 22. With 1.8.0 it is 420 ms, a ratio of 0.83; it is not used because the TLS library in
it is of April 2024. About 50 ms more are pages of memory (94 MB) that the kernel clears for a process that runs
one query and ends, where a warm DuckDB has its own. Memory kept ready for each waiting process would be the price
of these.

Machine of this run: {machine}.

| bench | measure | ratio | aim | ours | bare | unit | note |
|---|---|---|---|---|---|---|---|
"""


def run(name: str) -> list[dict[str, object]]:
    """The measures of one bench; raises CalledProcessError where it fails, so that no figure is made up."""
    sys.stderr.write(f"== {name}\n")
    finished = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{name}"],
        stdout=subprocess.PIPE,
        check=True,
        timeout=TIMEOUT_SECONDS,
        text=True,
    )
    said = [json.loads(line) for line in finished.stdout.splitlines() if line.startswith("{")]
    return [line for line in said if "measure" in line]  # beside them are logs of what is measured


def _figure(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
    return "" if value is None else str(value)


def _row(measure: dict[str, object]) -> str:
    cells = (measure.get(key) for key in ("bench", "measure", "ratio", "aim", "ours", "raw", "unit", "note"))
    return "| " + " | ".join(_figure(cell) for cell in cells) + " |"


def main(names: list[str]) -> None:
    """Run `names` (all where empty), print their table, and keep it where all ran."""
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        sys.exit(f"no bench {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
    rows = [_row(measure) for name in names or BENCHES for measure in run(name)]
    uname = platform.uname()
    machine = f"{os.cpu_count()} cores, {uname.system} {uname.machine}, Python {platform.python_version()}"
    page = HEAD.format(machine=machine) + "\n".join(rows) + "\n"
    sys.stdout.write(page)
    if not names:
        PAGE.write_text(page)


if __name__ == "__main__":
    main(sys.argv[1:])
