"""Each statement of the page 'Questions and their SQL' has the answer that the node's own JSON gives."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest

from tests import services
from tests.integration.query.conftest import Client, running, service_over
from tests.integration.query.questions import facts, oracle, page, research
from tests.integration.query.world import World
from tests.issuer import issuer

QUESTIONS = page.questions()


@dataclass(frozen=True)
class Research:
    """A service over a chain, and what the chain's node says."""

    client: Client
    facts: facts.Facts

    def answer(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of an answer that is whole."""
        response = self.client.post(sql, format="arrow")
        assert response.status_code == 200, response.text
        table = pa.ipc.open_stream(io.BytesIO(response.content)).read_all()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.fixture(scope="module")
def asked(
    postgres: services.Postgres, object_store: services.ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Research]:
    """One for all questions: they change nothing."""
    databases, folder = postgres.databases(), tmp_path_factory.mktemp("research")
    world = World(databases, object_store, object_store.bucket())
    with issuer() as oidc, research.chain() as node, running() as started:
        research.store(world, node, folder)
        world.user(oidc.url, "alice", "reader")
        yield Research(service_over(world, oidc, folder / "cache", started), facts.Facts.of(node))
    world.close()
    postgres.drop(databases)


def test_the_page_has_24_questions_and_each_is_answered_here() -> None:
    assert len(QUESTIONS) == 24
    assert list(oracle.ANSWERS) == list(QUESTIONS)


@pytest.mark.services
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_has_the_answer_of_the_node(asked: Research, question: str) -> None:
    expected = oracle.ANSWERS[question](asked.facts)
    answer = asked.answer(QUESTIONS[question])
    assert expected
    assert len(answer) == len(expected)
    assert [row for row, truth in zip(answer, expected, strict=True) if not alike(row, truth)] == [], expected


def alike(found: Any, truth: Any) -> bool:
    """Equal, but for the last digits of a DOUBLE."""
    if isinstance(truth, (tuple, list)):
        return len(found) == len(truth) and all(map(alike, found, truth))
    return math.isclose(found, truth, rel_tol=1e-12) if isinstance(truth, float) else bool(found == truth)
