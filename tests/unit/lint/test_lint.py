"""`tracectl lint` as people call it: lines, exit codes, JSON, several files as one set."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.apiserver.kinds.examples import example_files, examples
from tests.wrong.table import right
from traceplane import graph, operator_registry
from traceplane.cli.main import app

ROOT = Path(__file__).resolve().parents[3]


def lint(*arguments, **more):
    return CliRunner().invoke(app, ["lint", *map(str, arguments)], **more)


@pytest.fixture
def write(tmp_path):
    def _write(name, *manifests):
        path = tmp_path / name
        path.write_text(yaml.safe_dump_all(manifests, sort_keys=False))
        return path

    return _write


def test_examples_are_right():
    assert example_files()
    for path in example_files():
        done = lint("-f", path)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("example", examples(), ids=str)
def test_every_manifest_shown_to_people_is_right(example):
    beside = [right()["dag"]] if example.document["kind"] != "DAG" else []
    told = graph.review([example.document, *beside], operator_registry.load()).problems
    assert [p for p in told.get(0, []) if p.code != "UnknownAsset"] == []


def test_a_problem_is_one_line_with_file_line_object_path_and_code(write):
    dag = right()["dag"]
    dag["spec"]["jobs"][1]["inputs"][0]["from"]["job"] = "folow"
    path = write("dag.yaml", dag)
    done = lint("-f", path)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "folow" in text)
    said = "no job 'folow' in this DAG; did you mean 'follow'? [UnknownJob]"
    assert done.exit_code == 1
    assert done.stdout == f"{path}:{line}: DAG/chain: spec.jobs[1].inputs[0].from.job: {said}\n"
    assert done.stderr == "1 problem in 1 resource\n"


def test_problems_of_one_line_come_in_the_order_of_the_manifest(tmp_path):
    dag = right()["dag"]
    follow, reading = dag["spec"]["jobs"][0], dag["spec"]["jobs"][1]
    wrong = {**reading, "inputs": [{"from": {"job": "folow", "output": "blocks"}}]}
    dag["spec"]["jobs"] = [follow, *({**wrong, "name": f"job-{number}"} for number in range(1, 12))]
    (tmp_path / "dag.json").write_text(json.dumps(dag))
    found = [line.split(": ")[2] for line in lint("-f", tmp_path).stdout.splitlines() if "UnknownJob" in line]
    assert [path for path in found if path.startswith("spec.jobs")] == [
        f"spec.jobs[{number}].inputs[0].from.job" for number in range(1, 12)
    ]


def test_a_wrong_statement_is_told_with_its_place_in_the_statement(write):
    text = (ROOT / "operators" / "query" / "example.yaml").read_text()
    dag = yaml.safe_load(text)
    config = dag["spec"]["jobs"][2]["config"]
    config["sql"] = config["sql"].replace("count(*)", "\n  read_csv('/etc/passwd')") + "; -- all of it"
    path = write("dag.yaml", dag)
    done = lint("-f", path)
    assert done.exit_code == 1
    (line,) = done.stdout.splitlines()
    assert ": DAG/gas-local: spec.jobs[2].config.sql: line 2, column 3: function 'read_csv' may not be used" in line
    config["sql"] = config["sql"].replace("read_csv('/etc/passwd')", "count(*)")
    config["columns"][1]["name"] = "blcks"
    done = lint("-f", write("dag.yaml", dag))
    said = "spec.jobs[2].config.columns[1]: the statement gives no column 'blcks'; did you mean 'blocks'?"
    assert f"{said} [ColumnMissing]" in done.stdout
    config["columns"][1]["name"] = "blocks"
    assert lint("-f", write("dag.yaml", dag)).exit_code == 0


def test_the_statement_of_a_job_whose_dag_is_elsewhere_is_checked_by_itself(write):
    (inline,) = yaml.safe_load((ROOT / "operators" / "query" / "example.yaml").read_text())["spec"]["jobs"][2:]
    del inline["name"]
    job = {**right()["job"], "spec": {"dag": "elsewhere", **inline}}
    assert lint("-f", write("job.yaml", job)).exit_code == 0
    inline["config"]["sql"] = "SELEC 1"
    assert "spec.config.sql: line 1, column 1: syntax error" in lint("-f", write("job.yaml", job)).stdout


def test_json_has_the_same_and_nothing_else(write):
    dag = right()["dag"]
    del dag["spec"]["jobs"][0]["source"]
    done = lint("-f", write("dag.yaml", dag), "-o", "json")
    assert done.exit_code == 1
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["object"], problem["path"], problem["code"]) == ("DAG/chain", "spec.jobs[0].source", "Required")
    assert problem["line"] > 1


def test_yaml_has_what_json_has(write):
    dag = right()["dag"]
    del dag["spec"]["jobs"][0]["source"]
    path = write("dag.yaml", dag)
    done = lint("-f", path, "-o", "yaml")
    assert done.exit_code == 1
    assert yaml.safe_load(done.stdout) == json.loads(lint("-f", path, "-o", "json").stdout)


def test_a_table_names_its_columns(write):
    dag = right()["dag"]
    del dag["spec"]["jobs"][0]["source"]
    done = lint("-f", write("dag.yaml", dag), "-o", "table")
    assert done.exit_code == 1
    assert done.stdout.split()[:6] == ["file", "line", "object", "path", "code", "message"]
    assert "spec.jobs[0].source" in done.stdout
    assert done.stderr == "1 problem in 1 resource\n"


def test_files_are_one_set(write, tmp_path):
    manifests = right()
    write("dag.yaml", manifests["dag"])
    write("team/job.yaml".replace("/", "-"), manifests["job"])
    write("asset.yaml", manifests["asset"])
    assert lint("-f", tmp_path).exit_code == 0
    alone = lint("-f", tmp_path / "asset.yaml")
    assert alone.exit_code == 1
    assert "no published asset 'hot-blocks'" in alone.stdout


def test_a_job_whose_dag_is_elsewhere_is_checked_as_far_as_it_goes(write):
    job = right()["job"]
    assert lint("-f", write("job.yaml", job)).exit_code == 0
    job["spec"]["config"] = {}
    assert "spec.config.rangeSize: is required" in lint("-f", write("job.yaml", job)).stdout


def test_two_manifests_of_one_name_are_refused(write):
    dag = right()["dag"]
    done = lint("-f", write("a.yaml", dag), "-f", write("b.yaml", dag))
    assert done.exit_code == 1
    assert "b.yaml:" in done.stdout
    assert "is already document 1 of this set" in done.stdout


def test_two_dags_may_not_publish_one_asset(write):
    one, two = right()["dag"], right()["dag"]
    two["metadata"]["name"] = "chain-two"
    done = lint("-f", write("a.yaml", one), write("b.yaml", two))
    assert "'hot-blocks' is published by DAG/chain already" in done.stdout


def test_what_belongs_to_other_groups_is_left_to_others(write):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rpcpool-local"}}
    batch = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {}}
    done = lint("-f", write("all.yaml", secret, batch, right()["dag"]))
    assert done.exit_code == 0
    assert done.stderr == "no problem in 1 resource, 2 of other API groups skipped\n"


@pytest.mark.parametrize("version", ["trace.dve/v1alpha1", "traces.dev/v1alpha1", "trace.dev/v1", None])
def test_a_group_that_is_misspelt_is_not_skipped(write, version):
    dag = right()["dag"] | {"apiVersion": version}
    if version is None:
        del dag["apiVersion"]
    done = lint("-f", write("dag.yaml", dag))
    assert done.exit_code == 1
    assert "apiVersion" in done.stdout


@pytest.mark.parametrize("text", ["- a\n", "just text\n", "5\n"])
def test_a_document_that_is_no_object_is_refused(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    done = lint("-f", tmp_path)
    assert done.exit_code == 1
    assert "is no object" in done.stdout


def test_an_object_too_large_for_the_server_is_refused(write):
    dag = right()["dag"]
    dag["spec"]["jobs"][0]["config"]["note"] = "x" * 1_600_000
    done = lint("-f", write("dag.yaml", dag))
    assert done.exit_code == 1
    assert "the API server takes at most" in done.stdout


def test_a_broken_file_does_not_hide_the_others(write, tmp_path):
    (tmp_path / "a.yaml").write_text("a: [\n")
    dag = right()["dag"]
    dag["spec"]["jobs"][0]["operator"] = "nobody"
    write("b.yaml", dag)
    codes = [p["code"] for p in json.loads(lint("-f", tmp_path, "-o", "json").stdout)["problems"]]
    assert codes[0] == "Syntax"
    assert "UnknownOperator" in codes


def test_standard_input_is_a_file_called_dash():
    done = lint("-f", "-", input=yaml.safe_dump(right()["dag"]))
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("arguments", [[], ["-f", "/no/such/file.yaml"], ["-o", "xml", "-f", "."]])
def test_wrong_usage_is_exit_code_two(arguments):
    assert lint(*arguments).exit_code == 2


def test_the_command_itself_says_no_with_exit_code_one(write):
    path = write("dag.yaml", right()["dag"] | {"spec": {}})
    command = [str(Path(sys.executable).parent / "tracectl"), "lint", "-f", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "a DAG needs a job" in done.stdout
