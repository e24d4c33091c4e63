"""Rules that every test keeps.

No test pauses for a fixed time, however it is spelled: only `tests/support/waiting.py` sleeps. What several tests
share lives in a module of its own: a test module that others import cannot be renamed, divided or run alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import ROOT

# Benches pace a load, which is their subject, and prove nothing by it.
NOT_TESTS = (ROOT / "tests" / "bench", ROOT / "tests" / "support" / "waiting.py")
_CLOCKS = {"monotonic", "perf_counter", "time"}
_BLOCKING = {"wait", "wait_for", "acquire", "join", "get"}


def pauses(source: str) -> Iterator[str]:
    """Where a program waits for time to pass, as `line: what`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and (how := _pause(node)):
            yield f"{node.lineno}: {how}"
        elif isinstance(node, ast.While) and _asks_the_clock(node.test):
            yield f"{node.lineno}: a loop until the clock says so"


def _pause(call: ast.Call) -> str | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "sleep" and not (call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0):
        return "sleep"  # asyncio.sleep(0) lets other tasks go on, and takes no time
    if name in _BLOCKING and isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
        made = call.func.value.func
        kind = made.attr if isinstance(made, ast.Attribute) else getattr(made, "id", "")
        # Only what is made on the spot: nobody else knows it, so nothing but the time can end the wait.
        if kind in {"Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier", "Queue", "SimpleQueue"}:
            return f"{kind}().{name}, which nobody can end"
    nothing = [isinstance(one, ast.List) and not one.elts for one in call.args[:3]]
    return "select on nothing" if name == "select" and nothing and all(nothing) else None


def _asks_the_clock(test: ast.expr) -> bool:
    return any(isinstance(node, ast.Attribute) and node.attr in _CLOCKS for node in ast.walk(test))


def files() -> list[Path]:
    found = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "operators").rglob("tests/**/*.py")]
    return [path for path in found if not any(path.is_relative_to(other) for other in NOT_TESTS)]


def test_no_test_waits_for_time_to_pass() -> None:
    assert len(files()) > 100
    found = [f"{path.relative_to(ROOT)}:{pause}" for path in files() for pause in pauses(path.read_text())]
    assert not found, "wait with tests.support.waiting.until"


@pytest.mark.parametrize(
    "program",
    [
        "time.sleep(1)",
        "sleep(seconds)",
        "asyncio.sleep(0.1)",
        "threading.Event().wait(0.02)",
        "Queue().get(timeout=1)",
        "select.select([], [], [], 1)",
        "while time.monotonic() < end: pass",
    ],
)
def test_every_spelling_of_a_pause_is_found(program: str) -> None:
    assert list(pauses(program))


@pytest.mark.parametrize(
    "program", ["asyncio.sleep(0)", "came.wait(20)", "until(lambda: came)", "select.select([s], [], [], 1)"]
)
def test_a_wait_for_something_is_none(program: str) -> None:
    assert not list(pauses(program))


def borrowed(source: str) -> Iterator[str]:
    """Imports of a test module, as `line: module`."""
    for node in ast.walk(ast.parse(source)):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (
            f"{node.lineno}: {module}" for module in modules if module.rpartition(".")[2].startswith("test_")
        )


def test_no_test_takes_its_helpers_from_another() -> None:
    found = [f"{path.relative_to(ROOT)}:{one}" for path in files() for one in borrowed(path.read_text())]
    assert not found, "move what is shared to a module of its own"


def test_every_form_of_such_an_import_is_found() -> None:
    assert len(list(borrowed("from tests.a.test_b import c\nimport tests.a.test_b\nfrom .test_b import c"))) == 3
