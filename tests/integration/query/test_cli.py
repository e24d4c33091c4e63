"""`tracectl query`, `get` and `admin` as processes against running servers: output, exit codes, remedies."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.query.callers import ENDLESS, in_flight
from tests.integration.query.command import TRACECTL, tracectl
from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from tests.issuer import Issuer
from tests.support.waiting import until
from traceplane.settings import Settings
from traceplane.userapi.app import app

pytestmark = pytest.mark.services


def test_query_exports_what_is_too_large_to_print(world: World, client: Client, tmp_path: Path) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 10_499)
    env = {"TRACE_QUERY_URL": client.url, "TRACE_TOKEN": client.token}
    sql = "SELECT block_number FROM hot_blocks ORDER BY 1"
    cut = tracectl("query", "-o", "csv", sql, **env)
    assert (len(cut.stdout.splitlines()), "cut after 10000 rows" in cut.stderr) == (10_001, True)
    exported = tracectl("query", "--export", sql, **env)
    assert exported.stdout.startswith("http://")
    assert f"s3://{world.bucket}/exports/" in exported.stderr
    with (tmp_path / "whole").open("wb") as out:
        argv = [TRACECTL, "query", "-o", "parquet", sql]
        subprocess.run(argv, env={"PATH": os.environ["PATH"], **env}, stdout=out, check=True, timeout=60)
    assert pq.read_table(tmp_path / "whole").num_rows == 10_500


def test_a_query_is_left_to_be_run_and_its_file_fetched(world: World, client: Client, tmp_path: Path) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 9)
    env = {"TRACE_QUERY_URL": client.url, "TRACE_TOKEN": client.token}
    left = tracectl("query", "--batch", "SELECT block_number FROM hot_blocks", **env)
    query = left.stdout.strip()
    assert f"tracectl result --wait {query}" in left.stderr
    found = tracectl("result", "--wait", query, **env)
    assert found.stdout.startswith("http://"), found.stderr
    assert json.loads(tracectl("result", "-o", "json", query, **env).stdout)["row_count"] == 10
    with (tmp_path / "file").open("wb") as out:
        argv = [TRACECTL, "result", "-o", "parquet", query]
        subprocess.run(argv, env={"PATH": os.environ["PATH"], **env}, stdout=out, check=True, timeout=60)
    assert pq.read_table(tmp_path / "file").num_rows == 10
    failed = tracectl("query", "--batch", "SELECT error('no luck')", **env).stdout.strip()
    told = tracectl("result", "--wait", failed, **env)
    assert (told.returncode, "failed over a value" in told.stderr) == (1, True)
    assert tracectl("result", "nonsense", **env).returncode == 2


def test_a_query_that_has_not_ended_says_so_and_can_be_canceled(start_service: Callable[..., Client]) -> None:
    client = start_service(query_batch_concurrency=0)
    env = {"TRACE_QUERY_URL": client.url, "TRACE_TOKEN": client.token}
    query = tracectl("query", "--batch", "SELECT 1", **env).stdout.strip()
    early = tracectl("result", query, **env)
    assert (early.returncode, "has not ended (Queued)" in early.stderr) == (1, True)
    assert "canceled" in tracectl("result", "--cancel", query, **env).stderr
    assert "canceled" in tracectl("result", query, **env).stderr


def test_a_query_for_which_there_is_no_turn_says_how_to_get_its_answer(
    start_service: Callable[..., Client],
) -> None:
    client = start_service(query_concurrency=1, query_queue=0)
    env = {"TRACE_QUERY_URL": client.url, "TRACE_TOKEN": client.token}
    with in_flight(client, ENDLESS):
        until(lambda: client.service.admission.running == 1)
        busy = tracectl("query", "SELECT 1", **env)
    found = re.search(r"tracectl result --wait (\S+)` gets the answer", busy.stderr)
    assert busy.returncode == 1
    assert found is not None, busy.stderr
    assert tracectl("result", "--wait", found[1], **env).stdout.startswith("http://")


def test_query_shows_a_person_that_it_runs_and_a_program_nothing(world: World, client: Client) -> None:
    env = {"TRACE_QUERY_URL": client.url, "TRACE_TOKEN": client.token}
    sql = "SELECT count(*) FROM range(100000000) t(n) WHERE n % 7 = 3"
    assert "the query runs" not in tracectl("query", sql, **env).stderr
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb", buffering=0) as screen:
        argv = [TRACECTL, "query", "-o", "csv", sql]
        given = {"PATH": os.environ["PATH"], "TERM": "xterm", **env}
        process = subprocess.Popen(argv, env=given, stdout=subprocess.PIPE, stderr=follower)
        os.close(follower)
        shown = bytearray()

        def read() -> None:
            with contextlib.suppress(OSError):  # how a terminal says that its other end is gone
                while piece := screen.read(4096):
                    shown.extend(piece)

        watching = threading.Thread(target=read)
        watching.start()
        out, _ = process.communicate(timeout=60)
        watching.join(10)
    assert b"the query runs" in shown
    assert out.decode().splitlines()[1] == str(len(range(3, 100_000_000, 7)))


def test_query_repeats_an_answer_as_of_its_token(world: World, client: Client) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 9)
    env = {"TRACE_QUERY_URL": client.url, "TRACE_TOKEN": client.token}
    sql = "SELECT count(*) FROM hot_blocks"
    token = json.loads(tracectl("query", "-o", "json", sql, **env).stdout)["as_of"]
    world.follow(hot, 10, 19)
    again = tracectl("query", "-o", "json", "--as-of", token, sql, **env)
    assert json.loads(again.stdout)["rows"] == [[10]]
    world.invalidate(hot, 5, 6)
    gone = tracectl("query", "--as-of", token, sql, **env)
    assert gone.returncode == 1
    assert "rows 5 to 6 of default/hot-blocks were invalidated since (reorg)" in gone.stderr


def test_query_prints_rows_in_every_form(world: World, client: Client, tmp_path: Path) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 2)
    env = {"TRACE_QUERY_URL": client.url, "TRACE_TOKEN": client.token}
    sql = "SELECT block_number AS n, note FROM hot_blocks ORDER BY n"
    assert json.loads(tracectl("query", "-o", "json", sql, **env).stdout)["rows"] == [
        [0, "note 0"],
        [1, None],
        [2, None],
    ]
    done = tracectl("query", "-o", "csv", "-", stdin=sql, **env)
    assert list(csv.reader(io.StringIO(done.stdout))) == [["n", "note"], ["0", "note 0"], ["1", ""], ["2", ""]]
    for form, read in (("arrow", lambda path: pa.ipc.open_stream(path).read_all()), ("parquet", pq.read_table)):
        with (tmp_path / form).open("wb") as out:
            argv = [TRACECTL, "query", "-o", form, sql]
            subprocess.run(argv, env={"PATH": os.environ["PATH"], **env}, stdout=out, check=True, timeout=60)
        assert read(tmp_path / form).to_pydict() == {"n": [0, 1, 2], "note": ["note 0", None, None]}
    (tmp_path / "q.sql").write_text(sql)
    (tmp_path / "token").write_text(client.token)
    options = ["--file", str(tmp_path / "q.sql"), "--token-file", str(tmp_path / "token"), "--server", client.url]
    table = tracectl("query", *options)
    assert table.returncode == 0
    assert "note 0" in table.stdout
    assert "3 rows in" in table.stderr


def test_query_fails_with_one_line_and_a_code(client: Client) -> None:
    env = {"TRACE_QUERY_URL": client.url, "TRACE_TOKEN": client.token}
    refused = tracectl("query", "SELECT getenv('HOME')", **env)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.strip() == "error: function 'getenv' may not be used (FunctionNotAllowed)"
    stranger = tracectl("query", "SELECT 1", **{**env, "TRACE_TOKEN": "x"})
    assert (stranger.returncode, "Unauthenticated" in stranger.stderr) == (1, True)
    nobody = tracectl("query", "SELECT 1", **{**env, "TRACE_QUERY_URL": "http://127.0.0.1:1"})
    assert (nobody.returncode, "cannot be reached" in nobody.stderr) == (1, True)
    assert tracectl("query", **env).returncode == 2
    assert tracectl("query", "SELECT 1", "--file", "/none", **env).returncode == 2


def test_statements_and_answers_are_utf_8_whatever_the_locale(client: Client, tmp_path: Path) -> None:
    env = {"TRACE_QUERY_URL": client.url, "TRACE_TOKEN": client.token, "PYTHONIOENCODING": "latin-1"}
    for form in ("json", "yaml", "csv", "table"):
        done = tracectl("query", "-o", form, "-", stdin="SELECT '漢' AS x", **env)
        assert (done.returncode, "漢" in done.stdout) == (0, True), done.stderr
    (tmp_path / "latin.sql").write_bytes(b"SELECT '\xe9'")
    wrong = tracectl("query", "--file", str(tmp_path / "latin.sql"), **env)
    assert (wrong.returncode, wrong.stderr) == (1, "error: byte 8 of the statement is not UTF-8 (InvalidQuery)\n")


def test_admin_makes_a_user_whom_get_then_serves(world: World, oidc: Issuer, serve: Callable[[Any], str]) -> None:
    world.federated()
    url = serve(app(Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url), pytest.fail))
    env = {"TRACE_USER_URL": url, "TRACE_TOKEN": oidc.token("carol"), "TRACE_STATE_DSN": world.databases.state_dsn}
    denied = tracectl("get", "assets", **env)
    assert (denied.returncode, "not a user here" in denied.stderr) == (1, True)
    for _ in range(2):
        assert (
            tracectl("admin", "user", "add", "carol", "--issuer", oidc.url, "--role", "reader", **env).returncode
            == 0
        )
    listed = json.loads(tracectl("admin", "user", "list", "-o", "json", **env).stdout)
    assert [(user["subject"], user["roles"]) for user in listed] == [("carol", ["reader"])]
    assets = json.loads(tracectl("get", "assets", "-o", "json", **env).stdout)
    assert [asset["name"] for asset in assets] == ["blocks", "cold-blocks", "hot-blocks"]
    assert "monad" in tracectl("get", "dags", **env).stdout
    assert tracectl("get", "tasks", "monad", "-o", "json", **env).stdout.strip() == "[]"
    missing = tracectl("get", "jobs", "none", **env)
    assert (missing.returncode, "NotFound" in missing.stderr) == (1, True)
    assert tracectl("admin", "role", "revoke", "reader", "carol", "--issuer", oidc.url, **env).returncode == 0
    assert tracectl("get", "dags", **env).returncode == 1
    assert tracectl("admin", "role", "grant", "Bad Name", "carol", "--issuer", oidc.url, **env).returncode == 1
    assert tracectl("admin", "role", "grant", "reader", "nobody", "--issuer", oidc.url, **env).returncode == 1
