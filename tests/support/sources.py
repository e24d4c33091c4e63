"""Sources that tests deploy and fill themselves: operators whose entrypoint nobody loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import BaseModel

from traceplane_sdk.operator import Operator, OutputSchema


def source(name: str, config: type[BaseModel], declare: Callable[..., Mapping[str, OutputSchema]]) -> Operator:
    """A source of that name; `declare` says what its outputs are."""
    return Operator(
        name=name,
        output_revision=1,
        summary="Is deployed, and filled by a test",
        config_model=config,
        activations=frozenset({"Source"}),
        runtimes=frozenset({"Pod"}),
        execution_strategies=frozenset(),
        update_strategies=frozenset({"Replace"}),
        declare_outputs=declare,
        entrypoint="nowhere:run",
    )
