"""`tracectl sql` as a person types at it, against a running query service and user API."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.query.callers import ENDLESS, in_flight
from tests.integration.query.command import tracectl
from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from tests.support.terminal import COLUMNS, LINES, terminal
from tests.support.waiting import until
from traceplane.settings import Settings
from traceplane.userapi.app import app

pytestmark = pytest.mark.services

UP, TAB, CTRL_C, CTRL_D = "\x1b[A", "\t", "\x03", "\x04"


@pytest.fixture
def user_url(world: World, oidc: Any, serve: Callable[[Any], str]) -> str:
    return serve(app(Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url), pytest.fail))


@pytest.fixture
def env(client: Client, user_url: str) -> dict[str, str]:
    return {"TRACE_QUERY_URL": client.url, "TRACE_USER_URL": user_url, "TRACE_TOKEN": client.token}


def canceled(client: Client) -> float:
    """How many queries the service counted as canceled."""
    return (
        client.service.telemetry.registry.get_sample_value(
            "trace_query_seconds_count", {"code": "QueryCanceled", "fault": "user"}
        )
        or 0
    )


def test_statements_of_several_lines_are_answered_with_rows_and_time(
    tmp_path: Path, env: dict[str, str], world: World
) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 2)
    with terminal(tmp_path, **env) as screen:
        screen.line("SELECT block_number AS n, note")
        screen.line("FROM hot_blocks -- not yet;")
        screen.line("ORDER BY n;")
        shown = screen.shows("3 rows in ")
        assert "trace-> FROM hot_blocks" in shown
        assert "0  note 0" in shown
        assert "1  NULL" in shown
        screen.line("SELECT 1 AS one; SELECT 2 AS two;")
        screen.shows("one", "two")
        screen.line("\\timing")
        screen.line("\\x")
        screen.line("SELECT 3 AS three;")
        assert " in " not in screen.shows("── row 1 ──", "three  3", "1 row").rpartition("── row 1 ──")[2]
        screen.type(CTRL_D)
        assert screen.ended() == 0


def test_assets_and_columns_are_listed_and_completed(tmp_path: Path, env: dict[str, str], world: World) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 2)
    with terminal(tmp_path, "-n", "default", **env) as screen:
        screen.line("\\d")
        assert "hot_blocks  Postgres" in screen.shows("description")
        screen.line("\\d hot-blocks")
        screen.shows("hot_blocks (Postgres)", "block_number  Int64", "mined_at")
        screen.line("\\d nothing")
        screen.shows("there is no nothing, or you may not read it")
        screen.type("SELECT count(*) AS many FROM hot_b" + TAB)
        screen.until(lambda shown: shown.endswith("FROM hot_blocks"))
        screen.type(" WHERE block_n" + TAB)
        screen.until(lambda shown: shown.endswith("WHERE block_number"))
        screen.line(" > 0;")
        screen.shows("many", "   2")
        screen.line("\\q")
        assert screen.ended() == 0


def test_history_is_kept_from_session_to_session_for_its_owner_alone(tmp_path: Path, env: dict[str, str]) -> None:
    with terminal(tmp_path, **env) as screen:
        screen.line("SELECT 42 AS\nanswer;")
        screen.shows("answer", "1 row")
        screen.line("\\q")
        assert screen.ended() == 0
    file = tmp_path / ".local" / "state" / "trace" / "sql_history"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    with terminal(tmp_path, **env) as screen:
        screen.type(UP + UP)
        screen.until(lambda shown: "SELECT 42 AS" in shown)
        screen.type("\r")
        screen.shows("answer", "1 row")


def test_ctrl_c_cancels_the_query_and_only_that(tmp_path: Path, env: dict[str, str], client: Client) -> None:
    with terminal(tmp_path, **env) as screen:
        screen.line(f"{ENDLESS};")
        screen.until(lambda shown: "Ctrl-C cancels it" in shown)
        until(lambda: client.service.admission.running == 1)
        assert canceled(client) == 0
        screen.type(CTRL_C)
        screen.shows("canceled")
        until(lambda: canceled(client) == 1)
        assert client.service.admission.running == 0
        screen.type("what is typed")
        screen.until(lambda shown: shown.endswith("what is typed"))
        screen.type(CTRL_C)
        screen.line("SELECT 'still' || ' here' AS said;")
        screen.shows("still here", "1 row")


def test_an_error_shows_its_place_and_ends_nothing(tmp_path: Path, env: dict[str, str], world: World) -> None:
    world.dataset("follow", "Postgres", "hot-blocks")
    with terminal(tmp_path, **env) as screen:
        screen.line("SELECT 1,")
        screen.line("  getenv('HOME');")
        shown = screen.shows("error: function 'getenv' may not be used (FunctionNotAllowed)", "^").splitlines()
        (place,) = (number for number, line in enumerate(shown) if line.startswith("LINE 2:"))
        assert shown[place].index("getenv") == shown[place + 1].index("^")
        screen.line("SELECT nothing FROM default.hot_blocks;")
        screen.shows("(InvalidQuery)", "LINE 1: SELECT nothing FROM")
        screen.line("\\nothing")
        screen.shows("no command \\nothing: \\? lists them")
        screen.line("\\?")
        screen.shows("list what may be asked about")


def test_an_answer_is_shown_without_being_obeyed(tmp_path: Path, env: dict[str, str]) -> None:
    with terminal(tmp_path, **env) as screen:
        screen.line("SELECT chr(27) || '[2J' AS a, [chr(155) || '31m'] AS b, NULL AS c, 'NULL' AS d, '' AS e;")
        screen.shows("SELECT chr(27)", r'"\u001b[2J"', r'["\u009b31m"]', 'NULL  "NULL"  ""')


def test_what_is_taller_or_wider_than_the_screen_goes_through_the_pager(
    tmp_path: Path, env: dict[str, str]
) -> None:
    with terminal(tmp_path, **env) as screen:
        screen.line("SELECT range AS n FROM range(500);")
        screen.until(lambda shown: shown.splitlines()[-1:] == [":"])  # less waits
        assert "\n 20\n" in screen.screen
        screen.type("G")
        screen.until(lambda shown: "499" in shown)
        screen.type("q")
        screen.shows("500 rows in ")
        screen.line(f"SELECT repeat('x', {COLUMNS - 1}) AS a, 'be' || 'yond' AS b;")
        screen.until(lambda shown: "(END)" in shown)
        assert "beyond" not in screen.screen
        screen.type("\x1b)")  # less scrolls right
        screen.until(lambda shown: "beyond" in shown)
        screen.type("q")
        screen.shows("1 row in ")
        screen.line(f"SELECT range AS n FROM range({LINES - 5});")
        screen.shows(f"{LINES - 5} rows in ")
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\nexec wc -l\n")
    pager.chmod(0o755)
    with terminal(tmp_path, PAGER=str(pager), **env) as screen:
        screen.line("SELECT range AS n FROM range(500);")
        screen.shows("\n502\n", "500 rows in ")
    with terminal(tmp_path, PAGER="", **env) as screen:
        screen.line("SELECT range AS n FROM range(500);")
        screen.shows("499", "500 rows in ")


def test_a_query_that_a_busy_service_queues_is_waited_for_or_canceled(
    tmp_path: Path, start_service: Callable[..., Client], user_url: str
) -> None:
    client = start_service(query_concurrency=1, query_queue=0, query_batch_concurrency=0)
    env = {"TRACE_QUERY_URL": client.url, "TRACE_USER_URL": user_url, "TRACE_TOKEN": client.token}
    with terminal(tmp_path, **env) as screen, in_flight(client, ENDLESS):
        until(lambda: client.service.admission.running == 1)
        screen.line("SELECT 1;")
        queued = screen.until(lambda shown: "the query is queued; Ctrl-C cancels it" in shown)
        query = queued.partition("queued the query as batch query ")[2].split()[0]
        screen.type(CTRL_C)
        screen.shows("canceled")
        left = tracectl("result", query, **env)
        assert (left.returncode, "canceled" in left.stderr) == (1, True)


def test_names_are_not_needed_to_ask(tmp_path: Path, client: Client) -> None:
    with terminal(tmp_path, TRACE_QUERY_URL=client.url, TRACE_TOKEN=client.token) as screen:
        assert "no completion of names" in screen.screen
        assert "set TRACE_USER_URL" in screen.screen.replace("\n", "")
        screen.line("SELECT 1 AS one;")
        screen.shows("one", "1 row")


def test_a_token_that_is_over_is_taken_again(tmp_path: Path, client: Client) -> None:
    file = tmp_path / "token"
    file.write_text("over")
    with terminal(tmp_path, "--token-file", str(file), TRACE_QUERY_URL=client.url) as screen:
        screen.line("SELECT 1 AS one;")
        screen.until(lambda shown: "(Unauthenticated)" in shown and screen.is_ready(shown))
        file.write_text(client.token)
        screen.line("SELECT 2 AS two;")
        screen.shows("two", "1 row")


SCRIPT = "SELECT 1 AS one; -- a comment; \n\n\\d\nSELECT 'a;b' AS two\n;\nSELECT 3 AS three"


def test_a_script_is_run_to_its_end(env: dict[str, str], world: World) -> None:
    world.dataset("follow", "Postgres", "hot-blocks")
    done = tracectl("sql", stdin=SCRIPT, **env)
    assert (done.returncode, done.stderr.count("1 row in ")) == (0, 3), done.stderr
    assert [
        word for word in done.stdout.split() if word in ("one", "two", "three", "a;b", "default.hot_blocks")
    ] == [
        "one",
        "default.hot_blocks",
        "two",
        "a;b",
        "three",
    ]


def test_a_script_stops_where_it_fails_with_the_exit_code_of_psql(env: dict[str, str]) -> None:
    done = tracectl("sql", stdin="SELECT 1 AS one;\n\nSELECT nothing;\nSELECT 2 AS two;", **env)
    assert (done.returncode, "two" in done.stdout) == (3, False)
    assert done.stderr.partition("error: line 3: ")[2].startswith("Binder Error")
    nobody = tracectl("sql", stdin="SELECT 1", **{**env, "TRACE_QUERY_URL": "http://127.0.0.1:1"})
    assert (nobody.returncode, "cannot be reached" in nobody.stderr) == (2, True)
    assert tracectl("sql", "nonsense", **env).returncode == 2
    assert tracectl("sql", stdin="-- nothing\n", **env).returncode == 0
