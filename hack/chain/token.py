"""Calls of the example ERC-20 (`Token.sol`), encoded by hand: the ABI's fixed-size words are all it needs.

Contract ABI: https://docs.soliditylang.org/en/latest/abi-spec.html
"""

from __future__ import annotations

import json
from pathlib import Path

_ARTIFACT = json.loads((Path(__file__).parent / "Token.json").read_text())


def deployment(supply: int) -> str:
    """Init code that gives `supply` tokens to the deployer."""
    return str(_ARTIFACT["bytecode"]) + f"{supply:064x}"


def transfer(to: str, value: int) -> str:
    """Call data of `transfer(address,uint256)`."""
    return _call("transfer(address,uint256)", int(to, 16), value)


def approve(spender: str, value: int) -> str:
    """Call data of `approve(address,uint256)`."""
    return _call("approve(address,uint256)", int(spender, 16), value)


def _call(signature: str, *words: int) -> str:
    return "0x" + _ARTIFACT["methods"][signature] + "".join(f"{word:064x}" for word in words)
