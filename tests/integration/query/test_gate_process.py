"""The gate's process: what a statement does to it harms no other statement and no other caller."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.query import entries
from tests.integration.query.callers import ask, in_flight, reader
from tests.integration.query.cells import assert_one_socket_and_no_log, logged
from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from tests.issuer import Issuer
from tests.support.waiting import until
from traceplane.errors import Overloaded, Unavailable
from traceplane.query.gate import allowlist, process, supervisor
from traceplane.query.gate.statement import Refusal
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
    """A started one that lets one statement wait behind the one being checked."""
    monkeypatch.setattr(supervisor, "MAX_WAITING", 1)
    made = GateSupervisor()
    made.start()
    yield made
    made.close()


def outcome(running: GateSupervisor, sql: str) -> str:
    try:
        running.check(sql)
    except Refusal as refusal:
        return refusal.code
    return "Admitted"


def parser_process(running: GateSupervisor) -> int:
    """The process that parses: the only child of the one that was started."""
    assert running._process is not None
    parent = running._process.pid
    (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(child)


def test_the_process_answers_as_the_gate_does(running: GateSupervisor) -> None:
    found = running.check("SELECT * FROM Blocks b JOIN research.Prices p ON true")
    assert found == allowlist.check("SELECT * FROM Blocks b JOIN research.Prices p ON true")
    for sql in ("SELECT 'éé', read_csv('x')", "", "DROP TABLE x", "SELECT ("):
        with pytest.raises(Refusal) as here:
            allowlist.check(sql)
        with pytest.raises(Refusal) as there:
            running.check(sql)
        assert vars(there.value) == vars(here.value)


@pytest.mark.parametrize("sql", BOMBS, ids=["deep", "wide", "rollup"])
def test_a_statement_that_becomes_too_large_is_refused_and_the_next_one_is_checked(
    running: GateSupervisor, sql: str
) -> None:
    assert len(sql) < 2000
    assert outcome(running, sql) in ("QueryTooComplex", "Admitted" if sql == ROLLUPS else "")
    assert outcome(running, "SELECT 1") == "Admitted"


@pytest.mark.parametrize("depth", range(13, 19))
def test_a_statement_that_runs_out_of_memory_is_too_complex_and_not_invalid(
    running: GateSupervisor, depth: int
) -> None:
    """Whatever runs out first: the parser, what writes its tree, or what reads it."""
    assert outcome(running, nested_case(depth)) in ("Admitted", "QueryTooComplex")


def test_the_process_cannot_grow_beyond_its_memory_limit(running: GateSupervisor) -> None:
    running.start()
    before = address_space(parser_process(running))
    limits = Path(f"/proc/{parser_process(running)}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
    assert int(line.split()[3]) - before <= process.MEMORY_BYTES


def test_the_process_has_no_credential_no_log_and_one_socket(running: GateSupervisor) -> None:
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


@contextmanager
def supervising(entry: Callable[[int, str], None]) -> Iterator[GateSupervisor]:
    """One whose process runs `entry`."""
    made = GateSupervisor(f"{entry.__module__}:{entry.__name__}")
    try:
        yield made
    finally:
        made.close()


def test_a_process_that_cannot_confine_itself_logs_that_and_serves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = entries.gate_that_cannot_be_confined
    with supervising(entry) as running, logged(monkeypatch, supervisor) as log, pytest.raises(Unavailable):
        running.start()
    assert log() == "the gate's process: ZeroDivisionError\n"


def test_a_process_that_is_taken_over_writes_nothing_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    with logged(monkeypatch, supervisor) as log, supervising(entries.gate_that_is_taken_over) as running:
        assert outcome(running, "SELECT 1") == "QueryTooComplex"
    assert log() == ""


def test_a_process_that_ended_is_replaced(running: GateSupervisor) -> None:
    running.start()
    first = parser_process(running)
    os.kill(first, signal.SIGKILL)
    running._process.wait()  # type: ignore[union-attr]
    assert outcome(running, "SELECT 1") == "Admitted"
    assert parser_process(running) != first


def test_a_process_that_gets_no_processor_time_is_unavailable_and_replaced(
    running: GateSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement is not refused: nothing is wrong with it."""
    running.start()
    first = parser_process(running)
    with monkeypatch.context() as change:
        change.setattr(supervisor, "REPLY_SECONDS", 0.2)
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(Unavailable, match="no processor time"):
            running.check("SELECT 1")
    assert outcome(running, "SELECT 1") == "Admitted"
    assert parser_process(running) != first


