"""A hot transaction proves what it writes: rows in their range, empties beside them, a position with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.integration.operators.workbench import Dataset, JobUnderTest
from tests.services import Databases
from traceplane_sdk import copyrows, hot
from traceplane_sdk.columns import ColumnType
from traceplane_sdk.errors import OperatorError, StaleLease
from traceplane_sdk.operator import Column, OutputSchema, Storage

pytestmark = pytest.mark.services
Connection = psycopg.Connection[Any]


def numbers(name: str, sparse: bool) -> Dataset:
    columns = (Column("n", ColumnType.INT64), Column("note", ColumnType.TEXT))
    return Dataset(name, OutputSchema(Storage.POSTGRES, columns, ("n",), "n", ("n",), sparse=sparse))


@pytest.fixture
def job(databases: Databases) -> JobUnderTest:
    """A job with an output of every value, `whole`, and one of some, `some`."""
    made = JobUnderTest("any", {}, [numbers("whole", False), numbers("some", True)])
    for dataset in made.outputs:
        dataset.provision(databases.data_dsn)
    return made


@pytest.fixture
def connection(databases: Databases) -> Iterator[Connection]:
    """As a worker logs in."""
    with psycopg.connect(databases.writer_dsn, autocommit=True) as opened:
        yield opened


def rows(connection: Connection, dataset: Dataset) -> list[int]:
    return [n for (n,) in connection.execute(f"select n from {dataset.location} order by n").fetchall()]


def empties(connection: Connection, job: JobUnderTest, low: int = 0, high: int = 1000) -> list[tuple[int, int]]:
    return hot.empty_ranges(connection, job.dataset("some").version, low, high)


@pytest.mark.parametrize("stray", [4, 21, -1, 999_999, True, "15", 15.0, None])
def test_a_row_outside_of_its_batch_is_refused_and_nothing_is_written(
    connection: Connection, job: JobUnderTest, stray: Any
) -> None:
    task = job.claim(1, {"kind": "source"}).task
    with pytest.raises(OperatorError) as refused, hot.fenced(connection, task) as transaction:
        transaction.replace("whole", 5, 20, [(7, "x"), (stray, "y")])
    assert (refused.value.code, refused.value.retryable) == ("RowOutsideRange", True)
    assert rows(connection, job.dataset("whole")) == []


def test_an_encoder_that_lets_a_row_in_is_found_by_the_statement(
    connection: Connection, job: JobUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second proof, with the first one taken away: a text that adds a row, and one that hides it again."""
    task = job.claim(1, {"kind": "source"}).task
    for text in ("7\tx\n999999\ty\n", "999999\tx\n"):
        monkeypatch.setattr(copyrows, "encode_rows", lambda _columns, _rows, text=text: [text])
        with pytest.raises(OperatorError, match="1 rows were sent"), hot.fenced(connection, task) as transaction:
            transaction.replace("whole", 5, 20, [(7, "x")])
        assert rows(connection, job.dataset("whole")) == []


