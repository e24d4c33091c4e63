"""A test on real parts that fails is run once more. When it passes then it is reported as flaky.

Real servers on a busy machine fail a test now and then, and a run of twenty minutes should not be lost to one. It
should not hide one either: a flaky test is a defect, of the product or of the test. It is named in the last lines
of the run with the file of its first failure, which is in the output, too; and more than a few fail the run.
pytest-rerunfailures runs the test and the fixtures that failed again; the report is made here. Under pytest-xdist
the workers run and the process that started them reports.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

MARKERS = ("cluster", "services", "apiserver")
"""Tests on real parts."""
STAGES = ("cluster", "patient", "services")
"""Stages of `make test` that run at one time, each with its own report: a test is of the first it is marked as."""
ALLOWED = 2
"""Flaky tests of one run. More are no accident: the machine is too small, or something is broken."""
SUMMARY = "summary"


class Flaky:
    """Runs what fails once more, keeps first failures in the stage's folder in `folder`, and reports them last.

    `summary` in it has the lines of the newest run with such tests, and is empty where none was flaky.
    """

    def __init__(self, folder: Path, *, reports: bool = True) -> None:
        self._root = folder
        self._reports = reports
        self._folder: Path | None = None
        self._first: dict[str, Path] = {}
        self._failed: set[str] = set()

    @property
    def flaky(self) -> dict[str, Path]:
        """Tests that failed first and passed then, each with the file of its first failure."""
        return {name: path for name, path in self._first.items() if name not in self._failed}

    # When deselection is over: a run without these tests, beside the one with them, leaves the report alone.
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if any(item.get_closest_marker(marker) for marker in MARKERS):
                item.add_marker(pytest.mark.flaky(reruns=1))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self._reports or not any(marker in report.keywords for marker in MARKERS):
            return
        folder = self._folder or self._begin(next((s for s in STAGES if s in report.keywords), STAGES[-1]))
        if report.outcome == "rerun":  # type: ignore[comparison-overlap]  # what pytest-rerunfailures calls it
            path = folder / (re.sub(r"[^\w.-]+", "_", report.nodeid)[-200:] + ".txt")
            # A test that fails in its call and again in its teardown says both.
            with path.open("a") as file:
                file.write(text_of(report))
            self._first[report.nodeid] = path
        elif report.failed:
            self._failed.add(report.nodeid)

    def _begin(self, stage: str) -> Path:
        """The stage's folder, without what an earlier run left in it."""
        self._folder = self._root / stage
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.iterdir():
            old.unlink()
        return self._folder

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if len(self.flaky) > ALLOWED and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    # Outermost, so that what follows the yield comes after pytest's own summaries: the last lines are read.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> object:
        for name, path in self._first.items():
            terminalreporter.section(f"first failure of {name}")
            terminalreporter.write(path.read_text())
        result = yield
        lines = self.lines()
        for line in lines:
            terminalreporter.write_line(line, yellow=True)
        if self._folder is not None:
            (self._folder / SUMMARY).write_text("".join(f"{line}\n" for line in lines))
        return result

    def lines(self) -> list[str]:
        """What the end of the run says."""
        found = [f"FLAKY {name}: failed, and passed when run again; first failure: {path}"
                 for name, path in self.flaky.items()]  # fmt: skip
        if len(found) > ALLOWED:
            found.append(f"FLAKY {len(found)} tests, and a run with more than {ALLOWED} fails")
        return found


def text_of(report: pytest.TestReport) -> str:
    """A failure with everything that was captured until then."""
    parts = [f"{report.when} of {report.nodeid}\n{report.longreprtext}"]
    parts += [f"---- {title} ----\n{text}" for title, text in report.sections]
    return "\n".join(parts) + "\n"
