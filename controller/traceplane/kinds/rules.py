"""Rules between fields, each written twice: in CEL for the API server, in Python for the rest.

A schema cannot say "a source has no inputs". The API server can be given it in CEL, and then refuses at `apply`;
but `tracectl lint` runs without a cluster, and a controller may meet objects older than the rule. So a rule is
one value with both forms side by side, and tests hold them together on a real API server. Models carry their
rules in `rules`; list semantics (`ListMap`, `ListSet`) are checked the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

INVALID = "Invalid"
REQUIRED = "Required"
FORBIDDEN = "Forbidden"
NOT_SUPPORTED = "NotSupported"
DUPLICATE = "Duplicate"

_REASONS = {REQUIRED: "FieldValueRequired", FORBIDDEN: "FieldValueForbidden", NOT_SUPPORTED: "FieldValueForbidden"}


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule: the field's path from the object's root, a stable code, what is wrong and what is right."""

    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Rule:
    """`cel` holds on the API server exactly when `holds` holds here; `field` is the path below the model."""

    cel: str
    holds: Callable[[Any], bool]
    message: str
    field: str = ""
    code: str = INVALID

    def validation(self) -> dict[str, str]:
        """The rule in a CRD (`x-kubernetes-validations`). `metadata` has no schema there to point into."""
        said = {"rule": self.cel, "message": self.message, "reason": _REASONS.get(self.code, "FieldValueInvalid")}
        if self.field and not self.field.startswith("metadata"):
            said["fieldPath"] = f".{self.field}"
        return said


def not_supported(field: str, attribute: str, instead: str) -> Rule:
    """`field` may not be set yet."""
    return Rule(
        f"!has(self.{field})",
        lambda model: getattr(model, attribute) is None,
        f"{field} is not supported yet; {instead}",
        field,
        NOT_SUPPORTED,
    )


@dataclass(frozen=True, slots=True)
class ListMap:
    """Marks a list whose items are identified by `key` (a manifest's field name)."""

    key: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core) | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler(source)


@dataclass(frozen=True, slots=True)
class ListSet:
    """Marks a list of scalars without repetition."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core) | {"x-kubernetes-list-type": "set"}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler(source)


class Model(BaseModel):
    """Base of every part of a kind: camelCase in manifests, exact types as on the API server."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, frozen=True)
    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        if cls.rules:
            schema["x-kubernetes-validations"] = [rule.validation() for rule in cls.rules]
        return schema


def violations(model: Model, path: str = "") -> Iterator[Violation]:
    """Every broken rule of `model` and of everything inside it, paths starting with `path`."""
    for rule in type(model).rules:
        if not rule.holds(model):
            yield Violation(_join(path, rule.field), rule.code, rule.message)
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        below = _join(path, info.alias or name)
        if isinstance(value, Model):
            yield from violations(value, below)
        elif isinstance(value, list):
            yield from _in_list(value, below, _marks(type(model))[name])


@cache
def _marks(model: type[Model]) -> dict[str, list[ListMap | ListSet]]:
    """The list semantics of each field, also where it hides in an optional type."""
    found = {}
    for name, info in model.model_fields.items():
        inner = [part for option in get_args(info.annotation) for part in get_args(option)]
        found[name] = [mark for mark in (*info.metadata, *inner) if isinstance(mark, ListMap | ListSet)]
    return found


def _in_list(items: list[Any], path: str, marks: list[ListMap | ListSet]) -> Iterator[Violation]:
    for mark in marks:
        yield from _repeated(items, path, mark)
    for index, item in enumerate(items):
        if isinstance(item, Model):
            yield from violations(item, f"{path}[{index}]")


def _repeated(items: list[Any], path: str, mark: ListMap | ListSet) -> Iterator[Violation]:
    first: dict[Any, int] = {}
    for index, item in enumerate(items):
        value = getattr(item, mark.key) if isinstance(mark, ListMap) else item
        if value in first:
            field = f"{path}[{index}].{mark.key}" if isinstance(mark, ListMap) else f"{path}[{index}]"
            message = f"{value!r} is already at {path}[{first[value]}]; it must be unique in the list"
            yield Violation(field, DUPLICATE, message)
        else:
            first[value] = index


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path and field else path or field
