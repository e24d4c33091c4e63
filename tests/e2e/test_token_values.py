"""docs/howto/token-values.md on a real cluster, step by step, against the node's logs and the page's files."""

from __future__ import annotations

import csv
import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hack.demo import chain
from hack.localcluster.layout import CHECKOUT
from tests.docs.blocks import commands
from tests.docs.sessions import run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PAGE = "docs/howto/token-values.md"
DAGS = ("token-transfers", "token-values")
RANGE = 100
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@dataclass(frozen=True)
class Transfer:
    """An ERC-20 transfer as the node has it."""

    block: int
    index: int
    day: str
    token: str
    sender: str
    receiver: str
    amount: int


class Page:
    """The commands of the page, typed in a folder up to where a test wants to look."""

    def __init__(self, trace, folder: Path):
        self._trace = trace
        self._left = [command for command in commands() if command.page == PAGE]
        self._folder = folder

    def before(self, text: str) -> None:
        """Type what comes before the first command that begins with `text`; the rest where it is empty."""
        typed = list(itertools.takewhile(lambda one: not text or not one.text.startswith(text), self._left))
        del self._left[: len(typed)]
        assert typed, f"nothing before {text!r}"
        run(self._trace, typed, self._folder)

    def file(self, name: str) -> list[dict[str, str]]:
        """Rows of a file that the page wrote, lower case as addresses are in SQL."""
        with (self._folder / name).open() as file:
            return [{key: value.lower() for key, value in row.items()} for row in csv.DictReader(file)]


def node_transfers(trace, first: int, last: int) -> list[Transfer]:
    logs = [log for log in chain.logs(trace.rpc, first, last) if log["topics"][0] == TRANSFER]
    numbers = sorted({int(log["blockNumber"], 16) for log in logs})
    times = {int(b["number"], 16): int(b["timestamp"], 16) for b in chain.blocks(trace.rpc, numbers)}
    return [
        Transfer(
            number := int(log["blockNumber"], 16),
            int(log["logIndex"], 16),
            f"{datetime.fromtimestamp(times[number], UTC):%F}",
            log["address"],
            f"0x{log['topics'][1][-40:]}",
            f"0x{log['topics'][2][-40:]}",
            int(log["data"], 16),
        )
        for log in logs
    ]


def expected(page: Page, found: list[Transfer], whose: str) -> dict[tuple[Any, ...], Any]:
    """Count, amount and value by range, day, token and label of the sender or the receiver."""
    labels = {row["address"]: row["label"] for row in page.file("labels.csv")}
    prices = {(p["token"], p["day"]): float(p["usd"]) / 10 ** int(p["decimals"]) for p in page.file("prices.csv")}
    summed: dict[tuple[Any, ...], list[Transfer]] = defaultdict(list)
    for one in found:
        label = labels.get(getattr(one, whose), "other")
        summed[one.block // RANGE * RANGE, one.day, one.token, label].append(one)
    answer = {}
    for key, ones in summed.items():
        price = prices.get((key[2], key[1]))
        amount = sum(one.amount for one in ones)
        usd = None if price is None else pytest.approx(amount * price, rel=1e-9)
        answer[key] = (len(ones), str(amount), usd)
    return answer


def answered(trace, table: str) -> dict[tuple[Any, ...], Any]:
    rows = trace.rows(
        f"SELECT first_block, strftime(day, '%Y-%m-%d'), token, label, transfers, amount::VARCHAR, usd FROM {table}"
    )
    found = {tuple(row[:4]): tuple(row[4:]) for row in rows}
    assert len(found) == len(rows)
    return found


def prove(trace, page: Page, whose: str, table: str = "token_values") -> dict[tuple[Any, ...], Any]:
    """The answer, which is what the node's logs and the files come to, for all of the ranges that it has."""
    found = answered(trace, table)
    ranges = {key[0] for key in found}
    logs = node_transfers(trace, min(ranges), max(ranges) + RANGE - 1)
    # Ranges are summed up side by side, so one between two others may be missing for a moment.
    assert found == expected(page, [one for one in logs if one.block // RANGE * RANGE in ranges], whose)
    return found


def prove_decoded(trace) -> None:
    """What the DAG below decodes and sums up per token."""
    first, last = trace.rows("SELECT min(block_number), max(block_number) FROM token_transfers")[0]
    key = "block_number, log_index, token, sender, receiver, amount::VARCHAR"
    decoded = trace.rows(f"SELECT {key} FROM token_transfers WHERE block_number <= {last} ORDER BY 1, 2")
    truth = node_transfers(trace, first, last)
    assert decoded == [[t.block, t.index, t.token, t.sender, t.receiver, str(t.amount)] for t in truth]
    summed = trace.rows("SELECT first_block, token, transfers, amount::VARCHAR FROM token_volumes")
    totals: dict[tuple[int, str], list[int]] = defaultdict(list)
    for one in truth:
        totals[one.block // RANGE * RANGE, one.token].append(one.amount)
    assert {tuple(row) for row in summed} <= {(*k, len(v), str(sum(v))) for k, v in totals.items()}
    assert len({tuple(row[:2]) for row in summed}) == len(summed) > 0


def generations(trace) -> Counter[str]:
    """How often each job was built."""
    return Counter(trace.psql("trace_state", "SELECT name FROM jobs WHERE dag = 'token-values'").split())


@pytest.fixture
def page(trace, tmp_path):
    """The page, in a folder with its DAGs. The chain begins late there, or the test would cost more the longer the
    cluster has run."""
    (tmp_path / "dags").mkdir()
    for name in DAGS:
        text = (CHECKOUT / "dags" / f"{name}.yaml").read_text()
        start = max(0, trace.head() // RANGE * RANGE - RANGE)
        (tmp_path / "dags" / f"{name}.yaml").write_text(
            text.replace("config: {chainId", f"config: {{startBlock: {start}, chainId")
        )
    yield Page(trace, tmp_path)
    for kind, name in (*(("dag", name) for name in reversed(DAGS)), ("asset", "prices"), ("asset", "labels")):
        trace.kube.kubectl("delete", kind, name, "--ignore-not-found", "--timeout=120s")


def test_transfers_are_valued_per_day_and_label_and_the_middle_is_rebuilt_and_rolled_back(trace, page):
    page.before("sed ")
    trace.wait("two ranges are summed up", lambda: len({key[0] for key in answered(trace, "token_values")}) >= 2)
    first = prove(trace, page, "sender")
    assert any(usd is not None for *_, usd in first.values())
    assert len({key[3] for key in first}) == 3, "each label has a row"
    trace.wait("a range is summed up per token", lambda: trace.count("token_volumes") > 0)
    prove_decoded(trace)

    built = generations(trace)
    page.before("tracectl query -n trace --version staged")
    prove(trace, page, "sender")
    staged = prove(trace, page, "receiver", '"token_values@staged"')
    assert {key[0] for key in staged} >= {key[0] for key in first}
    assert sorted(generations(trace) - built) == ["daily", "priced"]

    page.before("tracectl rollback")
    prove(trace, page, "receiver")

    page.before("")
    again = prove(trace, page, "sender")
    assert first.items() <= again.items(), "the rows of before, to the last digit"
