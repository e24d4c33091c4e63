"""What the docs say can be typed, opened and applied."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import PAGES, ROOT, commands
from tests.docs.rules import RULES, Tier, rule
from tests.services import tool
from traceplane.query.files.bucket import policy
from traceplane.settings import Settings

COMMANDS = commands()
_LINK = re.compile(r"\[[^]]*\]\(([^)#\s]+)(#[^)]*)?\)")
_FILE = re.compile(r"`((?:controller|operators|hack|charts|dags|docs|tests|crds)/[\w./-]+)`")
_JSON = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
_YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
BIN = str(Path(sys.executable).parent)


def of(tier):
    return [command for command in COMMANDS if rule(command).tier is tier]


def test_every_command_has_one_rule_and_every_rule_a_command():
    used = {rule(command) for command in COMMANDS}
    assert not set(RULES) - used


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_files_exist(page):
    text = page.read_text()
    links = [link for link, _ in _LINK.findall(re.sub(r"`[^`]*`", "", text)) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [path for path in _FILE.findall(text) if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("command", of(Tier.MAKE), ids=str)
def test_make_target_is_there(command):
    target = command.text.split()[1]
    assert re.search(rf"^{target}:.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder that looks like the checkout, to write into."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "dags", folder / "dags")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(BIN)
    return folder


@pytest.mark.parametrize("page", sorted({command.page for command in of(Tier.LOCAL)}))
def test_local_commands_do_what_the_page_says(page, checkout):
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    for command in of(Tier.LOCAL):
        if command.page != page:
            continue
        script = f"set -o pipefail\n{command.text}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=checkout, env=environment, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode != 0) is command.fails, f"{command}\n{done.stdout}{done.stderr}"
        if command.fails:
            assert "operator" in done.stdout + done.stderr or "output" in done.stdout + done.stderr


@pytest.mark.parametrize("command", of(Tier.TESTED), ids=str)
def test_a_command_tested_elsewhere_names_a_test(command):
    assert (ROOT / rule(command).by).exists()


@pytest.mark.parametrize("command", of(Tier.UNTRIED), ids=str)
def test_what_is_untried_says_so(command):
    assert "untried" in (ROOT / command.page).read_text()


def manifests():
    """Each manifest in a page; an Asset is read together with the example that it speaks of."""
    for page in PAGES:
        for block in _YAML.findall(page.read_text()):
            if "apiVersion: trace.dev/" in block:
                yield pytest.param(block, id=f"{page.relative_to(ROOT)}:{yaml.safe_load(block)['kind']}")


@pytest.mark.parametrize("manifest", list(manifests()))
def test_every_manifest_passes_lint(manifest, tmp_path):
    file = tmp_path / "manifest.yaml"
    example = next(yaml.safe_load_all((ROOT / "dags/chain.yaml").read_text()))
    beside = f"---\n{yaml.safe_dump(example)}" if yaml.safe_load(manifest)["kind"] == "Asset" else ""
    file.write_text(manifest + beside)
    done = subprocess.run([f"{BIN}/tracectl", "lint", "-f", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_policy_of_the_install_page_is_what_the_query_service_needs():
    """`tests/integration/query/test_rights.py` proves that one on a real store."""
    (shown,) = _JSON.findall((ROOT / "docs/howto/install.md").read_text())
    assert json.loads(shown) == policy("my-trace", Settings().org_id)


@pytest.mark.parametrize(
    ("page", "name"),
    [("install", "production.yaml"), ("traces", "traces.yaml"), ("openlineage", "openlineage.yaml")],
)
def test_the_values_of_a_page_render(page, name):
    (block,) = [found for found in _YAML.findall((ROOT / f"docs/howto/{page}.md").read_text()) if name in found]
    argv = [
        tool("helm"),
        "template",
        "trace",
        str(ROOT / "charts/trace"),
        "--values",
        "-",
        "--kube-version",
        "1.34.0",
    ]
    done = subprocess.run(argv, input=block, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert ("StatefulSet" not in done.stdout) is (page == "install")
    assert ("OTEL_EXPORTER_OTLP_ENDPOINT" in done.stdout) is (page == "traces")
    assert ("TRACE_OPENLINEAGE_URL" in done.stdout) is (page == "openlineage")
