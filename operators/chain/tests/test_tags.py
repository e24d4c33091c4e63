"""What a provider calls final counts only where its block is the chain's."""

from __future__ import annotations

from typing import Any

import pytest

from operators.chain.faults import ProviderFault
from operators.chain.tests.providers import Chain, pool_of


@pytest.mark.parametrize("known", [-1, 4])
@pytest.mark.parametrize("tagged", [None, 5, 7])
def test_a_tag_counts_where_its_block_is_the_one_at_its_height(tagged: int | None, known: int) -> None:
    chain = Chain()
    answer = tagging(chain, tagged, str(tagged))
    assert pool_of(answer).head(5, tag="finalized", final=known).final == tagged


@pytest.mark.parametrize(("tagged", "block_hash"), [(5, "another"), (10**12, "another")])
def test_a_made_up_tag_is_the_provider_s_fault(tagged: int, block_hash: str) -> None:
    with pytest.raises(ProviderFault, match=r"says that block [0-9]+ is finalized, and has not that block there"):
        pool_of(tagging(Chain(), tagged, block_hash)).head(5, tag="finalized")


def test_a_tag_that_is_known_already_costs_no_request() -> None:
    chain = Chain()
    pool = pool_of(tagging(chain, 5, "another"))
    pool.head(7)
    before = len(chain.calls)
    assert pool.head(7, tag="finalized", final=5).final == 5
    assert len(chain.calls) - before == 2, "latest, and the tip"


def tagging(chain: Chain, tagged: int | None, block_hash: str) -> Any:
    """A node that says so of the finalized block, and all else rightly."""

    def answer(calls: list[dict[str, Any]]) -> Any:
        *others, last = calls
        if last["params"][:1] != ["finalized"]:
            return chain(calls)
        shown = None if tagged is None else {"number": hex(tagged), "hash": block_hash}
        return [*chain(others), {"id": last["id"], "result": shown}]

    return answer
