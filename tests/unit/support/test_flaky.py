"""Runs of pytest with tests that fail first: what is run again, what is said, and what fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import flaky

CONFTEST = """
from pathlib import Path
import pytest
from tests.support.flaky import Flaky

def pytest_configure(config):
    for marker in ("cluster", "services"):
        config.addinivalue_line("markers", f"{marker}: on real parts")
    reports = not hasattr(config, "workerinput")
    config.pluginmanager.register(Flaky(Path(%r) / "kept", reports=reports))

@pytest.fixture(scope="session")
def tries():
    return {}
"""


def once(name: str) -> str:
    """A test that fails when it is run first, and passes then."""
    return f"""
@pytest.mark.cluster
def test_{name}(tries):
    tries["{name}"] = tries.get("{name}", 0) + 1
    print("what {name} printed,", tries["{name}"])
    assert tries["{name}"] > 1, "the first time"
"""


ALWAYS = """
@pytest.mark.cluster
def test_always():
    assert False, "every time"
"""
ELSEWHERE = """
def test_elsewhere(tries):
    tries["elsewhere"] = tries.get("elsewhere", 0) + 1
    assert tries["elsewhere"] > 1
"""
BAD_SETUP = """
@pytest.fixture(scope="module")
def part(tries):
    tries["part"] = tries.get("part", 0) + 1
    assert tries["part"] > 1, "the part did not start"

@pytest.mark.cluster
def test_with_part(part):
    pass
"""
PASSES = """
@pytest.mark.cluster
def test_passes():
    pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Runs these tests with the options that come last."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(*tests: str, options: tuple[str, ...] = ()) -> pytest.RunResult:
        pytester.makeconftest(CONFTEST % str(pytester.path))
        pytester.makepyfile("import pytest\n" + "\n".join(tests))
        return pytester.runpytest_inprocess("-p", "pytest_rerunfailures", "-q", "-ra", *options)

    return run


def summary(pytester: pytest.Pytester) -> list[str]:
    return Path(pytester.path, "kept", "cluster", flaky.SUMMARY).read_text().splitlines()


def test_what_passes_the_second_time_passes_and_is_named_last(run, pytester: pytest.Pytester) -> None:
    result = run(once("a"), PASSES)
    assert result.ret == pytest.ExitCode.OK
    (line,) = summary(pytester)
    assert "::test_a: failed, and passed when run again" in line
    assert result.outlines[-2:-1] == [line], "only the count of tests comes after it"


def test_its_first_failure_is_shown_and_kept_in_the_file_that_is_named(run, pytester: pytest.Pytester) -> None:
    result = run(once("a"))
    (line,) = summary(pytester)
    kept = Path(line.rpartition(" ")[2]).read_text()
    for text in ("AssertionError: the first time", "what a printed, 1"):
        assert text in kept
        assert text in result.stdout.str()
    assert "what a printed, 2" not in kept


def test_a_fixture_that_fails_is_made_again(run, pytester: pytest.Pytester) -> None:
    assert run(BAD_SETUP).ret == pytest.ExitCode.OK
    assert len(summary(pytester)) == 1


def test_what_fails_twice_fails_and_is_not_flaky(run, pytester: pytest.Pytester) -> None:
    result = run(ALWAYS, once("a"))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert [line for line in summary(pytester) if "always" in line] == []
    result.assert_outcomes(failed=1, passed=1)


@pytest.mark.parametrize(("count", "code"), [(flaky.ALLOWED, pytest.ExitCode.OK), (flaky.ALLOWED + 1, 1)])
def test_more_than_a_few_fail_the_run(run, pytester: pytest.Pytester, count: int, code: int) -> None:
    result = run(*(once(str(number)) for number in range(count)))
    assert result.ret == code
    assert len([line for line in summary(pytester) if "::test_" in line]) == count
    assert (f"FLAKY {count} tests, and a run with more than 2 fails" in summary(pytester)) is (code != 0)


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_services_have_a_report_of_their_own_made_once(run, pytester: pytest.Pytester, workers: str) -> None:
    on_services = once("b").replace("mark.cluster", "mark.services")
    assert run(on_services, options=("-p", "xdist", workers)).ret == pytest.ExitCode.OK
    kept = Path(pytester.path, "kept", "services")
    (line,) = (kept / flaky.SUMMARY).read_text().splitlines()
    assert Path(line.rpartition(" ")[2]).read_text().count("AssertionError: the first time") == 1
    assert not Path(pytester.path, "kept", "cluster").exists()


def test_what_is_not_on_real_parts_is_run_once(run, pytester: pytest.Pytester) -> None:
    assert run(ELSEWHERE, PASSES).ret == pytest.ExitCode.TESTS_FAILED
    assert summary(pytester) == []


def test_a_run_of_other_tests_leaves_the_report_alone(run, pytester: pytest.Pytester) -> None:
    run(once("a"))
    before = summary(pytester)
    run(once("a"), "def test_other(): pass", options=("-m", "not cluster"))
    assert summary(pytester) == before != []


def test_a_run_without_flaky_tests_clears_the_report_of_the_one_before(run, pytester: pytest.Pytester) -> None:
    run(once("a"))
    run(PASSES)
    assert summary(pytester) == []
    assert [path.name for path in Path(pytester.path, "kept", "cluster").iterdir()] == [flaky.SUMMARY]
