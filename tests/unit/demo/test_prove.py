"""The proof fails for every way in which a table can differ from the chain."""

from dataclasses import replace

import pytest

from hack.demo import chain, prove
from hack.demo.prove import Proof, Row, compare
from hack.localcluster.layout import ClusterError

CHAIN = [Row(number, f"0x{number:02x}", f"0x{number - 1:02x}", number % 3) for number in range(10, 20)]


def test_an_equal_table_is_proven():
    assert compare(list(reversed(CHAIN)), CHAIN) == ()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (CHAIN[:4] + CHAIN[5:], "1 blocks missing: 14"),
        (CHAIN[:-1], "1 blocks missing: 19"),
        ([], "10 blocks missing: 10, 11, 12, 13, 14 and 5 more"),
        ([*CHAIN, CHAIN[3]], "1 blocks more than once: 13"),
        ([*CHAIN, Row(20, "0x14", "0x13", 0)], "1 blocks not on the chain: 20"),
        ([replace(CHAIN[0], hash="0xff"), *CHAIN[1:]], "1 blocks with another hash than the node's: 10"),
        ([replace(CHAIN[0], parent="0xff"), *CHAIN[1:]], "1 blocks with another parent than the node's: 10"),
        ([replace(CHAIN[0], transactions=9), *CHAIN[1:]], "1 blocks with another transactions than the node's: 10"),
    ],
)
def test_every_difference_is_named(table, said):
    assert said in compare(table, CHAIN)


def test_an_old_row_beside_its_replacement_is_twice_and_wrong():
    """What a reorg that was not applied leaves behind."""
    differences = compare([*CHAIN, replace(CHAIN[-1], hash="0xdead")], CHAIN)
    assert len(differences) == 2


def test_a_proof_that_fails_does_not_say_proven():
    assert "PROVEN against" in str(Proof(0, 9, 10, 3, ()))
    failed = str(Proof(0, 9, 10, 3, ("1 blocks missing: 4",)))
    assert failed.startswith("NOT PROVEN")
    assert "1 blocks missing: 4" in failed


def test_rows_below_the_first_block_and_pages_are_seen(monkeypatch):
    """The proof asks page by page; what lies outside of every page must not escape it."""
    monkeypatch.setattr(prove, "PAGE", 3)
    monkeypatch.setattr(chain, "head", lambda _: 19)
    monkeypatch.setattr(
        chain,
        "blocks",
        lambda _, numbers: [
            {
                "number": hex(n),
                "hash": f"0x{n:02x}",
                "parentHash": f"0x{n - 1:02x}",
                "transactions": ["0x"] * (n % 3),
            }
            for n in numbers
        ],
    )

    def ask(sql):
        if "max(" in sql:
            return [[21]]
        if "count(" in sql:
            return [[2]]
        low, high = (int(word) for word in sql.split("BETWEEN ")[1].split(" AND "))
        return [[row.number, row.hash, row.parent, row.transactions] for row in CHAIN if low <= row.number <= high]

    proof = prove.prove(ask, "http://node", table="blocks", first=10)
    assert (proof.head, proof.rows) == (19, 10)
    assert proof.differences == ("2 rows below the first block 10",)


def test_a_table_that_stays_behind_is_an_error_with_its_height(monkeypatch):
    monkeypatch.setattr(chain, "head", lambda _: 19)
    with pytest.raises(ClusterError, match="block 18 of 19"):
        prove.prove(lambda _: [[18]], "http://node", table="blocks", seconds=0)
