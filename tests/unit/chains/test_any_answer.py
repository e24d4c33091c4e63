"""Whatever a provider answers, a batch is the right decoding of it within its range, or the provider's fault.

Any JSON at all, and every mutation of a right answer, of every profile. The right decoding is `oracle`'s, which
shares no code with the follower's: what it does not accept may not become a row either.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.chain.faults import ProviderFault
from operators.chain.fetch import Batch
from operators.chain.schemas import OUTPUTS
from tests.support.chains import CHAINS, Shape
from tests.support.chains.direct import fetcher_of
from tests.support.chains.mutations import any_json, mutate, mutations, places
from tests.support.chains.oracle import accepts
from tests.support.fake_chain import FakeChain

FIRST, LAST = 2, 3
SHAPES = sorted(CHAINS)
common = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


class Answers:
    """Answers of a chain's node, of which one kind is changed; and what was answered last."""

    def __init__(self, shape: Shape, method: str, change: Any) -> None:
        self.method, self._change = method, change
        self._lie = shape.manners.lie or (lambda _method, _params, result: result)
        self.said: dict[str, list[Any]] = {}

    def __call__(self, method: str, params: list[Any], result: Any) -> Any:
        result = self._lie(method, params, result)
        if method == self.method and result is not None:
            result = self._change(copy.deepcopy(result))
        self.said.setdefault(method, []).append(result)
        return result


@cache
def chain_named(name: str) -> FakeChain:
    return CHAINS[name].chain(LAST + 1)


def chain(shape: Shape) -> FakeChain:
    return chain_named(next(name for name, one in CHAINS.items() if one is shape))


def fetched(shape: Shape, answers: Answers) -> Batch | None:
    """The batch, or None for a fault; any other exception is a defect, and passes."""
    try:
        return fetcher_of(shape, chain(shape), answers).batch(FIRST, LAST)
    except ProviderFault as error:
        fault = str(error)
    assert fault
    assert not {"\0", "\t", "\n", "\ud800"} & set(fault)
    return None


def holds(shape: Shape, batch: Batch, answers: Answers) -> None:
    """Every row is within the range, and what the answer says."""
    for output in OUTPUTS:
        assert all(type(row[0]) is int and FIRST <= row[0] <= LAST for row in batch.rows[output])
    accepts(batch, answers.said)


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getTransactionReceipt"])
@pytest.mark.parametrize("name", SHAPES)
@common
@given(data=st.data())
def test_any_json_is_refused_or_decoded(name: str, method: str, data: st.DataObject) -> None:
    shape = CHAINS[name]
    said = data.draw(any_json)
    answers = Answers(shape, method, lambda _result: said)
    if (batch := fetched(shape, answers)) is not None:
        holds(shape, batch, answers)


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getBlockReceipts"])
@pytest.mark.parametrize("name", SHAPES)
@common
@given(data=st.data())
def test_any_mutation_of_a_right_answer_is_refused_or_decoded(name: str, method: str, data: st.DataObject) -> None:
    shape = CHAINS[name]
    seeds = data.draw(st.lists(mutations, min_size=1, max_size=3))
    at = data.draw(st.integers(0, LAST - FIRST))
    seen = iter(range(1000))

    def change(result: Any) -> Any:
        return mutate(result, seeds) if next(seen) == at else result

    answers = Answers(shape, method, change)
    if (batch := fetched(shape, answers)) is not None:
        holds(shape, batch, answers)


TEXTS = ["0x\t1\n999999\t0xab", "0x1\\N", "0x\0", "\\.", "0x00\r\n", "\ud800"]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
@pytest.mark.parametrize("name", SHAPES)
def test_text_that_would_end_a_field_or_a_row_is_refused_or_kept_in_every_place(name: str, text: str) -> None:
    shape = CHAINS[name]
    for method, path in places(shape):
        answers = Answers(shape, method, lambda result, path=path: path.set(result, text))
        batch = fetched(shape, answers)
        if batch is not None:
            holds(shape, batch, answers)
