"""From manifests to a graph: parse, validate, resolve and hash. Pure: no I/O, no clock, no randomness.

    dag = graph.parse("DAG", document)                  # DAG | list[Problem]
    graph.assemble(dag, jobs, assets, operators)        # Graph | list[Problem]
"""

from traceplane.graph.model import (
    Graph,
    GraphInput,
    GraphJob,
    GraphOutput,
    Placement,
    Problem,
    Publication,
)

__all__ = [
    "Graph",
    "GraphInput",
    "GraphJob",
    "GraphOutput",
    "Placement",
    "Problem",
    "Publication",
]
