"""Inputs that name an asset: an output of their own DAG by its public name, or what another DAG publishes.

An asset that the DAG publishes itself is its output, and nothing more. One of another DAG is a dataset version, the
one that its readers get now: the hash of a job that reads it covers that version, so that its cutover makes another
graph of the same manifest, which is staged like any other change, and its rollback the graph that was before.

Which version that is, only state knows. So it is looked up before a graph is assembled.   (pure)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from traceplane.graph.model import AssetVersion
from traceplane.graph.nodes import AssetRef, Node

Found = Mapping[AssetRef, AssetVersion | str]


@dataclass(frozen=True, slots=True)
class Assets:
    """What is known of assets of other DAGs: a version, or why it may not be read. `complete`: what is missing is
    published nowhere; otherwise nothing is said of it."""

    found: Found = field(default_factory=dict)
    complete: bool = True

    def version(self, ref: AssetRef) -> AssetVersion | None:
        """The version that readers get; None where it may not be read or is not known."""
        found = self.found.get(ref)
        return found if isinstance(found, AssetVersion) else None

    def refusal(self, ref: AssetRef) -> str | None:
        """Why the asset may not be read."""
        found = self.found.get(ref)
        if isinstance(found, str):
            return found
        if found is None and self.complete:
            return (
                f"no DAG publishes an asset {ref.asset!r} in namespace {ref.namespace!r}; this one waits for it "
                "(an external asset: for its first refresh)"
            )
        return None


def depends_on(node: Node, position: int, assets: Assets) -> Iterator[str]:
    """Jobs of the same DAG that the input is made from."""
    origin = node.origin(position)
    if isinstance(origin, AssetRef):
        version = assets.version(origin)
        yield from sorted(version.made_from) if version else ()
    elif origin is not None:
        yield origin[0]
