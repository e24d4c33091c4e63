"""Cycles are found, each once, and shown as a way that a reader can follow."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.graph.doubles import OPERATORS, dag, derived, source
from traceplane import graph
from traceplane.graph.wiring import cycles, topological


def test_the_way_is_shown_at_an_input_that_closes_it():
    told = graph.assemble(
        dag(source("s"), derived("a", "s", "c"), derived("b", "a"), derived("c", "b")), [], [], OPERATORS
    )
    assert [(p.path, p.code) for p in told] == [("spec.jobs[1].inputs[1].from.job", "Cycle")]
    assert "a -> b -> c -> a" in told[0].message


def test_every_knot_is_told():
    told = graph.assemble(
        dag(derived("a", "b"), derived("b", "a"), derived("c", "c"), derived("d", "c")), [], [], OPERATORS
    )
    assert sorted(p.message.split(";")[0] for p in told) == ["cycle: a -> b -> a", "cycle: c -> c"]


GRAPHS = st.dictionaries(
    st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=3), min_size=1
).map(lambda edges: {name: [r for r in reads if r in edges] for name, reads in edges.items()})


@given(GRAPHS)
def test_a_graph_either_has_an_order_or_a_cycle(edges):
    order = topological(edges)
    found = cycles(edges, order)
    position = {name: at for at, name in enumerate(order)}
    assert all(position[read] < position[name] for name in order for read in edges[name])
    assert bool(found) == (len(order) < len(edges))
    for way in found:
        assert way[0] == way[-1]
        assert all(before in edges[after] for before, after in pairwise(way))
        assert len(set(way)) == len(way) - 1
