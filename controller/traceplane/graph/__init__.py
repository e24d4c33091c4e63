"""From manifests to a graph: parse, validate, resolve and hash. Pure: no I/O, no clock, no randomness.

`parse` makes a resource of a document, `assemble` makes a Graph of a DAG, its Jobs and its Assets; both return
a list of Problem instead, every one that there is, where something is wrong.
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
