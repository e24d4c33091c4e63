"""The answer to each question, computed in Python from what the node says.

Written from the question, not from its SQL. Balances are what the node itself keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.integration.query.questions.facts import (
    Facts,
    Rows,
    at,
    day,
    ether,
    grouped,
    gwei,
    height,
    hour,
    most,
    n,
    paid,
)
from tests.integration.query.questions.research import ACCOUNT, TOKEN, TRANSFER

APPROVAL = "0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925"
SEND = "0xa9059cbb"
ANSWERS: dict[str, Callable[[Facts], Rows]] = {}


def answers(question: str) -> Callable[[Callable[[Facts], Rows]], Callable[[Facts], Rows]]:
    """The function answers `question`."""

    def kept(function: Callable[[Facts], Rows]) -> Callable[[Facts], Rows]:
        ANSWERS[question] = function
        return function

    return kept


def failed(facts: Facts) -> list[dict[str, Any]]:
    return [sent for sent in facts.sent if sent["status"] == "0x0"]


def address(topic: str) -> str:
    return f"0x{n(topic):040x}"


def token_transfers(facts: Facts) -> list[dict[str, Any]]:
    return [log for log in facts.logs if log["address"] == TOKEN and log["topics"][0] == TRANSFER]


@answers("How many blocks are there, and is one missing?")
def _(facts: Facts) -> Rows:
    numbers = {height(block) for block in facts.blocks}
    missing = set(range(min(numbers), max(numbers))) - numbers
    return [(len(numbers), min(numbers), max(numbers), at(facts.blocks[-1]), len(missing))]


@answers("Which blocks came late?")
def _(facts: Facts) -> Rows:
    pairs = zip(facts.blocks, facts.blocks[1:], strict=False)
    pauses = [(height(late), at(late), at(late) - at(before)) for before, late in pairs]
    late = most([row for row in pauses if row[2] > timedelta(minutes=1)], 2, 20)
    return [(number, moment, f"{pause}".rjust(8, "0")) for number, moment, pause in late]


@answers("How full are the blocks, hour by hour?")
def _(facts: Facts) -> Rows:
    def full(block: dict[str, Any]) -> float:
        return 100 * n(block["gasUsed"]) / n(block["gasLimit"])

    return [(key, sum(map(full, blocks)) / len(blocks)) for key, blocks in grouped(facts.blocks, hour)]


@answers("How does the base fee move?")
def _(facts: Facts) -> Rows:
    def bucket(block: dict[str, Any]) -> datetime:
        return hour(block).replace(hour=hour(block).hour // 6 * 6)

    rows = []
    for key, blocks in grouped(facts.blocks, bucket):
        fees = [n(block["baseFeePerGas"]) for block in blocks]
        rows.append((key, gwei(min(fees)), sum(fees) / len(fees) / 1e9, gwei(max(fees))))
    return rows


@answers("What does each block producer earn in tips?")
def _(facts: Facts) -> Rows:
    def tip(sent: dict[str, Any]) -> int:
        base = n(facts.block_of(sent)["baseFeePerGas"])
        return n(sent["gasUsed"]) * (n(sent["effectiveGasPrice"]) - base)

    by_producer = grouped(facts.sent, lambda sent: facts.block_of(sent)["miner"])
    rows = [(key, len(set(map(height, sent))), ether(sum(map(tip, sent)))) for key, sent in by_producer]
    return most(rows, 2, 10)


@answers("How many transactions are there each day, and how many fail?")
def _(facts: Facts) -> Rows:
    rows = []
    for key, sent in grouped(facts.sent, lambda sent: day(facts.block_of(sent))):
        bad = sum(one["status"] == "0x0" for one in sent)
        rows.append((key, len(sent), bad, 100 * bad / len(sent)))
    return rows


@answers("What are the fees of each block, in ether?")
def _(facts: Facts) -> Rows:
    found = grouped(facts.sent, height)[::-1]
    return [(number, len(sent), ether(sum(map(paid, sent)))) for number, sent in found[:100]]


@answers("How much ether is burnt each day?")
def _(facts: Facts) -> Rows:
    def burnt(block: dict[str, Any]) -> int:
        return n(block["baseFeePerGas"]) * n(block["gasUsed"])

    return [(key, ether(sum(map(burnt, blocks)))) for key, blocks in grouped(facts.blocks, day)]


@answers("How much gas does a transaction use, by percentile?")
def _(facts: Facts) -> Rows:
    used = sorted(n(sent["gasUsed"]) for sent in facts.sent)

    def between(share: float) -> float:
        place = (len(used) - 1) * share
        low, high = used[math.floor(place)], used[math.ceil(place)]
        return low + (high - low) * (place - math.floor(place))

    return [([between(share) for share in (0.1, 0.5, 0.9, 0.99)], used[-1])]


@answers("What gas price is paid, by percentile and day?")
def _(facts: Facts) -> Rows:
    rows = []
    for key, sent in grouped(facts.sent, lambda sent: day(facts.block_of(sent))):
        prices = sorted(n(one["effectiveGasPrice"]) for one in sent)
        shares = [Fraction(tenths, 10) for tenths in (1, 5, 9)]
        rows.append((key, *(gwei(prices[math.ceil(share * len(prices)) - 1]) for share in shares)))
    return rows


@answers("Which transactions fail, by method?")
def _(facts: Facts) -> Rows:
    rows = []
    for key, sent in grouped(failed(facts), lambda sent: sent["input"][:10]):
        senders = {one["from"] for one in sent}
        rows.append((key, len(sent), len(senders), sum(n(one["gasUsed"]) for one in sent)))
    return most(rows, 1, 20)


@answers("Who loses most on transactions that fail?")
def _(facts: Facts) -> Rows:
    found = grouped(failed(facts), lambda sent: sent["from"])
    return most([(key, len(sent), ether(sum(map(paid, sent)))) for key, sent in found], 2, 10)


@answers("Who sent most ether in the last 24 hours?")
def _(facts: Facts) -> Rows:
    since = datetime.now(UTC) - timedelta(days=1)
    recent = [sent for sent in facts.sent if at(facts.block_of(sent)) > since]
    moved = [sent for sent in recent if sent["status"] == "0x1" and n(sent["value"])]
    found = grouped(moved, lambda sent: sent["from"])
    return most([(key, len(sent), ether(sum(n(one["value"]) for one in sent))) for key, sent in found], 2, 10)


@answers("How many addresses are new, hour by hour?")
def _(facts: Facts) -> Rows:
    first: dict[str, datetime] = {}
    for sent in facts.sent:
        for one in (sent["from"], sent["to"]):
            if one is not None:
                first.setdefault(one, hour(facts.block_of(sent)))
    return [(key, len(new)) for key, new in grouped(first.values(), lambda moment: moment)]


@answers("How many addresses are active each day?")
def _(facts: Facts) -> Rows:
    found = grouped(facts.sent, lambda sent: day(facts.block_of(sent)))
    return [
        (key, len({one["from"] for one in sent}), len({one["to"] for one in sent} - {None})) for key, sent in found
    ]


@answers("What came into an account and what went out, block by block?")
def _(facts: Facts) -> Rows:
    balances = [n(facts.node.rpc("eth_getBalance", ACCOUNT, block["number"])) for block in facts.blocks]
    concerned = {height(sent) for sent in facts.sent if ACCOUNT in (sent["from"], sent["to"])}
    return [
        (number, ether(balances[number] - balances[number - 1]), ether(balances[number] - balances[0]))
        for number in sorted(concerned)
    ]


@answers("Which contracts are the busiest?")
def _(facts: Facts) -> Rows:
    calls = [sent for sent in facts.sent if sent["to"] and sent["input"] != "0x"]
    rows = []
    for key, sent in grouped(calls, lambda sent: sent["to"]):
        callers = {one["from"] for one in sent}
        rows.append((key, len(sent), len(callers), sum(n(one["gasUsed"]) for one in sent)))
    return most(rows, 1, 10)


@answers("Which contracts are new, and who made them?")
def _(facts: Facts) -> Rows:
    made = [sent for sent in facts.sent if sent["to"] is None and sent["status"] == "0x1"][::-1]
    return [(one["contractAddress"], one["from"], at(facts.block_of(one)), one["hash"]) for one in made[:20]]


@answers("Which tokens change hands most?")
def _(facts: Facts) -> Rows:
    rows = []
    transfers = [log for log in facts.logs if log["topics"][0] == TRANSFER]
    for key, logs in grouped(transfers, lambda log: log["address"]):
        with_id = sum(len(log["topics"]) == 4 for log in logs)
        rows.append((key, len(logs), with_id, len({log["topics"][2] for log in logs})))
    return most(rows, 1, 20)


@answers("How much of a token moves each day?")
def _(facts: Facts) -> Rows:
    found = grouped(token_transfers(facts), lambda log: day(facts.block_of(log)))
    return [(key, len(logs), ether(sum(n(log["data"]) for log in logs))) for key, logs in found]


@answers("Who sent tokens to whom, in which transaction?")
def _(facts: Facts) -> Rows:
    rows = []
    for log in token_transfers(facts)[::-1]:
        _, sender, receiver = log["topics"]
        (sent,) = (one for one in facts.sent if one["hash"] == log["transactionHash"])
        told = (sent["from"], sent["input"][:10], sent["hash"])
        place = (height(log), n(log["logIndex"]))
        rows.append((*place, address(sender), address(receiver), ether(n(log["data"])), *told))
    return rows[:100]


@answers("Who holds a token?")
def _(facts: Facts) -> Rows:
    holders = {address(topic) for log in token_transfers(facts) for topic in log["topics"][1:]}
    call = {one: {"to": TOKEN, "data": f"0x70a08231{n(one):064x}"} for one in sorted(holders)}  # balanceOf(address)
    balances = [(one, ether(n(facts.node.rpc("eth_call", call[one], "latest")))) for one in call]
    return most([row for row in balances if row[1]], 1, 10)


@answers("Whom did owners give an unlimited approval that still stands?")
def _(facts: Facts) -> Rows:
    newest: dict[tuple[str, str, str], int] = {}
    for log in facts.logs:
        if log["topics"][0] == APPROVAL and len(log["topics"]) == 3:
            newest[log["address"], address(log["topics"][1]), address(log["topics"][2])] = n(log["data"])
    return sorted(key for key, amount in newest.items() if amount >= 2**255)[:100]


@answers("What did transfers that failed try to move?")
def _(facts: Facts) -> Rows:
    rows = []
    for sent in failed(facts)[::-1]:
        data = bytes.fromhex(sent["input"][2:])
        if data[:4].hex() == SEND[2:]:
            receiver, amount = data[4:36], int.from_bytes(data[36:68])
            rows.append((height(sent), sent["from"], f"0x{receiver[12:].hex()}", str(amount)))
    return rows[:100]
