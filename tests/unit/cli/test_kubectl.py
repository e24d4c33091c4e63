"""tracectl with a fake kubectl on PATH: the calls it gets, and how it ends when tracectl does."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.terminal import terminal
from tests.support.waiting import until
from tests.unit.cli.bench import Bench
from traceplane.cli import kubectl
from traceplane.errors import Unavailable

LINE = "[pod/chain-compact-w0/worker] 2026-01-01T00:00:00.000000001Z"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


NAMED = "case $1 in create) echo token;; get) echo $2/etl-${6##*=};; "
FORWARD = NAMED + '*) echo "Forwarding from 127.0.0.1:9 -> 8082"; exec /bin/sleep 60;; esac'
SILENT = NAMED + "*) exec /bin/sleep 60;; esac"
TRACE = "app.kubernetes.io/name=trace,app.kubernetes.io/component"
PODS = 'case $1 in get) printf "chain-compact-w0\\n";; *) '


def test_a_port_forward_on_a_machine_without_ipv4_is_used(bench: Bench) -> None:
    bench.kubectl(FORWARD.replace("127.0.0.1:9", "[::1]:9"))
    code, _, err = bench.run("get", "dags")
    assert (code, "Connection refused" in err) == (1, True), "it is tried at the address that kubectl names"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_port_forward_ends_with_tracectl(bench: Bench, number: int) -> None:
    bench.kubectl(SILENT)
    process = bench.start("query", "SELECT 1")
    until(lambda: (bench.folder / "calls").exists() and len(bench.calls) == 4)
    child = bench.pid
    assert lives(child)
    process.send_signal(number)
    process.communicate(timeout=15)
    assert process.returncode != 0
    until(lambda: not lives(child))


def test_a_port_forward_is_not_interrupted_by_ctrl_c(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal sends it to every process of tracectl's own group."""
    monkeypatch.setenv("PATH", str(bench.folder))
    bench.kubectl(FORWARD)
    with kubectl.forward("trace", "etl-query", 8082):
        assert os.getpgid(bench.pid) != os.getpgid(0)
    with pytest.raises(ProcessLookupError):
        os.kill(bench.pid, 0)


def test_the_prompt_opens_a_new_port_forward_where_one_was_no_good(bench: Bench, tmp_path: Path) -> None:
    bench.kubectl(FORWARD)
    with terminal(tmp_path, PATH=str(bench.folder)) as screen:
        for number in (1, 2):
            screen.line(f"SELECT {number};")
            screen.until(lambda shown, number=number: shown.count("cannot be reached") == 1 + number)
            screen.until(screen.is_ready)
        screen.line("\\q")
        assert screen.ended() == 0
    assert sum(call.startswith("port-forward") and "etl-query" in call for call in bench.calls) == 2
    assert not lives(bench.pid)


def test_a_port_forward_ends_after_a_failed_call(bench: Bench) -> None:
    bench.kubectl(FORWARD)
    code, _, err = bench.run("get", "dags", "--release-namespace", "mine", "--as", "reader")
    assert (code, "(Unavailable)" in err, "Traceback" in err) == (1, True, False)
    assert bench.calls == [
        "create token reader --namespace mine --audience trace",
        f"get service --namespace mine --selector {TRACE}=dispatcher --output name",
        "port-forward --namespace mine service/etl-dispatcher :8081",
    ]
    assert not lives(bench.pid)


def test_names_and_audience_of_another_installation_are_found_and_taken(bench: Bench) -> None:
    bench.kubectl(FORWARD)
    argv = ["query", "SELECT 1", "--audience", "etl"]
    assert bench.run(*argv)[0] == 1
    assert bench.run(*argv[:2], TRACE_AUDIENCE="etl")[0] == 1
    assert bench.calls == 2 * [
        f"get serviceaccount --namespace trace --selector {TRACE}=admin --output name",
        "create token etl-admin --namespace trace --audience etl",
        f"get service --namespace trace --selector {TRACE}=query --output name",
        "port-forward --namespace trace service/etl-query :8082",
    ]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "exit 0",
            "no serviceaccount of Trace's admin in namespace 'trace': name Trace's with --release",
        ),
        ("echo serviceaccount/a; echo serviceaccount/b", "several could be meant, a, b: give --as"),
        ("echo forbidden >&2; exit 1", "kubectl get serviceaccount: forbidden; or give --as"),
    ],
)
def test_a_failed_lookup_names_the_option_to_give_instead(bench: Bench, script: str, message: str) -> None:
    bench.kubectl(script)
    code, out, err = bench.run("get", "dags")
    assert (code, out) == (1, "")
    assert message in err
    assert len(bench.calls) == 1


