"""Quantities mean what Kubernetes means by them."""

from decimal import Decimal

import pytest

from traceplane.graph.quantities import amount


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", "0.5"),
        ("1", "1"),
        ("1.5", "1.5"),
        ("1k", "1000"),
        ("2Ki", "2048"),
        ("1.5Gi", 1610612736),
        ("1T", 10**12),
    ],
)
def test_a_quantity_is_a_number(text, number):
    assert amount(text) == Decimal(number)


def test_decimal_and_binary_suffixes_are_not_the_same():
    assert amount("1Gi") > amount("1G") > amount("953Mi")
