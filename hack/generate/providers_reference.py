"""Writes docs/reference/providers.md from the table of faults and the manners that the tests have a node take on.

Usage: python -m hack.generate.providers_reference [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from operators.chain.faults import RULES, Kind, Rule
from tests.support.manners import MANNERS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "providers.md"

_HEAD = """\
# Providers

Generated from `operators/chain/faults.py` and `tests/support/manners.py` by
`python -m hack.generate.providers_reference`.

What a provider refuses is of one kind, and each kind has one reaction. A message has the provider's place in the
rpcPool, what it said, the kind, and its own words: `provider 0: HTTP 401: not authorised: invalid api key`.

## Kinds and reactions

| kind | what the follower does |
|---|---|
"""

_REACTIONS = {
    Kind.METHOD_MISSING: "takes receipts one by one where `eth_getBlockReceipts` is missing, and tries it again "
    "after 10 minutes; another method: asks another provider",
    Kind.BATCHES_NOT_TAKEN: "sends single objects, and tries an array again now and then",
    Kind.BATCH_TOO_LARGE: "halves the batch, remembers the size for this provider, and tries twice as many later",
    Kind.RESPONSE_TOO_LARGE: "the same; a single call that is too large names `maxResponseMb`",
    Kind.RATE_LIMITED: "leaves this provider alone for as long as it says, and asks it more slowly afterwards",
    Kind.NOT_THERE_YET: "asks another provider, and blames none",
    Kind.PRUNED: "asks another provider, and blames none",
    Kind.WRONG_CHAIN: "leaves it alone for a while, up to 5 minutes; stores nothing of it",
    Kind.NOT_AUTHORISED: "leaves it alone for a while, up to 5 minutes",
    Kind.MOVED: "leaves it alone for a while, up to 5 minutes; follows no redirect, which would carry the key away",
    Kind.UNREACHABLE: "asks another provider, and this one again after a moment that grows",
    Kind.MALFORMED: "stores nothing of it, asks another provider, and this one again after a moment that grows",
    Kind.REFUSED: "asks another provider, and this one again after a moment that grows",
}

_TABLE = """
A changed Secret is read by itself, once the kubelet has brought it (about a minute); a provider whose URL is new
starts afresh.

## Which answer is of which kind

The first row that holds counts. `words` is a regular expression in the message, in any case. An answer that no row
knows is of the kind `refused`.

| kind | HTTP status | JSON-RPC code | words | about | source |
|---|---|---|---|---|---|
"""

_MANNERS = """
## What was tried

Each row is a node with these manners, a follower, and rows in Postgres that are compared with the chain at the end
(`tests/integration/operators/test_provider_manners.py`).

| manner | what the provider does | what the follower does | seen at |
|---|---|---|---|
"""


def rendered() -> str:
    """The whole page."""
    kinds = (f"| {kind.value} | {_REACTIONS[kind]} |" for kind in Kind)
    manners = (f"| {one.name} | {one.behaviour} | {one.reaction} | {one.source} |" for one in MANNERS)
    return f"{_HEAD}{_lines(kinds)}{_TABLE}{_lines(map(_rule, RULES))}{_MANNERS}{_lines(manners)}"


def _lines(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


def _rule(rule: Rule) -> str:
    about = [", ".join(f"`{method}`" for method in rule.methods), "a whole array" if rule.array else ""]
    cells = (
        rule.kind.value,
        _numbers(rule.statuses),
        _numbers(rule.codes),
        f"`{rule.words}`".replace("|", "\\|") if rule.words else "",
        "; ".join(filter(None, about)),
        rule.source,
    )
    return f"| {' | '.join(cells)} |"


def _numbers(numbers: Collection[int]) -> str:
    """Numbers in order, with `408, 500 to 599` for those that follow one another."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    if any(run[0] < 0 < run[-1] for run in runs):
        return "any"
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def main(argv: list[str]) -> int:
    """Write the page, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        PAGE.write_text(rendered())
    elif not PAGE.exists() or PAGE.read_text() != rendered():
        print(f"{PAGE.name} and the table of faults differ; run: python -m hack.generate.providers_reference")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
