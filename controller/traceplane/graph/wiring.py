"""The edges of a graph: do they lead somewhere, and do they never lead back.

Iterative on purpose: a chain of thousands of jobs must not meet Python's recursion limit.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from traceplane.graph.assets import Assets, depends_on
from traceplane.graph.model import Problem
from traceplane.graph.nodes import AssetRef, Node, Output
from traceplane.graph.wording import suggestion

UNKNOWN_JOB = "UnknownJob"
UNKNOWN_OUTPUT = "UnknownOutput"
UNKNOWN_ASSET = "UnknownAsset"
CYCLE = "Cycle"

Name = TypeVar("Name", str, int)


def references(nodes: Mapping[str, Node], assets: Assets) -> Iterator[Problem]:
    """Inputs that name no job, no output or no asset, or repeat another input."""
    for node in nodes.values():
        seen: dict[Output | AssetRef, int] = {}
        for index, edge in enumerate(node.template.inputs or ()):
            origin = node.origin(index)
            if origin is None:
                continue  # reported by the rules of the kind
            field = f"inputs[{index}].from"
            if missing := _missing(nodes, origin, assets):
                part, code, message = missing
                # Under an asset of its own DAG what is missing is reported where that is published.
                if edge.from_.asset is None or isinstance(origin, AssetRef):
                    yield node.problem(f"{field}.{part}", code, message)
            elif origin in seen:
                kind = "asset" if isinstance(origin, AssetRef) else "output"
                message = f"inputs[{seen[origin]}] reads the same {kind} {'/'.join(origin)}; remove one"
                yield node.problem(field, "Duplicate", message)
            seen.setdefault(origin, index)


def _missing(nodes: Mapping[str, Node], origin: Output | AssetRef, assets: Assets) -> tuple[str, str, str] | None:
    if not isinstance(origin, AssetRef):
        return resolve(nodes, *origin)
    refused = assets.refusal(origin)
    return None if refused is None else ("asset", UNKNOWN_ASSET, refused)


def resolve(nodes: Mapping[str, Node], job: str, output: str) -> tuple[str, str, str] | None:
    """None where `output` of `job` exists; else the wrong part (`job` or `output`), a code and a message."""
    node = nodes.get(job)
    if node is None:
        return "job", UNKNOWN_JOB, f"no job {job!r} in this DAG; {suggestion(job, nodes)}"
    if node.readable and output not in node.template.outputs:
        hint = suggestion(output, node.template.outputs)
        return "output", UNKNOWN_OUTPUT, f"job {job!r} has no output {output!r}; {hint}"
    return None


def upstream(node: Node, nodes: Mapping[str, Node], assets: Assets) -> list[str]:
    """Names of the jobs that `node` reads, by way of other DAGs too, and that exist."""
    inputs = enumerate(node.template.inputs or ())
    names = (name for position, _ in inputs for name in depends_on(node, position, assets))
    return [name for name in dict.fromkeys(names) if name in nodes]


def topological(edges: Mapping[Name, Sequence[Name]]) -> list[Name]:
    """Names, or numbers, so that each stands after all it reads, ties in order; those on or behind a cycle are left
    out.

    `edges` maps every name to the names it reads (Kahn's algorithm).
    """
    waiting = {name: len(set(reads)) for name, reads in edges.items()}
    readers: dict[Name, list[Name]] = {name: [] for name in edges}
    for name, reads in edges.items():
        for read in set(reads):
            readers[read].append(name)
    ready = [name for name, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        name = heapq.heappop(ready)
        order.append(name)
        for reader in readers[name]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, reader)
    return order


def cycles(edges: Mapping[str, Sequence[str]], order: Iterable[str]) -> list[list[str]]:
    """One shortest cycle through each knot of jobs that read each other: `[a, b, a]` means b reads a reads b.

    `order` is what `topological` could place. A name appears in at most one of the cycles.
    """
    left = set(edges) - set(order)
    readers: dict[str, list[str]] = {name: [] for name in left}
    for name in sorted(left):
        for read in edges[name]:
            if read in left:
                readers[read].append(name)
    found: list[list[str]] = []
    for knot in _knots(left, readers):
        start = min(knot)
        if len(knot) > 1 or start in readers[start]:
            found.append(_shortest(start, knot, readers))
    return found


def _knots(names: Collection[str], after: Mapping[str, Sequence[str]]) -> list[set[str]]:
    """Strongly connected components (Kosaraju's two passes)."""
    finished: list[str] = []
    seen: set[str] = set()
    for root in sorted(names):
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(after[root]))]
        while stack:
            name, rest = stack[-1]
            following = next((n for n in rest if n not in seen), None)
            if following is None:
                finished.append(name)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(after[following])))
    return _collect(finished, after)


def _collect(finished: Sequence[str], after: Mapping[str, Sequence[str]]) -> list[set[str]]:
    before: dict[str, list[str]] = {name: [] for name in finished}
    for name in finished:
        for following in after[name]:
            before[following].append(name)
    taken: set[str] = set()
    knots = []
    for root in reversed(finished):
        if root in taken:
            continue
        knot, front = {root}, [root]
        while front:
            fresh = [n for n in before[front.pop()] if n not in taken and n not in knot]
            knot.update(fresh)
            front.extend(fresh)
        taken |= knot
        knots.append(knot)
    return sorted(knots, key=min)


def _shortest(start: str, knot: Collection[str], after: Mapping[str, Sequence[str]]) -> list[str]:
    """A shortest way from `start` back to itself inside `knot` (breadth first)."""
    came_from: dict[str, str] = {}
    front = deque([start])
    while front:
        name = front.popleft()
        for following in after[name]:
            if following == start:
                way = [name]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return [*reversed(way), start]
            if following in knot and following not in came_from:
                came_from[following] = name
                front.append(following)
    raise AssertionError("a strongly connected component has a cycle through each of its members")


def cycle_problems(nodes: Mapping[str, Node], found: Iterable[Sequence[str]], assets: Assets) -> Iterator[Problem]:
    """A problem for each cycle, at the input of its first job that closes it."""
    for way in found:
        node = nodes[way[0]]
        inputs = list(enumerate(node.template.inputs or ()))
        closing = next(i for i, _ in inputs if way[-2] in depends_on(node, i, assets))
        part = "job" if inputs[closing][1].from_.asset is None else "asset"
        path = " -> ".join(_shortened(way))
        message = f"cycle: {path}; a job cannot read what is made from its own output, remove one of these edges"
        yield node.problem(f"inputs[{closing}].from.{part}", CYCLE, message)


def _shortened(way: Sequence[str]) -> Sequence[str]:
    return way if len(way) <= 12 else [*way[:6], f"... {len(way) - 12} more ...", *way[-6:]]
