"""Bundle: an immutable artifact of user code, known by its hash. Accepted and stored; nothing runs it yet."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from traceplane.kinds.fields import S3_URI, SHA256
from traceplane.kinds.meta import AGE, Column, Conditions, ObservedGeneration, Resource, condition_column
from traceplane.kinds.rules import FORBIDDEN, Model, Rule


class BundleSpec(Model):
    """Where the artifact is and what it must be. A change is refused by the API server."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self == oldSelf",
            lambda _spec: True,  # one manifest alone cannot show a change
            "a Bundle never changes; make another with a new name",
            "",
            FORBIDDEN,
        ),
    )

    language: Literal["Python", "Node", "Rust"] = Field(description="Runtime of the bundle.")
    uri: Annotated[str, Field(pattern=S3_URI, max_length=1024)] = Field(description="Address of the zip file.")
    sha256: Annotated[str, Field(pattern=SHA256, max_length=64)] = Field(
        description="SHA-256 of the file, 64 lower-case hex digits."
    )
    entrypoint: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None, description="Function to call where a job names none."
    )


class BundleStatus(Model):
    """What the controller last saw."""

    observed_generation: ObservedGeneration = 0
    conditions: Conditions = Field(default_factory=list)


class Bundle(Resource):
    """An immutable artifact of user code."""

    plural: ClassVar[str] = "bundles"
    singular: ClassVar[str] = "bundle"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Language", "string", ".spec.language", "Runtime of the bundle."),
        condition_column("Valid", "Valid"),
        AGE,
        Column("SHA256", "string", ".spec.sha256", "Hash of the file.", wide=True),
    )

    spec: BundleSpec
    status: BundleStatus | None = None
