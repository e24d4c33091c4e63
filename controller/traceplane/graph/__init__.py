"""From manifests to a graph: parse, validate, resolve and hash. Pure, but for the checker of statements that a
caller may bring: no I/O, no clock, no randomness.

`parse` makes a resource of a document, `assemble` makes a Graph of a DAG, its Jobs and its Assets; both return
a list of Problem instead, every one that there is, where something is wrong. `review` does it for a set of files.
"""

from traceplane.graph.assemble import assemble
from traceplane.graph.assets import Assets, Awaited, Found, may_not_read
from traceplane.graph.model import (
    AssetVersion,
    Graph,
    GraphInput,
    GraphJob,
    GraphOutput,
    Placement,
    Problem,
    Publication,
    columns_of,
)
from traceplane.graph.nodes import AssetRef, asset_refs
from traceplane.graph.parse import parse
from traceplane.graph.policy import check_asset, check_bundle, check_federation
from traceplane.graph.review import NOT_DEPLOYED, LookUp, Review, review
from traceplane.graph.statements import Checker, Fault, JobStatement, trusting

__all__ = [
    "NOT_DEPLOYED",
    "AssetRef",
    "AssetVersion",
    "Assets",
    "Awaited",
    "Checker",
    "Fault",
    "Found",
    "Graph",
    "GraphInput",
    "GraphJob",
    "GraphOutput",
    "JobStatement",
    "LookUp",
    "Placement",
    "Problem",
    "Publication",
    "Review",
    "assemble",
    "asset_refs",
    "check_asset",
    "check_bundle",
    "check_federation",
    "columns_of",
    "may_not_read",
    "parse",
    "review",
    "trusting",
]
