"""Write crds/ from the pydantic models of the kinds.

    python -m hack.generate.crds            # write
    python -m hack.generate.crds --check    # exit code 1 where crds/ is not what the models say

pydantic speaks JSON Schema 2020-12; the API server takes a structural subset of OpenAPI 3.0 (Kubernetes,
"Extend the Kubernetes API with CustomResourceDefinitions", "Specifying a structural schema"). `lower` says the
same in that subset: references inlined, optional fields without `null`, no `additionalProperties: false` (the
API server prunes what it does not know), every object and list typed. What it cannot say it refuses.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from traceplane.kinds import GROUP, KINDS, VERSION, Resource
from traceplane.kinds.meta import Column

FOLDER = Path(__file__).resolve().parents[2] / "crds"
HEADER = "# Generated from controller/traceplane/kinds by hack/generate/crds.py; do not edit.\n"
MAX_BYTES = 256 * 1024
"""A larger object cannot be applied by clients that keep their last configuration in an annotation."""

_KEPT = frozenset(
    [
        "description",
        "type",
        "format",
        "enum",
        "default",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "required",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-int-or-string",
    ]
)
_DROPPED = frozenset({"title", "$defs"})


class CannotLower(Exception):
    """A schema that the structural subset cannot express; the message has its path."""


def lower(schema: dict[str, Any], defs: dict[str, Any], path: str = "", depth: int = 0) -> dict[str, Any]:
    """`schema` in the API server's subset. `defs` is what its references point into."""
    if depth > 32:
        raise CannotLower(f"{path}: recursive, which a structural schema cannot be")
    schema = _without_null(_inlined(schema, defs), defs)
    lowered: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            lowered[key] = {n: lower(s, defs, f"{path}.{n}", depth + 1) for n, s in value.items()}
        elif key == "items":
            lowered[key] = lower(value, defs, f"{path}[]", depth + 1)
        elif key == "additionalProperties":
            if isinstance(value, dict):
                lowered[key] = lower(value, defs, f"{path}.*", depth + 1)
        elif key == "const":
            lowered["enum"] = [value]
        elif (key == "anyOf" and schema.get("x-kubernetes-int-or-string")) or key in _KEPT:
            lowered[key] = value
        elif key not in _DROPPED:
            raise CannotLower(f"{path}: {key} has no form in a structural schema")
    return _typed(lowered, path)


def _inlined(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """The schema with its own reference replaced by what that names; what stands beside a reference wins."""
    if "$ref" not in schema:
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**defs[schema["$ref"].removeprefix("#/$defs/")], **beside}


def _without_null(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """`X or null` as plain X: a field that may be left out, never one that may be null."""
    if schema.get("x-kubernetes-int-or-string") or "anyOf" not in schema:
        return schema
    options = [option for option in schema["anyOf"] if option.get("type") != "null"]
    if len(options) != 1:
        return schema
    beside = {k: v for k, v in schema.items() if k != "anyOf" and not (k == "default" and v is None)}
    return {**_inlined(options[0], defs), **beside}


def _typed(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """A type where one is missing, a width for whole numbers; refuses a value of no known type."""
    if "type" not in schema and not schema.get("x-kubernetes-int-or-string"):
        raise CannotLower(f"{path}: has no type")
    if schema.get("type") == "integer":
        schema["format"] = "int64"
    if schema.get("type") == "array" and "x-kubernetes-list-type" not in schema:
        schema["x-kubernetes-list-type"] = "atomic"
    if schema.get("properties") == {}:
        # The server drops it, and who compares what it has with what was applied would see a difference for ever.
        del schema["properties"]
    return schema


def crd(kind: str, model: type[Resource]) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    schema = model.model_json_schema(by_alias=True)
    defs = schema.get("$defs", {})
    schema["properties"]["metadata"] = {"type": "object"}
    schema["required"] = [name for name in schema["required"] if name != "metadata"]
    root = lower({key: value for key, value in schema.items() if key != "required"}, defs, kind)
    if schema["required"]:
        root["required"] = schema["required"]
    # Behind from its first moment, by the defaults inside: without a status, kstatus holds an object for current.
    root["properties"]["status"]["default"] = {}
    properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, **root["properties"]}
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_printer(column) for column in model.columns],
        "schema": {"openAPIV3Schema": {**root, "properties": properties}},
    }
    if model.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in model.selectable]
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": model.plural,
        "singular": model.singular,
        "categories": ["trace"],
    }
    if model.short_names:
        names["shortNames"] = list(model.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{model.plural}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "trace"}},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _printer(column: Column) -> dict[str, Any]:
    printed = {"name": column.name, "type": column.type, "jsonPath": column.path, "description": column.description}
    return printed | {"priority": 1} if column.wide else printed


def files() -> dict[str, str]:
    """Text of every file of crds/ by name."""
    return {
        f"{GROUP}_{model.plural}.yaml": HEADER
        + yaml.dump(crd(kind, model), Dumper=_Dumper, sort_keys=False, width=110)
        for kind, model in KINDS.items()
    }


class _Dumper(yaml.SafeDumper):
    """Without anchors: the same column schema at two places is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def main() -> int:
    """Write or compare; the exit code."""
    parser = argparse.ArgumentParser(description="Write crds/ from the models of the kinds.")
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    wanted = files()
    for name, text in wanted.items():
        if len(text.encode()) >= MAX_BYTES:
            sys.stderr.write(f"crds/{name} has {len(text.encode())} bytes; at most {MAX_BYTES} are allowed\n")
            return 1
    present = {path.name: path.read_text() for path in FOLDER.glob("*.yaml")}
    if check:
        stale = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
        for name in stale:
            sys.stderr.write(f"crds/{name} is not what the models say; run hack/generate/crds.py\n")
        return 1 if stale else 0
    for name in present.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
