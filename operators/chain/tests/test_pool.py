"""Which provider of a pool is used, which is left alone and for how long, and what is said when none is left."""

from __future__ import annotations

import re

import httpx
import pytest

from operators.chain.confirm import Block, Verdict, verdict
from operators.chain.faults import Kind, ProviderFault
from operators.chain.head import hashes
from operators.chain.pool import CHAIN_ID_SECONDS, WATCH_SECONDS, ProviderPool
from operators.chain.provider import Provider
from operators.chain.standing import FORGIVEN_SECONDS, LAG_BLOCKS, STALL_SECONDS, Standing
from operators.chain.tests.providers import Chain, Clock, pool_of
from tests.support.waiting import until

DOWN = httpx.Response(503)
UNKNOWN = httpx.Response(200, json={"code": -32000, "message": "header not found"})
LIMITED = httpx.Response(429, headers={"Retry-After": "30"})


def used(pool: ProviderPool) -> str:
    return pool.with_failover(lambda provider: (provider.call("eth_chainId"), provider.name)[1])


def fault_of(pool: ProviderPool) -> ProviderFault:
    with pytest.raises(ProviderFault) as fault:
        used(pool)
    return fault.value


def made_up(_provider: Provider) -> None:
    raise ProviderFault("block 11: made up")


def watched(pool: ProviderPool, clock: Clock) -> None:
    """Let the pool look at every provider's head."""
    clock.now += WATCH_SECONDS
    pool.watch()
    until(lambda: not pool._watched, "every head is looked at")


def test_the_next_provider_is_used_when_one_fails_and_stays_in_use() -> None:
    first, second, clock = Chain(), Chain(), Clock()
    first.refusal = DOWN
    pool = pool_of(first, second, clock=clock)
    assert used(pool) == "provider 1"
    first.refusal = None
    clock.now += 1000
    assert used(pool) == "provider 1"


def test_a_provider_that_fails_is_left_alone_for_longer_each_time_within_a_bound() -> None:
    only, clock = Chain(), Clock()
    only.refusal = DOWN
    pool = pool_of(only, clock=clock)
    waits = []
    for _ in range(9):
        waits.append(fault_of(pool).retry_after or 0)
        assert fault_of(pool).retry_after == waits[-1], "it is not asked meanwhile"
        clock.now += waits[-1]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert len(only.calls) == 9
    only.refusal = None
    assert used(pool) == "provider 0"
    clock.now += FORGIVEN_SECONDS + 1
    only.refusal = DOWN
    assert fault_of(pool).retry_after == 0.5, "it starts anew after a while without a fault"


@pytest.mark.parametrize("asked_for", ["0", "1"])
def test_an_outage_that_asks_to_be_asked_again_at_once_is_left_alone_for_longer_each_time(asked_for: str) -> None:
    only, clock = Chain(), Clock()
    only.refusal = httpx.Response(503, headers={"Retry-After": asked_for})
    pool = pool_of(only, clock=clock)
    waits = []
    for _ in range(9):
        waits.append(fault_of(pool).retry_after or 0)
        clock.now += waits[-1]
    assert waits[-3:] == [30, 30, 30]
    assert len(only.calls) == 9


def test_a_provider_that_is_left_alone_is_not_forgiven_for_a_late_answer() -> None:
    standing = Standing()
    limit = ProviderFault("too many", Kind.RATE_LIMITED, retry_after=300.0)
    standing.failed(limit, 10.0)
    standing.answered(10.0 + FORGIVEN_SECONDS + 1)
    assert standing.fault is limit, "it is what the pool says of a provider that it may not ask"
    standing.answered(310.0 + FORGIVEN_SECONDS + 1)
    assert standing.fault is None


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (httpx.Response(401, text="invalid api key"), Kind.NOT_AUTHORISED),
        (httpx.Response(308), Kind.MOVED),
        (None, Kind.WRONG_CHAIN),
    ],
    ids=str,
)
def test_what_a_person_must_mend_condemns_one_provider_for_minutes_and_not_for_ever(
    refusal: httpx.Response | None, kind: Kind
) -> None:
    bad, good, clock = Chain(chain_id=5 if refusal is None else 1), Chain(), Clock()
    bad.refusal = refusal
    pool = pool_of(bad, good, clock=clock)
    assert used(pool) == "provider 1"
    assert pool.standings()[0][1].fault.kind is kind
    good.refusal = DOWN
    clock.now += 4.9
    assert len(bad.calls) == 1
    with pytest.raises(ProviderFault, match=r"^provider 0: .*; provider 1: HTTP 503: unreachable"):
        used(pool)
    for _ in range(10):
        clock.now += fault_of(pool).retry_after or 0
    assert pool.standings()[0][1].out_until - clock.now <= 300
    bad.refusal, bad.chain_id = None, 1
    clock.now += 300
    assert used(pool) == "provider 0", "once it is mended it is used again"


