"""The gate's process: what a statement does to it happens to nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.query.callers import ask, in_flight, reader
from tests.integration.query.cells import BREAKING_OUT, assert_one_socket_and_no_log, logged
from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from tests.issuer import Issuer
from tests.support.waiting import until
from traceplane.errors import Overloaded, Unavailable
from traceplane.query.gate import allowlist, process, supervisor
from traceplane.query.gate.allowlist import Refusal
from traceplane.query.gate.supervisor import GateSupervisor

pytestmark = pytest.mark.services


def nested_case(depth: int, whens: int = 2) -> str:
    """The parser writes the operand of a CASE once for each WHEN: the size is a power of `whens`."""
    expression = "1"
    for _ in range(depth):
        expression = f"CASE {expression} {'WHEN 1 THEN 1 ' * whens}END"
    return f"SELECT {expression}"


ROLLUPS = "SELECT 1 GROUP BY " + ", ".join([f"ROLLUP({', '.join('c' + str(n) for n in range(38))})"] * 3)
BOMBS = [nested_case(24), nested_case(20, 4), ROLLUPS]


@pytest.fixture
def running() -> Iterator[GateSupervisor]:
    made = GateSupervisor()
    yield made
    made.close()


@pytest.fixture
def cramped(monkeypatch: pytest.MonkeyPatch) -> Iterator[GateSupervisor]:
    """One that runs, and lets one statement wait behind the one that is judged."""
    monkeypatch.setattr(supervisor, "MAX_WAITING", 1)
    made = GateSupervisor()
    made.start()
    yield made
    made.close()


def judged(running: GateSupervisor, sql: str) -> str:
    try:
        running.judge(sql)
    except Refusal as refusal:
        return refusal.code
    return "Admitted"


def parser_process(running: GateSupervisor) -> int:
    """The process that parses: the only child of the one that was started."""
    assert running._process is not None
    parent = running._process.pid
    (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(child)


def test_it_says_what_the_gate_says(running: GateSupervisor) -> None:
    found = running.judge("SELECT * FROM Blocks b JOIN research.Prices p ON true")
    assert found == allowlist.judge("SELECT * FROM Blocks b JOIN research.Prices p ON true")
    for sql in ("SELECT 'éé', read_csv('x')", "", "DROP TABLE x", "SELECT ("):
        with pytest.raises(Refusal) as here:
            allowlist.judge(sql)
        with pytest.raises(Refusal) as there:
            running.judge(sql)
        assert vars(there.value) == vars(here.value)


@pytest.mark.parametrize("sql", BOMBS, ids=["deep", "wide", "rollup"])
def test_a_statement_that_becomes_too_much_is_refused_and_the_next_one_is_judged(
    running: GateSupervisor, sql: str
) -> None:
    assert len(sql) < 2000
    assert judged(running, sql) in ("QueryTooComplex", "Admitted" if sql == ROLLUPS else "")
    assert judged(running, "SELECT 1") == "Admitted"


@pytest.mark.parametrize("depth", range(13, 19))
def test_a_statement_that_finds_no_memory_is_never_called_wrong(running: GateSupervisor, depth: int) -> None:
    """Whatever runs out first: the parser, what writes its tree, or what reads it."""
    assert judged(running, nested_case(depth)) in ("Admitted", "QueryTooComplex")


def test_it_does_not_grow_beyond_its_bound(running: GateSupervisor) -> None:
    running.start()
    before = address_space(parser_process(running))
    limits = Path(f"/proc/{parser_process(running)}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
    assert int(line.split()[3]) - before <= process.MEMORY_BYTES


def test_it_has_no_credential_and_reads_and_writes_no_file(running: GateSupervisor) -> None:
    running.start()
    pid = parser_process(running)
    environment = Path(f"/proc/{pid}/environ").read_bytes().decode()
    assert {line.split("=")[0] for line in environment.split("\0") if line} <= {
        "LC_ALL",
        "LC_CTYPE",
        "MALLOC_ARENA_MAX",
    }
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Seccomp:\t2" in status
    assert_one_socket_and_no_log(pid)


def test_one_that_cannot_confine_itself_says_so_in_the_log(
    running: GateSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = "process.confine.confine = lambda *_, **__: 1 / 0; process.main"
    monkeypatch.setattr(supervisor, "_START", supervisor._START.replace("process.main", refusing))
    with logged(monkeypatch, supervisor) as log, pytest.raises(Unavailable):
        running.start()
    assert log() == "the gate's process: ZeroDivisionError\n"


def test_whoever_takes_over_one_writes_nothing_in_the_log(
    running: GateSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = f"{BREAKING_OUT}\nprocess._verdict = breaks_out\nprocess.main"
    monkeypatch.setattr(supervisor, "_START", supervisor._START.replace("; process.main", f"\n{program}"))
    with logged(monkeypatch, supervisor) as log:
        assert judged(running, "SELECT 1") == "QueryTooComplex"
        running.close()
    assert log() == ""


def test_one_that_ended_is_replaced(running: GateSupervisor) -> None:
    running.start()
    first = parser_process(running)
    os.kill(first, signal.SIGKILL)
    running._process.wait()  # type: ignore[union-attr]
    assert judged(running, "SELECT 1") == "Admitted"
    assert parser_process(running) != first


def test_one_that_gets_no_processor_is_an_absence_and_replaced(
    running: GateSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes by the clock: nothing is wrong with the statement."""
    running.start()
    first = parser_process(running)
    with monkeypatch.context() as change:
        change.setattr(supervisor, "WAIT_SECONDS", 0.2)
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(Unavailable, match="no processor time"):
            running.judge("SELECT 1")
    assert judged(running, "SELECT 1") == "Admitted"
    assert parser_process(running) != first


