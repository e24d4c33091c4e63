"""What all kinds share: object metadata, conditions, and how a kind presents itself to the API server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from traceplane.kinds.fields import Count, Text
from traceplane.kinds.rules import ListMap, Model

GROUP = "trace.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class _Foreign(BaseModel):
    """A part that Kubernetes owns: we read a few of its fields and do not judge the rest."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class OwnerReference(_Foreign):
    """One owner of an object."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class ObjectMeta(_Foreign):
    """The fields of `metadata` that Trace reads."""

    name: str = Field(min_length=1, max_length=253)
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[OwnerReference] = []
    finalizers: list[str] = []
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class Condition(Model):
    """A standard Kubernetes condition (API conventions, "Typical status properties")."""

    type: Annotated[str, Field(pattern="^[A-Z][A-Za-z0-9]{0,62}$", max_length=63)] = Field(
        description="What the condition is about."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: Annotated[str, Field(pattern="^[A-Z][A-Za-z0-9]{0,62}$", max_length=63)] = Field(
        description="Why, in one word for programs."
    )
    message: Annotated[str, Field(max_length=32768)] = Field("", description="Why, and what to do, for people.")
    observed_generation: Annotated[int, Field(ge=0)] = Field(
        0, description="Generation of the object that the condition was decided for."
    )
    last_transition_time: Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})] = Field(
        description="When its status last changed."
    )


Conditions = Annotated[
    list[Condition], Field(max_length=16, description="What holds of the object now."), ListMap("type")
]
ObservedGeneration = Annotated[Count, Field(description="Generation of the object that the controller looked at.")]


class TaskCounts(Model):
    """How many tasks are alive, by state, and `dead`: failed for good. History is counted by metrics alone."""

    queued: Count = Field(0, description="Tasks that wait to be claimed.")
    running: Count = Field(0, description="Tasks that a worker runs.")
    retrying: Count = Field(0, description="Failed tasks that wait for a retry.")
    dead: Count = Field(0, description="Tasks that failed for good.")


class Failure(Model):
    """One of the last few failures, and where to read more of it."""

    job: Text = Field(description="Job whose task failed.")
    task: Text = Field(description="Id of the task.")
    attempt: Count = Field(description="Attempt that failed, counted from 1.")
    code: Text = Field(description="Code of the error, for programs.")
    message: Text = Field(description="What went wrong, for people.")
    time: Annotated[str, Field(max_length=64)] = Field(description="When the attempt ended.")


Failures = Annotated[
    list[Failure], Field(max_length=5, description="The newest failures, one a job; `tracectl get tasks` has all.")
]


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of `kubectl get`; `wide` ones appear with `-o wide` only."""

    name: str
    type: str
    path: str
    description: str
    wide: bool = False


def condition_column(name: str, condition: str, part: str = "status", *, wide: bool = False) -> Column:
    """A column that shows `part` of a condition."""
    path = f'.status.conditions[?(@.type=="{condition}")].{part}'
    return Column(name, "string", path, f"{part.capitalize()} of condition {condition}.", wide)


AGE = Column("Age", "date", ".metadata.creationTimestamp", "Time since the object was made.")


class Resource(Model):
    """One kind: names for the API server as class variables, `metadata` checked by the API server itself."""

    plural: ClassVar[str]
    singular: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[tuple[Column, ...]] = ()
    selectable: ClassVar[tuple[str, ...]] = ()
    """Fields that `kubectl get --field-selector` knows."""

    metadata: ObjectMeta

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name

    @property
    def source(self) -> str:
        """`Kind/name`, as problems name it."""
        return f"{type(self).__name__}/{self.metadata.name}"
