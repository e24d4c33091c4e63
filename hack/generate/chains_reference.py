"""Writes docs/reference/chains.md from the profiles of chains and the hand-written chains that try them.

Usage: python -m hack.generate.chains_reference [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from operators.chain.checks import CHECKS
from operators.chain.profiles import PROFILES, Profile, Rule
from tests.support.chains import CHAINS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "chains.md"

_HEAD = """\
# Chains

Generated from `operators/chain/profiles.py` and `tests/support/chains/` by
`python -m hack.generate.chains_reference`.

A block follower takes no answer on trust: rules must hold within a block and from block to block. Not every chain
keeps every rule. `chain: {profile: ...}` names the kind of chain; without it the kind follows from `chainId`, and a
chain that is in no list has Ethereum's rules. A rule that is off is listed as unverified in the asset's status.

## Rules

| rule | what holds | may be off |
|---|---|---|
"""
_BETWEEN = {
    "links": "Each block builds on the one before it, by its parent's hash.",
    "consecutive_heights": "Every height has a block. Where off, the next block's parent proves a height empty.",
}
_PROFILES = """
## Profiles

| profile | chain ids | rules off | fields that may lack | cannot be verified | reports |
|---|---|---|---|---|---|
"""
_CUSTOM = """\
| `Custom` | none | those in `skip` | with `skip: [fields]`, those of the rule | | |
"""
_TRIED = """
## What was tried

Each chain below is written by hand in the shape of the real one, after the reports, with its field names and
made-up values. It goes through an HTTP server into Postgres, and every field of every row is compared
(`tests/integration/operators/test_follower_chains.py`); each rule that is on refuses it once it is broken
(`tests/unit/chains/test_profiles.py`); and changed in any way, it is refused or decodes as an independent oracle
says (`tests/unit/chains/test_any_answer.py`). No real node of these chains was asked; Ethereum's rules are also
tried on anvil.

| chain | profile | what is special about it |
|---|---|---|
"""


def rendered() -> str:
    """The whole page."""
    held = {name: _sentence(rule.__doc__) for name, rule in CHECKS.items()} | _BETWEEN
    rules = [f"| `{name}` | {text} | {'yes' if name in set(Rule) else ''} |" for name, text in held.items()]
    profiles = [_profile(profile) for profile in PROFILES.values()]
    tried = [f"| {name} | `{shape.profile}` | {shape.says} |" for name, shape in CHAINS.items()]
    return f"{_HEAD}{_lines(rules)}{_PROFILES}{_lines(profiles)}{_CUSTOM}{_TRIED}{_lines(tried)}"


def _lines(rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


def _sentence(doc: str | None) -> str:
    return " ".join((doc or "").split("\n\n")[0].split())


def _profile(profile: Profile) -> str:
    cells = (
        f"`{profile.name}`",
        ", ".join(map(str, profile.chain_ids)),
        ", ".join(f"`{rule.value}`" for rule in sorted(profile.off)),
        ", ".join(f"`{name}`" for name in sorted(profile.may_lack)),
        "; ".join(profile.notes),
        ", ".join(profile.sources),
    )
    return f"| {' | '.join(cells)} |"


def main(argv: list[str]) -> int:
    """Write the page, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        PAGE.write_text(rendered())
    elif not PAGE.exists() or PAGE.read_text() != rendered():
        print(f"{PAGE.name} and the profiles differ; run: python -m hack.generate.chains_reference")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