def test_a_provider_of_another_chain_answers_nothing_but_its_chain_id() -> None:
    other, clock = Chain(chain_id=5), Clock()
    pool = pool_of(other, Chain(), clock=clock)
    for _ in range(5):
        clock.now += 400
        pool.with_failover(lambda provider: hashes(provider, [1]))
        watched(pool, clock)
    assert set(other.calls) == {"eth_chainId"}
    assert [one.name for one in pool.usable()] == ["provider 1"]


def test_every_provider_of_another_chain_is_a_fault_that_names_them() -> None:
    fault = fault_of(pool_of(Chain(chain_id=5), Chain(chain_id=6)))
    assert fault.kind is Kind.WRONG_CHAIN
    assert "provider 0: wrong chain: it serves chain 5, not 1" in str(fault)
    assert "provider 1: wrong chain: it serves chain 6, not 1" in str(fault)


def test_a_chain_id_is_believed_for_a_while() -> None:
    only, clock = Chain(), Clock()
    pool = pool_of(only, clock=clock)
    for _ in range(3):
        pool.with_failover(lambda provider: hashes(provider, [1]))
    assert only.calls.count("eth_chainId") == 1
    clock.now += CHAIN_ID_SECONDS
    only.chain_id = 5
    assert fault_of(pool).kind is Kind.WRONG_CHAIN


def test_a_limit_pauses_its_provider_alone_and_for_as_long_as_it_says() -> None:
    limited, other, clock = Chain(), Chain(), Clock()
    limited.refusal = LIMITED
    pool = pool_of(limited, other, clock=clock)
    for _ in range(10):
        assert used(pool) == "provider 1"
    assert len(limited.calls) == 1
    other.refusal = LIMITED
    fault = fault_of(pool)
    assert (fault.kind, fault.retry_after) == (Kind.RATE_LIMITED, 30)
    clock.now += 29
    asked = len(limited.calls) + len(other.calls)
    assert fault_of(pool).retry_after == 1, "the caller gets the soonest time"
    assert len(limited.calls) + len(other.calls) == asked
    limited.refusal = None
    clock.now += 1
    assert used(pool) == "provider 0"


@pytest.mark.parametrize(
    "refusal",
    [{"code": 4444, "message": "pruned history unavailable"}, {"code": -32000, "message": "header not found"}],
    ids=str,
)
def test_a_block_that_one_does_not_have_is_asked_of_another_without_blame(refusal: dict[str, object]) -> None:
    pool = pool_of(Chain(), Chain())

    def request(provider: Provider) -> str:
        if provider.name == "provider 0":
            raise provider._refused(200, {}, refusal, ["eth_getBlockByNumber"], False)
        return provider.name

    assert pool.with_failover(request) == "provider 1"
    assert used(pool) == "provider 0"
    with pytest.raises(ProviderFault, match="provider 0") as fault:
        pool_of(Chain()).with_failover(request)
    assert fault.value.retry_after is None


MISSING = {"code": -32601, "message": "the method does not exist"}
PRUNED = {"code": 4444, "message": "pruned history unavailable"}


@pytest.mark.parametrize(("refusal", "kind"), [(MISSING, Kind.METHOD_MISSING), (PRUNED, Kind.PRUNED)], ids=str)
def test_what_a_provider_can_never_answer_is_asked_of_every_other_at_once(
    refusal: dict[str, object], kind: Kind
) -> None:
    tried: list[str] = []

    def request(provider: Provider) -> str:
        tried.append(provider.name)
        if provider.name != able:
            raise provider._refused(200, {}, refusal, ["eth_getBlockByNumber"], False)
        return provider.name

    able = "provider 8"
    assert pool_of(*[Chain()] * 9).with_failover(request) == "provider 8"
    able = "none"
    tried.clear()
    with pytest.raises(ProviderFault) as fault:
        pool_of(*[Chain()] * 9).with_failover(request)
    assert fault.value.kind is kind
    assert tried == [f"provider {number}" for number in range(9)], "each of them once"


def test_a_request_asks_each_provider_once() -> None:
    tried: list[str] = []

    def request(provider: Provider) -> None:
        tried.append(provider.name)
        raise ProviderFault(f"number {len(tried)}")

    with pytest.raises(ProviderFault, match="provider 0: malformed: number 1; provider 1: malformed: number 2"):
        pool_of(Chain(), Chain()).with_failover(request)
    assert tried == ["provider 0", "provider 1"]


def test_a_pool_of_many_says_what_some_of_them_said() -> None:
    chains = [Chain(chain_id=5) for _ in range(6)]
    pool = pool_of(*chains)
    for _ in range(2):
        fault = fault_of(pool)
    assert "provider 3" in str(fault)
    assert str(fault).endswith("; and 2 more")


