"""Inputs that name an asset: an output of their own DAG by its public name, or what another DAG publishes.

An asset that the DAG publishes itself is its output, and nothing more. One of another DAG is a dataset version, the
one that its readers get now: the hash of a job that reads it covers that version, so that its cutover makes another
graph of the same manifest, which is staged like any other change, and its rollback the graph that was before.

Which version that is, only state knows. So it is looked up before a graph is assembled.   (pure)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from traceplane.graph.model import AssetVersion
from traceplane.graph.nodes import AssetRef, Node

Found = Mapping[AssetRef, AssetVersion | str]


class Awaited(NamedTuple):
    """A DAG that is to publish an asset and does not yet. `reads`: an asset of the DAG that asks which it waits for
    itself, or nothing."""

    dag: str
    reads: str


@dataclass(frozen=True, slots=True)
class Assets:
    """What is known of assets of other DAGs: a version, or why it may not be read. `complete`: what is missing is
    published nowhere; otherwise nothing is said of it. `awaited`: of that, what a DAG object is to publish."""

    found: Found = field(default_factory=dict)
    complete: bool = True
    awaited: Mapping[AssetRef, Awaited] = field(default_factory=dict)

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
            said = f"no DAG publishes an asset {ref.asset!r} in namespace {ref.namespace!r}; this one waits for it"
            return f"{said}{_until(self.awaited.get(ref))}"
        return None


def _until(awaited: Awaited | None) -> str:
    """What has to happen for an asset to be there."""
    if awaited is None:
        return " (an external asset: for its first refresh)"
    if not awaited.reads:
        return f": DAG {awaited.dag} is to publish it, once a version that does so is active"
    return (
        f": DAG {awaited.dag} is to publish it, and reads asset {awaited.reads!r} of this one; apply one of the "
        "two without that input first"
    )


def may_not_read(ref: AssetRef, namespace: str) -> str:
    """Why DAGs of a namespace may not read an asset. Said alike of what exists and of what does not: names of other
    namespaces are nobody's to find out."""
    return (
        f"no asset {ref.asset!r} in namespace {ref.namespace!r} may be read from {namespace!r}; its Asset must "
        f"list {namespace!r} in spec.readNamespaces"
    )


def depends_on(node: Node, position: int, assets: Assets) -> Iterator[str]:
    """Jobs of the same DAG that the input is made from."""
    origin = node.origin(position)
    if isinstance(origin, AssetRef):
        version = assets.version(origin)
        yield from sorted(version.made_from) if version else ()
    elif origin is not None:
        yield origin[0]