def test_a_statement_that_takes_too_much_processor_time_is_refused(
    running: GateSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "CPU_SECONDS", 0.0)
    monkeypatch.setattr(supervisor, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(supervisor, "REPLY_SECONDS", 600.0)
    assert outcome(running, nested_case(13)) == "QueryTooComplex"


def test_a_process_that_used_up_its_processor_time_is_replaced_between_statements() -> None:
    """The kernel would end it in the middle of one."""
    with supervising(entries.gate_that_has_used_its_processor_time) as running:
        for sql, expected in (("SELECT 1", "Admitted"), ("SELECT 2", "Admitted"), ("DROP TABLE x", "NotOneSelect")):
            assert outcome(running, sql) == expected
            assert running._process is None


def test_admitted_statements_are_remembered_up_to_a_bound(
    running: GateSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "REMEMBERED", 2)
    for n in (1, 2, 1, 3):
        running.check(f"SELECT {n}")
    assert list(running._remembered) == ["SELECT 1", "SELECT 3"]
    os.kill(parser_process(running), signal.SIGSTOP)  # it is not asked again
    assert outcome(running, "SELECT 3") == "Admitted"


async def test_more_statements_than_may_wait_are_refused_as_overload(cramped: GateSupervisor) -> None:
    with cramped._process_lock:
        waiting = [asyncio.create_task(cramped.check_in_thread(f"SELECT {n}")) for n in range(2)]
        await asyncio.sleep(0)  # both run as far as they can
        with pytest.raises(Overloaded):
            await cramped.check_in_thread("SELECT 3")
    assert [found.relations for found in await asyncio.gather(*waiting)] == [(), ()]


async def test_a_disconnected_caller_frees_no_place_while_its_statement_is_checked(cramped: GateSupervisor) -> None:
    """Its statement is in the queue still: to send one and disconnect must not make the queue longer."""
    with cramped._process_lock:
        checked_now = asyncio.create_task(cramped.check_in_thread("SELECT 1"))
        await asyncio.sleep(0)
        await asyncio.to_thread(until, cramped._pool._threads._work_queue.empty)  # its thread is busy with it
        checked_now.cancel()
        waiting = asyncio.create_task(cramped.check_in_thread("SELECT 2"))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await cramped.check_in_thread("SELECT 3")
    assert (await waiting).relations == ()


def test_without_a_process_the_gate_is_unavailable_until_there_is_one(
    running: GateSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(supervisor.subprocess, "Popen", none_left)
    with pytest.raises(Unavailable):
        running.check("SELECT 1")
    monkeypatch.undo()
    assert outcome(running, "SELECT 1") == "Admitted"


def test_after_close_nothing_is_checked_and_no_process_is_left() -> None:
    made = GateSupervisor()
    made.start()
    pid = parser_process(made)
    made.close()
    with pytest.raises(Unavailable):
        made.check("SELECT 1")
    assert not Path(f"/proc/{pid}").exists()


def test_others_are_answered_while_a_statement_takes_too_much(start_service: Callable[..., Client]) -> None:
    client = start_service()
    assert client.rows("SELECT 1") == [[1]]
    with ThreadPoolExecutor(2) as pool:
        bombs = [pool.submit(client.refused, sql) for sql in BOMBS[:2]]
        for _ in range(5):
            assert httpx.get(f"{client.url}/healthz", timeout=60).status_code == 200
            assert client.rows("SELECT 1") == [[1]]
        assert {bomb.result() for bomb in bombs} == {(400, "QueryTooComplex")}
    assert client.rows("SELECT 2") == [[2]]


def test_statements_are_checked_in_the_order_of_query_slots(
    world: World, oidc: Issuer, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many that take too much delay their own caller only."""
    alice = warm(start_service(query_concurrency=2, query_timeout_seconds=600))
    bob, admission, running = reader(world, oidc, alice, "bob"), alice.service.admission, alice.service.supervisor
    order, real = [], running._ask_process
    monkeypatch.setattr(running, "_ask_process", lambda asked: (order.append(asked.sql), real(asked))[1])
    with ExitStack() as requests, ThreadPoolExecutor(1) as pool:
        with running._process_lock:  # as if the first one took as long as this
            for waiting, padding in enumerate((" ", "  ", "   ", "    "), start=-1):
                requests.enter_context(in_flight(alice, BOMBS[0] + padding))
                until(lambda waiting=waiting: admission.running + admission.waiting == waiting + 2)
            of_bob = pool.submit(bob.rows, "SELECT 2")
            until(lambda: admission.waiting == 3)
        assert of_bob.result() == [[2]]
        assert order[:3] == [BOMBS[0] + " ", BOMBS[0] + "  ", "SELECT 2"]


def test_a_remembered_statement_does_not_wait_for_the_gate(start_service: Callable[..., Client]) -> None:
    client = warm(start_service(query_concurrency=2))
    service = client.service
    with (
        service.supervisor._process_lock,
        in_flight(client, "SELECT 2"),
        in_flight(client, "SELECT 3", mode="batch"),
    ):
        until(lambda: (service.admission.running, service.submission._checks.running) == (1, 1))
        assert client.rows("SELECT 1") == [[1]]
        assert client.post("SELECT 1", mode="batch").status_code == 202


def test_the_check_counts_against_the_time_limit_of_a_query(start_service: Callable[..., Client]) -> None:
    client = warm(start_service())
    with client.service.supervisor._process_lock:
        assert client.refused("SELECT 2", timeout_seconds=0.1) == (408, "QueryTimeout")
    assert client.service.admission.running == 0


def test_a_caller_that_disconnects_during_the_check_frees_its_slot(
    start_service: Callable[..., Client],
) -> None:
    client = warm(start_service(query_concurrency=1))
    admission = client.service.admission
    with client.service.supervisor._process_lock:
        with in_flight(client, "SELECT 2"):
            until(lambda: admission.running == 1)
        until(lambda: admission.running == 0)
    assert client.rows("SELECT 3") == [[3]]


def test_submitted_batch_queries_delay_no_interactive_query(
    world: World, oidc: Issuer, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them at a time is with the gate: other queries, and requests for results, do not wait for the rest."""
    alice = warm(start_service())
    bob, service = reader(world, oidc, alice, "bob"), alice.service
    checks, admission = service.submission._checks, service.admission
    order, real = [], service.supervisor._ask_process
    monkeypatch.setattr(service.supervisor, "_ask_process", lambda asked: (order.append(asked.sql), real(asked))[1])

    def submit(number: int) -> Any:
        return alice.refused(f"DROP TABLE t{number}", mode="batch")

    with ThreadPoolExecutor(7) as pool:
        with service.supervisor._process_lock:
            submitted = [pool.submit(submit, number) for number in range(6)]
            until(lambda: (checks.running, checks.waiting) == (1, 5))
            assert ask(alice, "GET", str(uuid4())).status_code == 404
            of_bob = pool.submit(bob.rows, "SELECT 2")
            until(lambda: admission.running == 1)
            until(lambda: service.supervisor._pool._threads._work_queue.qsize() == 1)  # behind one of alice's
        assert of_bob.result() == [[2]]
        assert {refused.result() for refused in submitted} == {(400, "NotOneSelect")}
    assert order[1] == "SELECT 2"


def warm(client: Client) -> Client:
    """A service whose gate has started: that takes the lock that a test is about to hold."""
    assert client.rows("SELECT 1") == [[1]]
    return client


def address_space(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
