"""What a follower does after a failure: how long it waits, what ends it, and what it says of itself meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from operators.block_follower import run
from operators.block_follower.confirmation import CONFIRM_SECONDS, Confirmation
from operators.block_follower.measures import MEASURES
from operators.block_follower.position import Tip
from operators.block_follower.reporting import STILL_SECONDS, Health, Reporter
from operators.block_follower.tests.context import Ctx
from operators.block_follower.urls import URLS_SECONDS, Urls
from operators.chain.faults import Kind, ProviderFault
from operators.chain.profiles import never_rests
from operators.chain.tests.providers import Chain, Clock, pool_of
from traceplane_sdk.context import STALL_SECONDS
from traceplane_sdk.database import DatabaseUnavailable
from traceplane_sdk.errors import OperatorError, Stopped


class Failing:
    """A follower whose every step fails."""

    def __init__(self, error: Exception) -> None:
        self.reporter = SimpleNamespace(failed=lambda _words: None, show=lambda: None)
        self.error = error
        self.steps = 0

    def start(self) -> None:
        pass

    def step(self) -> bool:
        self.steps += 1
        raise self.error


def keep_following(ctx: Ctx, error: Exception, monkeypatch: pytest.MonkeyPatch) -> Failing:
    monkeypatch.setattr(run.time, "monotonic", ctx.clock)
    follower, pool = Failing(error), SimpleNamespace(use=lambda _urls: False)
    run._keep_following(ctx, follower, Urls(ctx, pool, ["http://0"]))  # type: ignore[arg-type]
    return follower


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProviderFault("no", Kind.UNREACHABLE), "ProviderUnavailable"),
        (ProviderFault("no", Kind.MALFORMED), "ProviderUnavailable"),
        (DatabaseUnavailable("no"), "DataUnavailable"),
    ],
    ids=str,
)
def test_many_failures_in_a_row_end_an_attempt(
    error: Exception, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = Ctx()
    with pytest.raises(OperatorError, match="40 failures in a row, the last: no") as ended:
        keep_following(ctx, error, monkeypatch)
    assert ended.value.code == code
    assert 600 < ctx.clock.now - 1000 < 1800


@pytest.mark.parametrize(
    "kind", [Kind.RATE_LIMITED, Kind.NOT_AUTHORISED, Kind.WRONG_CHAIN, Kind.MOVED, Kind.PRUNED]
)
def test_what_only_time_or_a_person_mends_ends_nothing(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = Ctx(waits=2_000)
    with pytest.raises(Stopped):
        keep_following(ctx, ProviderFault("no", kind), monkeypatch)
    failed = [fields for event, fields in ctx.logged if event == "following failed"]
    assert len(failed) > run.MAX_FAILURES
    assert failed[-1]["wait"] > run.BACKOFF_LIMIT / 2, "it asks ever more seldom"


@pytest.mark.parametrize(("retry_after", "wait"), [(7.0, 7.0), (0.0, 0.25), (300.0, run.BACKOFF_LIMIT)])
def test_the_next_try_is_when_a_provider_may_be_asked(retry_after: float, wait: float) -> None:
    assert run._delay(ProviderFault("no", Kind.RATE_LIMITED, retry_after=retry_after), 3) == wait


def test_waiting_ends_when_the_urls_change(monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = Ctx()
    monkeypatch.setattr(run.time, "monotonic", ctx.clock)
    pool = pool_of(Chain(), clock=ctx.clock)
    urls = Urls(ctx, pool, ["http://0"])  # type: ignore[arg-type]
    shown: list[float] = []
    follower: Any = SimpleNamespace(reporter=SimpleNamespace(show=lambda: shown.append(ctx.clock.now)))
    run._wait(ctx, follower, urls, 9.0)  # type: ignore[arg-type]
    assert ctx.clock.waited == [2, 2, 2, 2, 1]
    assert len(shown) == 5, "the state is reported meanwhile"
    ctx.io.rpc_urls = lambda _pool: ["http://1"]
    run._wait(ctx, follower, urls, 30.0)  # type: ignore[arg-type]
    assert len(ctx.clock.waited) == 6
    assert not urls.read(), "while all goes well, not so often"
    ctx.clock.now += URLS_SECONDS
    ctx.io.rpc_urls = lambda _pool: ["http://0"]
    assert urls.read()


def test_a_secret_of_no_use_leaves_the_pool_as_it_is_and_is_logged_once() -> None:
    def refuse(_pool: str) -> Sequence[str]:
        raise OperatorError("NoProvider", "one URL a line")

    ctx = Ctx()
    ctx.io.rpc_urls = refuse
    pool = pool_of(Chain(), clock=ctx.clock)
    urls = Urls(ctx, pool, ["http://0"])  # type: ignore[arg-type]
    assert not any([urls.read(every=0), urls.read(every=0)])
    assert [event for event, _ in ctx.logged] == ["the provider URLs cannot be read again"]
    assert pool.current().url == "http://0"


@pytest.mark.parametrize(
    ("age", "position", "head", "healthy", "message"),
    [
        (STALL_SECONDS - 1, 5, 9, True, "follows chain 1 by the rules"),
        (
            STALL_SECONDS + 1,
            5,
            9,
            False,
            "no progress for more than 60 s: HTTP 401 (block 5 is stored, the head is",
        ),
        (STALL_SECONDS + 1, None, None, False, "HTTP 401 (nothing is stored yet, the head is not known)"),
    ],
)
def test_a_follower_is_healthy_while_things_go_well(
    age: float, position: int | None, head: int | None, healthy: bool, message: str
) -> None:
    health = Health(100.0, "chain 1 by the rules")
    health.position, health.head, health.fault = position, head, "HTTP 401"
    report = health.report(100.0 + age)
    assert (report.healthy, report.position, report.head) == (healthy, position, head)
    assert message in report.message
    health.went_well(1000.0, has_all=False)
    again = health.report(1000.0 + STALL_SECONDS - 1)
    assert (again.healthy, again.holds) == (True, 1)
    assert not health.report(1000.0 + STALL_SECONDS).healthy, "then, by its own word as by that of others"


def test_a_follower_that_seldom_looks_is_not_stuck_between_two_looks() -> None:
    ctx, clock = Ctx(), Clock()
    reporter = Reporter(ctx, pool_of(Chain()), sleeps=600, rules="", clock=clock)  # type: ignore[arg-type]
    clock.now += 601
    reporter.show()
    assert ctx.measures["source_healthy"] == 1
    clock.now += 60
    reporter.show()
    assert ctx.measures["source_healthy"] == 0
    assert [report.healthy for report in ctx.reports] == [True, False]
    assert [event for event, _ in ctx.logged] == ["providers", "source is stuck"]


def test_a_follower_that_has_the_head_says_so_before_it_sleeps_however_fast_it_got_there() -> None:
    ctx, clock = Ctx(), Clock()
    reporter = Reporter(ctx, pool_of(Chain()), sleeps=600, rules="", clock=clock)  # type: ignore[arg-type]
    reporter.at(8, 9)
    reporter.show()
    reporter.at(9, 9)
    reporter.went_well()
    assert (ctx.reports[-1].position, ctx.reports[-1].head) == (9, 9)


def test_the_head_of_a_public_chain_may_not_stand_still_for_long() -> None:
    health = Health(0.0, "chain 1 by the rules", position=9, head=9, never_rests=True)
    resting = Health(0.0, "a development chain", position=9, head=9)
    for now in (100.0, 100.0 + STILL_SECONDS, 101.0 + STILL_SECONDS):
        health.went_well(now, has_all=True)
        resting.went_well(now, has_all=True)
    assert health.report(100.0 + STILL_SECONDS).healthy
    assert resting.report(101.0 + STILL_SECONDS).healthy
    report = health.report(101.0 + STILL_SECONDS)
    assert not report.healthy
    assert "no provider has had a new block for more than 300 s (block 9 is stored" in report.message
    health.went_well(500.0, has_all=False)  # a block was written
    health.went_well(501.0, has_all=True)
    assert health.report(501.0).healthy


@pytest.mark.parametrize(("chain_id", "public"), [(1, True), (42161, True), (31337, False), (987654321, False)])
def test_only_public_chains_that_are_known_never_rest(chain_id: int, public: bool) -> None:
    assert never_rests(chain_id) is public


def test_the_kind_of_a_providers_fault_is_measured_until_it_is_another_or_the_provider_leaves() -> None:
    def held() -> set[str]:
        prefix = "source_provider_fault{"
        return {name.removeprefix(prefix) for name, one in ctx.measures.items() if one and name.startswith(prefix)}

    def refuse(_provider: object) -> None:
        raise ProviderFault("HTTP 429", Kind.RATE_LIMITED)

    ctx, clock = Ctx(), Clock()
    pool = pool_of(Chain(), Chain(), clock=clock)
    reporter = Reporter(ctx, pool, sleeps=1, rules="", clock=clock)  # type: ignore[arg-type]
    reporter.show()
    with pytest.raises(ProviderFault):
        pool.ask(pool.standings()[1][0], refuse)
    clock.now += 1
    reporter.show()
    assert held() == {"provider=0}{kind=none}", "provider=1}{kind=rate limited}"}
    pool.use(["http://0"])
    clock.now += 1
    reporter.show()
    assert held() == {"provider=0}{kind=none}"}


def test_of_a_provider_that_has_left_nothing_is_measured_any_more() -> None:
    ctx, clock = Ctx(), Clock()
    pool = pool_of(Chain(), Chain(), clock=clock)
    reporter = Reporter(ctx, pool, sleeps=1, rules="", clock=clock)  # type: ignore[arg-type]
    for provider, _, _ in pool.standings():
        pool.ask(provider, lambda one: pool._head(one, None))
    for standing in pool.standings():
        standing[0].pace.rate = 5.0
        standing[0].size.limit = 10
    reporter.show()
    shown = {name for name in ctx.measures if "{provider=1}" in name}
    assert {name.partition("{")[0] for name in shown} == {
        name for name in MEASURES if name.startswith("source_provider_")
    }
    pool.use(["http://0"])
    clock.now += 1
    reporter.show()
    assert not [name for name in ctx.measures if "{provider=1}" in name]
    assert len([name for name in ctx.measures if "{provider=0}" in name]) == len(shown)


def test_a_head_that_is_not_known_any_more_is_not_measured() -> None:
    ctx, clock = Ctx(), Clock()
    pool = pool_of(Chain(), clock=clock)
    reporter = Reporter(ctx, pool, sleeps=1, rules="", clock=clock)  # type: ignore[arg-type]
    pool.head(None)
    reporter.show()
    assert ctx.measures["source_provider_head_block{provider=0}"] == 7
    pool.standings()[0][1].failed(ProviderFault("down", Kind.UNREACHABLE), clock.now)
    clock.now += 1
    reporter.show()
    assert "source_provider_head_block{provider=0}" not in ctx.measures


def test_a_reorg_waits_for_a_bounded_time_for_providers_that_lag() -> None:
    ctx, slow, clock = Ctx(), Chain(height=6), Clock()
    pool = pool_of(Chain(branch="b"), slow, clock=clock)
    failed: list[str] = []
    reporter: Any = SimpleNamespace(failed=failed.append)
    confirmation = Confirmation(ctx, pool, reporter, clock)  # type: ignore[arg-type]
    ask: Callable[[], bool] = lambda: confirmation.of(Tip(7, "7b"), Tip(7, "7"))  # noqa: E731
    assert not ask()
    clock.now += CONFIRM_SECONDS - 1
    assert not ask()
    assert ctx.measures["source_reorg_unconfirmed_seconds"] == CONFIRM_SECONDS - 1
    assert failed == ["a reorg at block 7 is pending: provider 1"] * 2
    clock.now += 1
    assert ask()
    confirmation.over()
    slow.height = 7  # now it can know, and denies for as long as it wants
    assert not ask()
    assert pool.current().name == "provider 1", "which can be followed meanwhile"
    clock.now += CONFIRM_SECONDS
    assert not ask()
    assert [fields["verdict"] for _, fields in ctx.logged] == ["pending", "pending", "denied"]
