"""Every row of the table of wrong manifests is refused by the validation that lint and the controller share."""

import pytest

from tests.wrong.table import Case, cases, right
from traceplane import graph, operator_registry


@pytest.mark.parametrize("case", cases(), ids=str)
def test_is_refused_at_its_field_in_words_that_help(case: Case):
    problems = graph.review([case.document, *case.beside], operator_registry.load()).problems
    told = [problem for problem in problems.get(0, []) if problem.path == case.path]
    assert told, [str(p) for found in problems.values() for p in found]
    assert any(case.message in problem.message for problem in told), [str(p) for p in told]
    assert not set(problems) - {0}, "a right manifest beside it was blamed"


def test_the_manifests_that_rows_change_are_right():
    manifests = right()
    del manifests["bundle"]  # never accepted yet: a row of its own
    assert graph.review(list(manifests.values()), operator_registry.load()).problems == {}


def test_rows_have_names_of_their_own_and_there_are_enough():
    names = [case.name for case in cases()]
    assert len(names) == len(set(names))
    assert len(names) >= 45
