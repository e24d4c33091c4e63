"""crds/ is what the models say, and small enough for every client."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hack.generate import crds
from traceplane.kinds import KINDS

FOLDER = Path(__file__).resolve().parents[2] / "crds"


def test_files_are_what_the_models_say():
    wanted = crds.files()
    assert {path.name for path in FOLDER.glob("*.yaml")} == set(wanted)
    for name, text in wanted.items():
        assert (FOLDER / name).read_text() == text, f"run: python -m hack.generate.crds ({name})"


def test_the_check_notices_a_difference(tmp_path, monkeypatch, capsys):
    for path in FOLDER.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text())
    monkeypatch.setattr(crds, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["crds", "--check"])
    assert crds.main() == 0
    changed = tmp_path / "trace.dev_dags.yaml"
    changed.write_text(changed.read_text().replace("maximum: 100", "maximum: 101"))
    (tmp_path / "stray.yaml").write_text("{}")
    assert crds.main() == 1
    said = capsys.readouterr().err
    assert "trace.dev_dags.yaml" in said
    assert "stray.yaml" in said


def test_it_runs_as_its_page_says():
    root = FOLDER.parent
    done = subprocess.run([sys.executable, "-m", "hack.generate.crds", "--check"], cwd=root, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.name)
def test_a_crd_is_small_structural_and_whole(path):
    text = path.read_text()
    assert len(text.encode()) < crds.MAX_BYTES
    definition = yaml.safe_load(text)
    version = definition["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    assert version["additionalPrinterColumns"]
    assert definition["spec"]["names"]["categories"] == ["trace"]
    for word in (
        "$ref",
        "definitions",
        "discriminator",
        "uniqueItems",
        "nullable: true",
        "additionalProperties: false",
    ):
        assert word not in text
    conditions = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_short_names_do_not_collide_with_batch_jobs():
    assert KINDS["Job"].short_names == ("tjob",)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "object", "properties": {"a": {}}}, "a: has no type"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "anyOf has no form"),
        ({"type": "array", "prefixItems": []}, "prefixItems has no form"),
        ({"$ref": "#/$defs/loop"}, "recursive"),
    ],
)
def test_what_a_structural_schema_cannot_say_is_refused(schema, said):
    defs = {"loop": {"type": "object", "properties": {"again": {"$ref": "#/$defs/loop"}}}}
    with pytest.raises(crds.CannotLower, match=said):
        crds.lower(schema, defs, "")


def test_an_optional_field_may_be_left_out_and_not_be_null():
    lowered = crds.lower({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None}, {})
    assert lowered == {"type": "integer", "minimum": 1, "format": "int64"}


def parts(schema, path):
    yield path, schema
    for key, below in schema.get("properties", {}).items():
        yield from parts(below, f"{path}.{key}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from parts(schema[key], f"{path}[]")


@pytest.mark.parametrize(("kind", "model"), KINDS.items())
def test_every_field_is_explained_in_a_sentence(kind, model):
    """`kubectl explain` shows it; the API server describes apiVersion, kind and metadata itself."""
    version = crds.crd(kind, model)["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    fields = [
        (f"{path}.{name}", field.get("description", ""))
        for path, part in [
            *parts(schema["properties"]["spec"], "spec"),
            *parts(schema["properties"]["status"], "status"),
        ]
        for name, field in part.get("properties", {}).items()
    ]
    fields += [(column["name"], column["description"]) for column in version["additionalPrinterColumns"]]
    fields += [(name, schema["properties"][name].get("description", "")) for name in ("spec", "status")]
    assert len(fields) > 15
    for path, text in fields:
        assert re.fullmatch(r"[A-Z`\d].*\.|dag/job/output\.", text, re.DOTALL), f"{path}: {text!r}"


@pytest.mark.parametrize(("kind", "model"), KINDS.items())
def test_every_string_list_and_map_is_bounded(kind, model):
    schema = crds.crd(kind, model)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    for path, part in [*parts(schema["spec"], "spec"), *parts(schema["status"], "status")]:
        if part.get("type") == "string" and "enum" not in part:
            assert "maxLength" in part, path
        if part.get("type") == "array":
            assert "maxItems" in part, path
        if "additionalProperties" in part or part.get("x-kubernetes-preserve-unknown-fields"):
            assert "maxProperties" in part, path