def test_outputs_replaced_together_hold_their_rows_of_the_range_and_keep_the_others(
    connection: Connection, job: JobUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = job.claim(1, {"kind": "source"}).task
    whole, some = job.dataset("whole"), job.dataset("some")
    with hot.fenced(connection, task) as transaction:
        transaction.replace_all(
            0, 20, {"whole": [(n, "") for n in range(21)], "some": [(1, ""), (9, ""), (15, "")]}
        )
        transaction.record_empty("some", 5, 8)
    with hot.fenced(connection, task) as transaction:
        transaction.replace_all(5, 20, {"whole": [(5, "")], "some": [(6, ""), (7, "")]})
    assert (rows(connection, whole), rows(connection, some)) == ([0, 1, 2, 3, 4, 5], [1, 6, 7])
    assert empties(connection, job) == []
    monkeypatch.setattr(copyrows, "encode_rows", lambda columns, given: [f"{given[0][0]}\tx\n999\ty\n"])
    wrong = "whole: 1 rows were sent, 2 arrived, and 0-20 holds 1"
    with pytest.raises(OperatorError, match=wrong), hot.fenced(connection, task) as transaction:
        transaction.replace_all(0, 20, {"some": [], "whole": [(7, "x")]})
    assert (rows(connection, whole), rows(connection, some)) == ([0, 1, 2, 3, 4, 5], [1, 6, 7])


@pytest.mark.parametrize("text", ["zero\x00byte", "lone \ud800 surrogate"])
def test_text_that_postgres_does_not_take_is_an_error_of_the_value(
    connection: Connection, job: JobUnderTest, text: str
) -> None:
    task = job.claim(1, {"kind": "source"}).task
    with pytest.raises(OperatorError) as refused, hot.fenced(connection, task) as transaction:
        transaction.replace("whole", 0, 9, [(1, text)])
    assert refused.value.code == "BadValue"
    assert rows(connection, job.dataset("whole")) == []


def test_what_was_recorded_as_empty_is_read_clipped_and_a_repeat_changes_nothing(
    connection: Connection, job: JobUnderTest
) -> None:
    task = job.claim(1, {"kind": "source"}).task
    for _ in range(2):
        with hot.fenced(connection, task) as transaction:
            transaction.replace("some", 0, 9, [(n, "") for n in (0, 1, 5, 6, 7)])
            transaction.record_empty("some", 2, 4)
            transaction.record_empty("some", 8, 9)
    assert empties(connection, job) == [(2, 4), (8, 9)]
    assert empties(connection, job, 3, 8) == [(3, 4), (8, 8)]
    assert empties(connection, job, 5, 7) == []


@pytest.mark.parametrize(
    ("low", "high", "left"),
    [
        (10, 19, []),
        (0, 100, []),
        (12, 15, [(10, 11), (16, 19)]),
        (0, 12, [(13, 19)]),
        (15, 40, [(10, 14)]),
        (10, 10, [(11, 19)]),
        (20, 30, [(10, 19)]),
        (0, 9, [(10, 19)]),
    ],
)
def test_rewriting_a_range_forgets_exactly_what_was_empty_in_it(
    connection: Connection, job: JobUnderTest, low: int, high: int, left: list[tuple[int, int]]
) -> None:
    task = job.claim(1, {"kind": "source"}).task
    with hot.fenced(connection, task) as transaction:
        transaction.record_empty("some", 10, 19)
        transaction.record_empty("some", 200, 200)
    with hot.fenced(connection, task) as transaction:
        transaction.replace("some", low, high, [])
    assert empties(connection, job) == [*left, (200, 200)]


def test_empties_of_another_version_stay(connection: Connection, databases: Databases) -> None:
    jobs = [JobUnderTest("any", {}, [numbers("some", True)]) for _ in range(2)]
    for one in jobs:
        one.outputs[0].provision(databases.data_dsn)
        with hot.fenced(connection, one.claim(1, {"kind": "source"}).task) as transaction:
            transaction.record_empty("some", 10, 19)
    with hot.fenced(connection, jobs[0].claim(1, {"kind": "source"}).task) as transaction:
        transaction.delete("some", 0, 100)
    assert [empties(connection, one) for one in jobs] == [[], [(10, 19)]]


def test_only_a_sparse_output_has_empties(connection: Connection, job: JobUnderTest) -> None:
    task = job.claim(1, {"kind": "source"}).task
    with pytest.raises(OperatorError, match="whole"), hot.fenced(connection, task) as transaction:
        transaction.record_empty("whole", 1, 2)


def test_a_position_commits_with_its_rows_or_not_at_all(connection: Connection, job: JobUnderTest) -> None:
    task = job.claim(1, {"kind": "source"}).task
    with hot.fenced(connection, task) as transaction:
        transaction.replace("whole", 0, 9, [(1, "")])
    assert hot.committed_position(connection, task) is None, "rows of a release that kept none"
    with hot.fenced(connection, task) as transaction:
        transaction.position(9)
    assert hot.committed_position(connection, task) == 9
    with pytest.raises(OperatorError), hot.fenced(connection, task) as transaction:  # noqa: PT012
        transaction.position(20)
        transaction.replace("whole", 10, 20, [(21, "")])
    assert hot.committed_position(connection, task) == 9


def test_what_is_final_is_committed_with_the_position_and_never_goes_back(
    connection: Connection, job: JobUnderTest
) -> None:
    older, newer = (job.claim(epoch, {"kind": "source"}).task for epoch in (1, 2))
    assert hot.committed_final(connection, older) is None
    for final, kept in [(None, None), (5, 5), (3, 5), (None, 5), (8, 8)]:
        with hot.fenced(connection, older) as transaction:
            transaction.position(9, final)
        assert hot.committed_final(connection, older) == kept
    with hot.fenced(connection, newer):
        pass
    with pytest.raises(StaleLease), hot.fenced(connection, older) as transaction:
        transaction.position(20, 20)
    assert hot.committed_final(connection, newer) == 8


def test_a_position_outlives_the_lease_and_is_not_moved_by_an_older_one(
    connection: Connection, job: JobUnderTest
) -> None:
    older, newer = (job.claim(epoch, {"kind": "source"}).task for epoch in (1, 2))
    with hot.fenced(connection, older) as transaction:
        transaction.position(9)
    with hot.fenced(connection, newer):
        pass
    assert hot.committed_position(connection, newer) == 9
    with pytest.raises(StaleLease), hot.fenced(connection, older) as transaction:
        transaction.position(20)
    assert hot.committed_position(connection, newer) == 9


def test_a_position_is_forgotten_where_a_release_that_keeps_none_wrote_after_it(
    connection: Connection, job: JobUnderTest
) -> None:
    first, last = (job.claim(epoch, {"kind": "source"}).task for epoch in (1, 3))
    with hot.fenced(connection, first) as transaction:
        transaction.position(9)
    connection.execute("update trace.write_fences set epoch = 2, updated_at = now()")
    with hot.fenced(connection, last):
        pass
    assert hot.committed_position(connection, last) is None
    with hot.fenced(connection, last) as transaction:
        transaction.position(12)
    assert hot.committed_position(connection, last) == 12
