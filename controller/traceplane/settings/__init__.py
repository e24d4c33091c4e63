"""Every knob of every process, typed, and the only reader of the environment.

`parts` has the settings by subject, `processes` which parts a process reads. A function takes the part it needs, or
the settings of its process.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from traceplane.errors import InvalidSettings
from traceplane.settings import parts
from traceplane.settings.object_store import ObjectStore
from traceplane.settings.part import Part
from traceplane.settings.processes import (
    PROCESSES,
    AdminSettings,
    ControllerSettings,
    DispatcherSettings,
    MigrateSettings,
    QuerySettings,
    UserApiSettings,
    WorkerSettings,
)

__all__ = [
    "PROCESSES",
    "AdminSettings",
    "ControllerSettings",
    "DispatcherSettings",
    "MigrateSettings",
    "QuerySettings",
    "Settings",
    "UserApiSettings",
    "WorkerSettings",
    "load",
]

Model = TypeVar("Model", bound=Part)


class Settings(
    parts.Worker,
    parts.WorkerPod,
    parts.Controller,
    parts.Query,
    parts.UserApi,
    parts.Users,
    parts.WorkerToken,
    parts.Capability,
    parts.Dispatch,
    parts.Attempts,
    parts.MetricNames,
    parts.Metrics,
    parts.External,
    parts.Addresses,
    ObjectStore,
    parts.Migration,
    parts.DataDatabase,
    parts.StateDatabase,
    parts.OpenLineage,
    parts.Tracing,
    parts.Process,
):
    """Every setting there is, none of them needed: what the reference page and the chart's schema are made from."""


def load(model: type[Model], **overrides: Any) -> Model:
    """Settings of a process from the environment; `overrides` win. InvalidSettings names all that is wrong."""
    try:
        return model(**overrides)
    except ValidationError as error:
        problems = (_problem(model, found) for found in error.errors())
        raise InvalidSettings("; ".join(problems)) from error


def _problem(model: type[Part], found: ErrorDetails) -> str:
    """What to change, by the name of its environment variable."""
    name = "_".join(str(part) for part in found["loc"])
    if found["type"] == "missing":
        return f"set TRACE_{name.upper()}: {model.model_fields[name].description}"
    if found["type"] == "needed":
        return found["msg"]  # names its variables itself
    return f"TRACE_{name.upper()}: {found['msg']}"