def test_threads_that_saw_one_provider_fail_move_on_once() -> None:
    pool = pool_of(Chain(), Chain(), Chain())
    failed = pool.current()
    pool.rotate(failed)
    pool.rotate(failed)
    assert pool.current().name == "provider 1"
    standing = Standing()
    for _ in range(4):
        standing.failed(ProviderFault("down", Kind.UNREACHABLE), 10.0)
    assert (standing.faults, standing.out_until) == (1, 10.5)


def test_the_head_comes_with_the_hash_at_the_tip() -> None:
    pool = pool_of(Chain())
    seen = [pool.head(tip) for tip in (None, 5, 9)]
    assert [(one.number, one.block_hash, one.at_tip) for one in seen] == [
        (7, "7", None),
        (7, "7", "5"),
        (7, "7", None),
    ]


def test_hashes_leave_out_heights_the_chain_lacks() -> None:
    pool = pool_of(Chain(height=100))
    assert hashes(pool.current(), range(30, 110)) == {n: str(n) for n in range(30, 101)}


@pytest.mark.parametrize(("claimed", "head"), [(7, 7), (8, 7), (10, 6), (1_000_000, 6), (2**60, 6)])
def test_a_head_counts_once_its_provider_answers_for_the_block(claimed: int, head: int) -> None:
    """A made-up head does not stop a follower that is at block 2: it goes on to a block that is there."""
    liar = Chain()
    liar.claimed = claimed
    assert pool_of(liar).head(2).number == head


def test_a_head_without_any_block_above_the_tip_is_no_head() -> None:
    liar = Chain()
    liar.claimed = 100
    with pytest.raises(ProviderFault, match="says that its head is block 100, and does not have it") as fault:
        pool_of(liar).head(7)
    assert fault.value.kind is Kind.NOT_THERE_YET


def test_a_head_near_the_known_one_costs_one_request_and_two_in_doubt() -> None:
    chain = Chain()
    pool = pool_of(chain)
    pool.head(6)
    before = len(chain.calls)
    chain.height = 7 + LAG_BLOCKS
    assert pool.head(7).number == chain.height
    assert len(chain.calls) - before == 2, "latest, and the tip"
    pool.head(7, doubt=True)
    assert len(chain.calls) - before == 5


def test_a_provider_that_lags_is_left_for_a_better_one_and_the_head_is_the_best() -> None:
    slow, fast, clock = Chain(height=10), Chain(height=10 + LAG_BLOCKS), Clock()
    pool = pool_of(slow, fast, clock=clock)
    assert (pool.head(None).number, pool.best_head) == (10, 10)
    watched(pool, clock)
    assert pool.best_head == 10 + LAG_BLOCKS
    assert pool.current().name == "provider 0", "a few blocks are no reason"
    fast.height += 1
    watched(pool, clock)
    assert pool.head(None).number == 11 + LAG_BLOCKS
    assert pool.current().name == "provider 1"
    slow.height = 200
    watched(pool, clock)
    assert pool.current().name == "provider 0"


def test_a_provider_that_stands_still_while_another_goes_on_is_left() -> None:
    still, going, clock = Chain(height=10), Chain(height=10), Clock()
    pool = pool_of(still, going, clock=clock)
    pool.head(None)
    clock.now += STALL_SECONDS + 1
    watched(pool, clock)
    assert pool.current().name == "provider 0", "a chain that stands still as a whole is no fault of one"
    going.height = 11
    watched(pool, clock)
    assert pool.current().name == "provider 1"


def test_a_head_of_a_provider_that_fails_is_forgotten() -> None:
    liar, honest, clock = Chain(height=1000), Chain(height=10), Clock()
    pool = pool_of(honest, liar, clock=clock)
    pool.head(None)
    watched(pool, clock)
    assert pool.current().name == "provider 1"
    with pytest.raises(ProviderFault):
        pool.ask(pool.current(), made_up)
    assert (pool.best_head, pool.current().name) == (10, "provider 0")
    clock.now += 1
    assert (pool.best_head, pool.current().name) == (10, "provider 0"), "also when it may be asked again"


def test_heads_are_looked_at_only_as_often_as_needed() -> None:
    first, second, clock = Chain(), Chain(), Clock()
    pool = pool_of(first, second, clock=clock)
    watched(pool, clock)
    before = len(first.calls) + len(second.calls)
    for _ in range(10):
        pool.watch()
    until(lambda: not pool._watched)
    assert len(first.calls) + len(second.calls) == before
    alone = Chain()
    watched(pool_of(alone, clock=clock), clock)
    assert alone.calls == [], "there is nothing to compare a single provider with"


