"""Validation errors of pydantic, in terms of the YAML: a field path, a code, what would be right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from traceplane.graph.wording import suggestion
from traceplane.kinds.fields import MEANINGS
from traceplane.kinds.rules import INVALID, REQUIRED

UNKNOWN_FIELD = "UnknownField"
WRONG_TYPE = "WrongType"
OUT_OF_BOUNDS = "OutOfBounds"

_TYPES = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dataclass_type": "an object",
}
_BOUNDS = {
    "too_short": "must have at least {min_length} items, not {actual_length}",
    "too_long": "must have at most {max_length} items, not {actual_length}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
}
_QUOTED = 60


def explain(error: ValidationError, model: type[BaseModel], root: str = "") -> Iterator[tuple[str, str, str]]:
    """(path below `root`, code, message) for each error that `model` raised."""
    for detail in error.errors(include_url=False):
        code, message = _explain(detail["type"], detail, model)
        yield path(root, detail["loc"]), code, message


def path(root: str, location: Sequence[int | str]) -> str:
    """`spec.jobs[2].name` for `("jobs", 2, "name")` below `spec`. Names with other letters are quoted."""
    text = root
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part == "[key]":
            continue
        elif len(part) > _QUOTED:
            text += f"[{part[:_QUOTED]!r}...]"
        elif part.replace("_", "").replace("-", "").isalnum():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


def _explain(kind: str, detail: Any, model: type[BaseModel]) -> tuple[str, str]:
    location, value = detail["loc"], detail["input"]
    if kind == "missing":
        return REQUIRED, "is required"
    if kind == "extra_forbidden":
        known = [info.alias or name for name, info in fields_at(model, location[:-1]).items()]
        return UNKNOWN_FIELD, f"unknown field; {suggestion(str(location[-1]), known)}"
    if kind in _TYPES:
        quotes = "; write it in quotes" if kind == "string_type" and isinstance(value, int | float) else ""
        return WRONG_TYPE, f"must be {_TYPES[kind]}, not {shown(value)}{quotes}"
    if kind == "literal_error":
        allowed = str(detail["ctx"]["expected"])
        known = [word.strip("'") for word in allowed.replace(" or ", ", ").split(", ")]
        return INVALID, f"must be {allowed}, not {shown(value)}; {suggestion(str(value)[:_QUOTED], known)}"
    if kind == "string_pattern_mismatch":
        pattern = detail["ctx"]["pattern"]
        return INVALID, f"{shown(value)} must be {MEANINGS.get(pattern, f'text that matches {pattern}')}"
    if kind in _BOUNDS:
        message = _BOUNDS[kind].format(**detail["ctx"])
        if detail["ctx"].get("min_length") == 1:
            return OUT_OF_BOUNDS, "must not be empty"
        return OUT_OF_BOUNDS, message if "items" in message else f"{message}, not {shown(value)}"
    return INVALID, detail["msg"]


def fields_at(model: type[BaseModel], location: Sequence[int | str]) -> dict[str, Any]:
    """The fields of the model at `location` inside `model`; empty where there is none."""
    here: type[BaseModel] | None = model
    for part in location:
        if here is None or isinstance(part, int):
            continue
        info = next((i for n, i in here.model_fields.items() if part in (n, i.alias)), None)
        here = _model_in(info.annotation) if info is not None else None
    return dict(here.model_fields) if here is not None else {}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)


def shown(value: Any) -> str:
    """The value as it may be quoted in a message: short, on one line."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."