def test_a_refusal_of_kubectl_is_reported(bench: Bench) -> None:
    bench.kubectl('echo "error: You must be logged in" >&2; exit 1')
    code, out, err = bench.run("get", "dags")
    assert (code, out) == (1, "")
    assert "You must be logged in" in err
    code, out, err = bench.run("logs", "compact")
    assert (code, out) == (1, "")
    assert "You must be logged in" in err


def test_without_kubectl_the_remedy_is_named(bench: Bench) -> None:
    code, _, err = bench.run("logs", "compact")
    assert (code, "kubectl is not on PATH" in err) == (1, True)


def test_an_unresponsive_cluster_is_an_error_of_one_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.kubectl("exec /bin/sleep 60")
    monkeypatch.setenv("PATH", str(bench.folder))
    with pytest.raises(Unavailable, match="kubectl get did not answer"):
        kubectl.run("get", "pods", seconds=0.5)


def test_logs_of_one_pod_pass_through(bench: Bench) -> None:
    bench.kubectl(PODS + "echo '{\"event\": 1}'; exit 3;; esac")
    assert bench.run("logs", "compact", "-n", "team", "--dag", "chain", "--tail", "5")[:2] == (1, '{"event": 1}\n')
    assert bench.calls[0].startswith(
        "get pods --namespace team --selector trace.dev/job=compact,trace.dev/dag=chain "
    )
    assert bench.calls[1] == "logs --namespace team --tail=5 --container=worker chain-compact-w0"


def test_logs_of_several_pods_name_the_pod_of_each_line(bench: Bench) -> None:
    bench.kubectl('case $1 in get) printf "a\\nb\\n";; *) echo line;; esac')
    assert bench.run("logs", "compact", "--follow")[0] == 0
    assert bench.calls[1].split()[:4] == ["logs", "--tail=100", "--container=worker", "--follow"]
    assert "--selector trace.dev/job=compact" in bench.calls[1]
    assert bench.calls[1].endswith("--prefix")


def test_logs_as_json_are_an_object_a_line(bench: Bench) -> None:
    bench.kubectl(PODS + f"echo '{LINE} a [b] c'; echo 'kubectl says'; exit 0;; esac")
    code, out, _ = bench.run("logs", "compact", "-o", "json")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {
            "pod": "chain-compact-w0",
            "container": "worker",
            "time": "2026-01-01T00:00:00.000000001Z",
            "message": "a [b] c",
        },
        {"pod": None, "container": None, "time": None, "message": "kubectl says"},
    ]
    assert bench.calls[1].endswith("chain-compact-w0 --prefix --timestamps")


def test_logs_that_are_followed_end_with_tracectl(bench: Bench) -> None:
    bench.kubectl(PODS + "exec /bin/sleep 60;; esac")
    process = bench.start("logs", "compact", "-f")
    until(lambda: (bench.folder / "calls").exists() and len(bench.calls) == 2)
    child = bench.pid
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=15)
    assert process.returncode == 128 + signal.SIGTERM
    until(lambda: not lives(child))


def test_no_pod_and_a_wrong_name_are_reported(bench: Bench) -> None:
    bench.kubectl("exit 0")
    code, _, err = bench.run("logs", "compact")
    assert (code, "(NotFound)" in err) == (1, True)
    assert bench.calls[1].startswith("get pods --field-selector metadata.name=compact ")
    code, _, err = bench.run("logs", "--", "-x; rm")
    assert (code, "is not the name" in err, len(bench.calls)) == (1, True, 2)