def test_a_statement_may_take_so_much_of_the_processor_and_no_more(
    running: GateSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "JUDGE_SECONDS", 0.0)
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(supervisor, "WAIT_SECONDS", 600.0)
    assert judged(running, nested_case(13)) == "QueryTooComplex"


def test_one_that_has_worked_long_gives_way(running: GateSupervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel would end it in the middle of somebody's statement."""
    monkeypatch.setattr(
        supervisor, "_START", supervisor._START.replace("process.main", "process.CPU_SECONDS = 0; process.main")
    )
    running.start()
    first = parser_process(running)
    assert [judged(running, sql) for sql in ("SELECT 1", "SELECT 2", "DROP TABLE x")] == [
        "Admitted",
        "Admitted",
        "NotOneSelect",
    ]
    assert running._process is None
    assert first


def test_what_was_admitted_is_remembered_and_bounded(
    running: GateSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "REMEMBERED", 2)
    for n in (1, 2, 1, 3):
        running.judge(f"SELECT {n}")
    assert list(running._known) == ["SELECT 1", "SELECT 3"]
    os.kill(parser_process(running), signal.SIGSTOP)  # nobody is asked again
    assert judged(running, "SELECT 3") == "Admitted"


async def test_more_than_may_wait_are_told_to_come_back(cramped: GateSupervisor) -> None:
    with cramped._turn:
        waiting = [asyncio.create_task(cramped.soon(f"SELECT {n}")) for n in range(2)]
        await asyncio.sleep(0)  # both run as far as they can
        with pytest.raises(Overloaded):
            await cramped.soon("SELECT 3")
    assert [found.relations for found in await asyncio.gather(*waiting)] == [(), ()]


async def test_a_client_that_leaves_gives_up_no_place_that_is_taken(cramped: GateSupervisor) -> None:
    """Its statement is in the line still: who asks and leaves must not make the line longer."""
    with cramped._turn:
        judged_now = asyncio.create_task(cramped.soon("SELECT 1"))
        await asyncio.sleep(0)
        await asyncio.to_thread(until, cramped._pool._threads._work_queue.empty)  # its thread is busy with it
        judged_now.cancel()
        waiting = asyncio.create_task(cramped.soon("SELECT 2"))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await cramped.soon("SELECT 3")
    assert (await waiting).relations == ()


def test_no_process_to_be_had_is_an_absence(running: GateSupervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(supervisor.subprocess, "Popen", none_left)
    with pytest.raises(Unavailable):
        running.judge("SELECT 1")
    monkeypatch.undo()
    assert judged(running, "SELECT 1") == "Admitted"


def test_after_its_end_nothing_is_judged_and_no_process_is_left() -> None:
    made = GateSupervisor()
    made.start()
    pid = process(made)
    made.close()
    with pytest.raises(Unavailable):
        made.judge("SELECT 1")
    assert not Path(f"/proc/{pid}").exists()


def test_others_are_answered_while_a_statement_is_too_much(start_service: Callable[..., Client]) -> None:
    client = start_service()
    assert client.rows("SELECT 1") == [[1]]
    with ThreadPoolExecutor(2) as pool:
        bombs = [pool.submit(client.refused, sql) for sql in BOMBS[:2]]
        for _ in range(5):
            assert httpx.get(f"{client.url}/healthz", timeout=60).status_code == 200
            assert client.rows("SELECT 1") == [[1]]
        assert {bomb.result() for bomb in bombs} == {(400, "QueryTooComplex")}
    assert client.rows("SELECT 2") == [[2]]


def test_statements_are_judged_in_the_turns_of_those_who_ask(
    world: World, oidc: Issuer, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many that are too much are in nobody's way but their caller's."""
    alice = warm(start_service(query_concurrency=2, query_timeout_seconds=600))
    bob, admission, running = reader(world, oidc, alice, "bob"), alice.service.admission, alice.service.judges
    order, real = [], running._asked
    monkeypatch.setattr(running, "_asked", lambda sql: (order.append(sql), real(sql))[1])
    with ExitStack() as leaving, ThreadPoolExecutor(1) as pool:
        with running._turn:  # as if the first one took as long as this
            for waiting, padding in enumerate((" ", "  ", "   ", "    "), start=-1):
                leaving.enter_context(in_flight(alice, BOMBS[0] + padding))
                until(lambda waiting=waiting: admission.running + admission.waiting == waiting + 2)
            of_bob = pool.submit(bob.rows, "SELECT 2")
            until(lambda: admission.waiting == 3)
        assert of_bob.result() == [[2]]
        assert order[:3] == [BOMBS[0] + " ", BOMBS[0] + "  ", "SELECT 2"]


def test_a_statement_that_is_known_waits_for_none_that_is_judged(start_service: Callable[..., Client]) -> None:
    client = warm(start_service(query_concurrency=2))
    service = client.service
    with service.supervisor._turn, in_flight(client, "SELECT 2"), in_flight(client, "SELECT 3", mode="batch"):
        until(lambda: (service.admission.running, service.intake._judging.running) == (1, 1))
        assert client.rows("SELECT 1") == [[1]]
        assert client.post("SELECT 1", mode="batch").status_code == 202


def test_being_judged_counts_against_the_time_of_a_query(start_service: Callable[..., Client]) -> None:
    client = warm(start_service())
    with client.service.supervisor._turn:
        assert client.refused("SELECT 2", timeout_seconds=0.1) == (408, "QueryTimeout")
    assert client.service.admission.running == 0


def test_a_client_that_leaves_while_its_statement_is_judged_frees_its_turn(
    start_service: Callable[..., Client],
) -> None:
    client = warm(start_service(query_concurrency=1))
    admission = client.service.admission
    with client.service.supervisor._turn:
        with in_flight(client, "SELECT 2"):
            until(lambda: admission.running == 1)
        until(lambda: admission.running == 0)
    assert client.rows("SELECT 3") == [[3]]


def test_statements_to_be_left_are_in_the_way_of_no_question(
    world: World, oidc: Issuer, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them at a time is with the gate: others and what is known of queries do not wait for the rest."""
    alice = warm(start_service())
    bob, service = reader(world, oidc, alice, "bob"), alice.service
    judging, admission = service.intake._judging, service.admission
    order, real = [], service.supervisor._asked
    monkeypatch.setattr(service.supervisor, "_asked", lambda sql: (order.append(sql), real(sql))[1])

    def leave(number: int) -> Any:
        return alice.refused(f"DROP TABLE t{number}", mode="batch")

    with ThreadPoolExecutor(7) as pool:
        with service.supervisor._turn:
            left = [pool.submit(leave, number) for number in range(6)]
            until(lambda: (judging.running, judging.waiting) == (1, 5))
            assert ask(alice, "GET", str(uuid4())).status_code == 404
            of_bob = pool.submit(bob.rows, "SELECT 2")
            until(lambda: admission.running == 1)
            until(lambda: service.supervisor._pool._threads._work_queue.qsize() == 1)  # behind one of alice's
        assert of_bob.result() == [[2]]
        assert {refused.result() for refused in left} == {(400, "NotOneSelect")}
    assert order[1] == "SELECT 2"


def warm(client: Client) -> Client:
    """A service whose gate has started: it takes the turn that a test is about to hold."""
    assert client.rows("SELECT 1") == [[1]]
    return client


def address_space(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
