"""The choice of a cluster's addresses."""

from __future__ import annotations

import ipaddress

import pytest

from hack.localcluster.layout import ClusterError
from hack.localcluster.namespaces import choose_subnet


def test_a_subnet_overlaps_no_route_of_the_machine() -> None:
    taken = ["203.0.113.0/25", "192.0.2.0/24", "203.0.113.130"]
    chosen = choose_subnet(taken, seed=0)
    assert chosen == ipaddress.IPv4Network("203.0.113.132/30")


def test_the_seed_spreads_clusters_and_wraps_around() -> None:
    assert choose_subnet([], seed=1) == ipaddress.IPv4Network("203.0.113.4/30")
    assert choose_subnet([], seed=127) == ipaddress.IPv4Network("198.51.100.252/30")
    assert choose_subnet(["198.51.100.252/30"], seed=127) == ipaddress.IPv4Network("203.0.113.0/30")


def test_no_free_subnet_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ClusterError, match="take down clusters"):
        choose_subnet(["203.0.113.0/24", "198.51.100.0/24"], seed=0)
