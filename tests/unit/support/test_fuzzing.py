"""A run of made-up tries ends in time, says what it found, and leaves nothing open."""

from __future__ import annotations

import pytest

from tests.support import fuzzing


def run(made: list[str | None], closed: list[int], seconds: float) -> int:
    def problems(seed: int) -> fuzzing.Problems:
        try:
            while True:
                yield from made
        finally:
            closed.append(seed)

    return fuzzing.main(problems, ["--seed", "7", "--seconds", str(seconds)])


@pytest.mark.parametrize(("problem", "code", "said"), [(None, 0, ""), ("1 instead of 2", 1, "1 instead of 2\n")])
def test_a_run_tells_its_seed_and_what_was_wrong_and_closes_what_was_open(
    problem: str | None, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    closed: list[int] = []
    assert run([problem], closed, 0) == code
    assert closed == [7]
    assert capsys.readouterr().out == f"seed 7\n{said}1 statements, {code} problems\n"


def test_a_run_goes_on_until_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(fuzzing.time, "monotonic", lambda: float(next(clock)))
    assert run([None, "wrong"], [], 4) == 1
    assert capsys.readouterr().out.endswith("4 statements, 2 problems\n")
