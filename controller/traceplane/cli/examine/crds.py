"""Whether a CRD on a cluster has the fields that the models of this release have.

A field that the cluster's CRD lacks is pruned from what people apply, without a word where their client does not
validate: the worst of the differences, and what an upgrade without CRDs leaves behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SHOWN = 3


def names() -> list[str]:
    """Names of the CRDs."""
    from traceplane.kinds import GROUP, KINDS

    return [f"{model.plural}.{GROUP}" for model in KINDS.values()]


def problems(name: str, crd: Mapping[str, Any] | None) -> Iterator[str]:
    """What is wrong with the CRD of a name, of which None is there."""
    from traceplane.kinds import KINDS, VERSION

    if crd is None:
        yield f"{name} is not there"
        return
    conditions = crd.get("status", {}).get("conditions", ())
    if not any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions):
        yield f"{name} is not established"
    version = next((each for each in crd["spec"]["versions"] if each["name"] == VERSION and each["served"]), None)
    if version is None:
        yield f"{name} does not serve {VERSION}"
        return
    model = next(model for model in KINDS.values() if name.startswith(f"{model.plural}."))
    schema = model.model_json_schema(by_alias=True)
    wanted = set(
        _fields({**schema, "properties": {k: schema["properties"][k] for k in ("spec", "status")}}, schema)
    )
    lacking = sorted(wanted - set(_fields(version["schema"]["openAPIV3Schema"], {})))
    if lacking:
        shown = ", ".join(lacking[:_SHOWN]) + (f" and {len(lacking) - _SHOWN} more" if lacking[_SHOWN:] else "")
        yield f"{name} is of another release: it lacks {shown}"


def _fields(schema: Mapping[str, Any], root: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Paths of every field of a JSON schema; references are into `root`."""
    if "$ref" in schema:
        schema = {**root["$defs"][schema["$ref"].removeprefix("#/$defs/")], **schema}
    for option in schema.get("anyOf", ()):
        yield from _fields(option, root, path)
    if isinstance(schema.get("items"), Mapping):
        yield from _fields(schema["items"], root, path + "[]")
    for name, below in schema.get("properties", {}).items():
        place = f"{path}.{name}" if path else name
        yield place
        yield from _fields(below, root, place)
