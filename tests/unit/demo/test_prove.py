"""The proof fails for every way in which a table can differ from the chain."""

import pytest

from hack.demo import chain, prove
from hack.demo.ask import Truncated
from hack.demo.prove import BLOCKS, LOGS, TRANSACTIONS, Proof, compare
from hack.localcluster.layout import ClusterError

NODE = {(number,): (f"0x{number:02x}", f"0x{number - 1:02x}", number % 3) for number in range(10, 20)}
TABLE = list(NODE.items())


def found(rows, expected=NODE, table=BLOCKS):
    return list(compare(table, rows, expected))


def test_an_equal_table_is_proven_in_any_order():
    assert found(TABLE[::-1]) == []


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (TABLE[:4] + TABLE[5:], "blocks missing: 1 (14)"),
        (TABLE[:-1], "blocks missing: 1 (19)"),
        ([], "blocks missing: 10 (10, 11, 12, 13, 14 and 5 more)"),
        ([*TABLE, TABLE[3]], "blocks more than once: 1 (13)"),
        ([*TABLE, ((20,), ("0x14", "0x13", 0))], "blocks not on the chain: 1 (20)"),
        ([((10,), ("0xff", "0x09", 1)), *TABLE[1:]], "blocks with another block_hash than the node's: 1 (10)"),
        ([((10,), ("0x0a", "0xff", 1)), *TABLE[1:]], "blocks with another parent_hash than the node's: 1 (10)"),
        (
            [((10,), ("0x0a", "0x09", 9)), *TABLE[1:]],
            "blocks with another transaction_count than the node's: 1 (10)",
        ),
    ],
)
def test_every_difference_is_named(rows, said):
    assert said in found(rows)


def test_an_old_row_beside_its_replacement_is_twice_and_wrong():
    """What a reorg that was not applied leaves behind."""
    assert len(found([*TABLE, ((19,), ("0xdead", "0x12", 1))])) == 2


def test_rows_below_a_block_are_identified_by_their_place():
    node = {(3, 0): ("0xaa",), (3, 1): ("0xbb",)}
    assert found([((3, 0), ("0xaa",)), ((3, 1), ("0xaa",))], node, TRANSACTIONS) == [
        "transactions with another transaction_hash than the node's: 1 (3/1)"
    ]


def test_a_proof_that_fails_does_not_say_proven():
    assert "PROVEN against" in str(Proof(0, 9, {"blocks": 10}))
    failed = str(Proof(0, 9, {}, ("blocks missing: 1 (4)",)))
    assert failed.startswith("NOT PROVEN")
    assert "blocks missing: 1 (4)" in failed


@pytest.fixture
def node(monkeypatch):
    """A node with blocks 10 to 19, one transaction and one log each."""
    monkeypatch.setattr(prove, "PAGE", 3)
    monkeypatch.setattr(chain, "head", lambda _: 19)
    monkeypatch.setattr(
        chain,
        "blocks",
        lambda _, numbers: [
            {"number": hex(n), "hash": f"0x{n:x}", "parentHash": f"0x{n - 1:x}", "transactions": [f"0xa{n}"]}
            for n in numbers
        ],
    )
    log = {"logIndex": "0x0", "address": "0xc"}
    monkeypatch.setattr(
        chain,
        "logs",
        lambda _, first, last: [
            {"blockNumber": hex(n), "transactionHash": f"0xa{n}", **log} for n in range(first, last + 1)
        ],
    )


class Tables:
    """Answers the statements of the proof from rows."""

    def __init__(self, newest=21, below=0, most=1000):
        self.newest, self.below, self.most = newest, below, most
        self.rows = {
            "blocks": [[n, f"0x{n:x}", f"0x{n - 1:x}", 1] for n in range(10, 20)],
            "transactions": [[n, 0, f"0xa{n}"] for n in range(10, 20)],
            "logs": [[n, 0, f"0xa{n}", "0xc"] for n in range(10, 20)],
        }

    def ask(self, sql):
        if "max(" in sql:
            return [[self.newest]]
        if "count(" in sql:
            return [[self.below]]
        table = sql.split(" FROM ")[1].split()[0]
        low, high = (int(word) for word in sql.split("BETWEEN ")[1].split(" AND "))
        rows = [row for row in self.rows[table] if low <= row[0] <= high]
        if len(rows) > self.most:
            raise Truncated("cut")
        return rows


def test_whole_tables_are_compared_page_by_page(node):
    proof = prove.prove(Tables().ask, "http://node", first=10)
    assert proof.holds
    assert (proof.head, dict(proof.rows)) == (19, {"blocks": 10, "transactions": 10, "logs": 10})


def test_a_page_with_too_many_rows_is_halved(node):
    proof = prove.prove(Tables(most=1).ask, "http://node", first=10)
    assert proof.holds
    assert proof.rows["blocks"] == 10


def test_a_block_with_too_many_rows_is_an_error(node):
    with pytest.raises(Truncated):
        prove.prove(Tables(most=0).ask, "http://node", first=10)


@pytest.mark.parametrize("table", [BLOCKS, TRANSACTIONS, LOGS])
def test_a_row_that_is_gone_is_found_in_every_table(node, table):
    tables = Tables()
    del tables.rows[table.name][7]
    (difference,) = prove.prove(tables.ask, "http://node", first=10).differences
    assert difference.startswith(f"{table.name} missing: 1 (17")


def test_rows_below_the_first_block_lie_on_no_page_and_are_found(node):
    proof = prove.prove(Tables(below=2).ask, "http://node", first=10)
    assert proof.differences[0] == "blocks below the first block 10: 2"


@pytest.mark.parametrize("newest", [18, None])
def test_a_table_that_stays_behind_is_an_error_with_its_height(node, newest):
    with pytest.raises(ClusterError, match=f"block {newest} of 19"):
        prove.prove(Tables(newest=newest).ask, "http://node", seconds=0)