def test_urls_are_exchanged_and_what_is_known_of_those_that_stay_is_kept() -> None:
    first, second, third, clock = Chain(), Chain(), Chain(), Clock()
    first.refusal = httpx.Response(401)
    pool = pool_of(first, second, third, clock=clock)
    assert used(pool) == "provider 1"
    assert not pool.use(["http://0", "http://1", "http://2"])
    kept = pool.current()
    assert pool.use(["http://2", "http://1", "http://1"])
    assert [one.name for one, _, _ in pool.standings()] == ["provider 0", "provider 1"]
    assert (pool.current() is kept, kept.name, second.calls.count("eth_chainId")) == (True, "provider 1", 2)
    second.refusal = third.refusal = DOWN
    assert str(fault_of(pool)).startswith("provider 0: HTTP 503")
    pool.use(["http://1", "http://2"])
    assert re.match("provider 0: HTTP 503.*; provider 1: HTTP 503", str(fault_of(pool)))
    third.refusal = None
    clock.now += 1
    pool.use(["http://2"])
    assert used(pool) == "provider 0"
    pool.use([])
    assert "holds no http(s) URL" in str(fault_of(pool))


def test_a_corrected_url_is_used_at_once() -> None:
    wrong, right = Chain(chain_id=5), Chain()
    pool = pool_of(wrong, right)
    pool.use(["http://0"])
    assert fault_of(pool).kind is Kind.WRONG_CHAIN
    pool.use(["http://1"])
    assert used(pool) == "provider 0"


OLD, NEW = Block(7, "7"), Block(7, "7b")


def branch(height: int = 7, refusal: httpx.Response | None = None, **more: object) -> Chain:
    chain = Chain(height=height, **more)  # type: ignore[arg-type]
    chain.refusal = refusal
    return chain


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], Verdict.CONFIRMED),
        ([branch(branch="b")], Verdict.CONFIRMED),
        ([branch()], Verdict.DENIED),
        ([branch(height=6)], Verdict.PENDING),
        ([branch(refusal=DOWN)], Verdict.CONFIRMED),
        ([branch(chain_id=5)], Verdict.CONFIRMED),
        ([branch(), branch(branch="b")], Verdict.CONFIRMED),
        ([branch(), branch()], Verdict.DENIED),
        ([branch(height=6), branch(branch="b")], Verdict.CONFIRMED),
        ([branch(height=6), branch()], Verdict.DENIED),
    ],
)
def test_a_reorg_is_voted_on_by_the_providers_that_can_know(others: list[Chain], expected: Verdict) -> None:
    pool = pool_of(branch(branch="b"), *others)
    pool.head(None)
    assert verdict(pool, NEW, OLD)[0] is expected


SHORTER = Block(5, "5b")


def came_from(branch_left: Chain, *hashes_left: str) -> Chain:
    branch_left.side = set(hashes_left)
    return branch_left


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (branch(), Verdict.DENIED),
        (branch(height=6), Verdict.PENDING),
        (branch(height=5, branch="b"), Verdict.PENDING),
        (branch(height=6, branch="b"), Verdict.PENDING),
        (branch(height=7, branch="b"), Verdict.CONFIRMED),
        (came_from(branch(height=5, branch="b"), "7"), Verdict.CONFIRMED),
        (came_from(branch(height=6, branch="c"), "7"), Verdict.DENIED),
        (branch(height=4, branch="b"), Verdict.PENDING),
        (branch(refusal=UNKNOWN), Verdict.PENDING),
        (branch(refusal=DOWN), Verdict.CONFIRMED),
    ],
    ids=[
        "has the old tip",
        "lags on the old branch",
        "lags on the new branch",
        "lags on the new branch and is above its end",
        "is as far on the new branch",
        "has left the old tip",
        "has left the old tip for a third branch",
        "lags below the fork",
        "has no such block",
        "is away",
    ],
)
def test_that_the_chain_became_shorter_is_voted_on_by_those_that_have_been_at_the_old_tip(
    other: Chain, expected: Verdict
) -> None:
    pool = pool_of(came_from(branch(height=5, branch="b"), "7"), other)
    assert verdict(pool, SHORTER, OLD)[0] is expected


def test_a_reorg_that_nobody_answers_for_is_not_confirmed() -> None:
    """Of several providers; the followed one may be the one that has just failed."""
    pool = pool_of(branch(refusal=DOWN), branch(refusal=DOWN))
    assert verdict(pool, NEW, OLD) == (Verdict.PENDING, ["provider 0", "provider 1"])


def test_a_provider_that_stays_behind_on_the_old_chain_does_not_deny_for_ever() -> None:
    clock = Clock()
    pool = pool_of(Chain(height=8 + LAG_BLOCKS, branch="b"), Chain(height=7), clock=clock)
    pool.head(None)
    watched(pool, clock)
    assert verdict(pool, NEW, OLD) == (Verdict.PENDING, ["provider 1"])
