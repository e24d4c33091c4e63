"""From manifests to a graph: parse, validate, resolve and hash. Pure, but for the checker of statements that a
caller may bring: no I/O, no clock, no randomness.

`parse` makes a resource of a document, `assemble` makes a Graph of a DAG, its Jobs and its Assets; both return
a list of Problem instead, every one that there is, where something is wrong. `review` does it for a set of files.
"""

from traceplane.graph.assemble import assemble
from traceplane.graph.model import Graph, GraphInput, GraphJob, GraphOutput, Placement, Problem, Publication
from traceplane.graph.parse import parse
from traceplane.graph.policy import check_asset, check_bundle, check_federation
from traceplane.graph.review import Review, review
from traceplane.graph.statements import Checker, Fault, JobStatement, trusting

__all__ = [
    "Checker",
    "Fault",
    "Graph",
    "GraphInput",
    "GraphJob",
    "GraphOutput",
    "JobStatement",
    "Placement",
    "Problem",
    "Publication",
    "Review",
    "assemble",
    "check_asset",
    "check_bundle",
    "check_federation",
    "parse",
    "review",
    "trusting",
]
