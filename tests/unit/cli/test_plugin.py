"""tracectl as `kubectl tracedag`: kubectl's options, its namespaces, and its completion."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.unit.cli.bench import Bench

PLUGIN = "kubectl-tracedag"
NAMESPACE = 'case "$1 $2" in "config view") echo "research";; *) exit 9;; esac'


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A user API without anything in it; `asked` has every path that was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = b'{"items": [], "next_cursor": null}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.asked = asked  # type: ignore[attr-defined]
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield serving
    serving.shutdown()
    serving.server_close()


@pytest.mark.parametrize(
    ("program", "arguments", "asked"),
    [
        (PLUGIN, (), "namespace=research"),
        (PLUGIN, ("-n", "other"), "namespace=other"),
        (PLUGIN, ("-A",), "limit=500"),
        ("tracectl", (), "limit=500"),
        ("tracectl", ("-n", "other", "-A"), "limit=500"),
    ],
)
def test_the_plugin_lists_the_namespace_of_the_context(
    bench: Bench, server: ThreadingHTTPServer, program: str, arguments: tuple[str, ...], asked: str
) -> None:
    bench.kubectl(NAMESPACE)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    for noun in ("dags", "assets", "tasks"):
        code, _, err = bench.run("get", noun, *arguments, program=program, TRACE_USER_URL=url, TRACE_TOKEN="t")
        assert code == 0, err
        (path,) = server.asked  # type: ignore[attr-defined]
        server.asked.clear()  # type: ignore[attr-defined]
        assert path.partition("?")[2].startswith(asked), path


def test_context_and_kubeconfig_lead_every_call_of_kubectl(bench: Bench) -> None:
    bench.kubectl('case $1 in config) echo research;; create) echo token;; get) echo "$2/etl-x";; *) exit 1;; esac')
    aim = ["--context", "prod", "--kubeconfig", "/k"]
    code, _, _ = bench.run("get", "dags", "-o", "json", *aim, program=PLUGIN)
    assert code == 1
    assert [call.split()[0] for call in bench.calls] == ["config", "get", "create", "get", "port-forward"]
    assert all(" ".join(aim) in call for call in bench.calls), bench.calls
    bench.run("logs", "compact", *aim)
    assert " ".join(aim) in bench.calls[-1]


def test_the_plugin_is_named_as_it_is_typed(bench: Bench) -> None:
    code, out, _ = bench.run("get", "--help", program=PLUGIN)
    assert (code, "Usage: kubectl tracedag get" in out) == (0, True)


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (("get", "d"), ["dags"]),
        (("get", "part"), ["partitions"]),
        (("get", "dags", "--kube"), ["--kubeconfig"]),
    ],
)
def test_words_are_completed_as_kubectl_asks_for_them(
    bench: Bench, words: tuple[str, ...], answers: list[str]
) -> None:
    code, out, _ = bench.run(*words, program="kubectl_complete-tracedag")
    *found, directive = out.splitlines()
    assert (code, sorted(found), directive) == (0, answers, ":4")


def test_the_version_is_printed_though_no_server_answers(bench: Bench) -> None:
    bench.kubectl('echo "error: no cluster" >&2; exit 1')
    code, out, err = bench.run("version")
    assert (code, out.startswith("Client version: ")) == (1, True)
    assert "no cluster" in err
    assert bench.run("version", "--client")[0] == 0
