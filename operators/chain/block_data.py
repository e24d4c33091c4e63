"""What a provider answered for one height, taken apart into lists and objects. Pure.

JSON may be anything: a list where an object belongs, a text where a list belongs, which Python would iterate over
without a word. Here an answer gets its shape or is refused, so that the rules of `checks` and the decoders of
`decode` deal with names and values alone.

Some chains have receipts beside those of their transactions. Two kinds are known:

- Celo's block receipt: logs of system calls, under the block's hash in place of a transaction's, with no
  transaction (celo-org/celo-blockchain#1628, #2295). It is in the header's bloom and in no sum of gas.
- Polygon's state-sync transaction, the last of a sprint's last block: it has a transaction and a receipt, and until
  the Madhugiri fork neither counts for the header's bloom and gas (0xPolygon/bor#90).

Only a profile that says so lets either through: elsewhere it would be a way to add logs that no header vouches for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from operators.chain.faults import Kind, ProviderFault
from operators.chain.profiles import Beside, Profile
from operators.chain.provider import Json

ZERO_ADDRESS = "0x" + "00" * 20
STATE_SYNC_TYPE = "0x7f"
"""Of Polygon's state-sync transactions since Madhugiri; before, they look like legacy ones."""


@dataclass(frozen=True, slots=True)
class BlockData:
    """A block of whole transactions, and its receipts in the same order."""

    number: int
    """The height that was asked for; whether it is the block's is for a rule to say."""
    block: dict[str, Json]
    receipts: Sequence[dict[str, Json]]
    block_receipt: dict[str, Json] | None = None
    """Celo's receipt without a transaction."""
    state_sync: bool = False
    """Whether the last transaction is Polygon's state-sync transaction."""

    @property
    def transactions(self) -> Sequence[dict[str, Json]]:
        """The block's transactions."""
        transactions: Sequence[dict[str, Json]] = self.block["transactions"]
        return transactions

    @property
    def with_block_receipt(self) -> Sequence[dict[str, Json]]:
        """Every receipt that has logs of this block."""
        return self.receipts if self.block_receipt is None else [*self.receipts, self.block_receipt]


def block_data(number: int, block: Json, receipts: Json, profile: Profile) -> BlockData:
    """Block and receipts as a chain of `profile` has them. Raises ProviderFault for what is of another shape."""
    if block is None:
        raise ProviderFault(f"block {number} is not there", Kind.NOT_THERE_YET)  # a node that lags, or has less
    if type(block) is not dict or type(receipts) is not list:
        raise ProviderFault(f"block {number} or its receipts are not there")
    transactions: Json = block.get("transactions")
    if not _objects(transactions):
        raise ProviderFault(f"block {number}: its transactions are no list of objects")
    if None in receipts:  # of a node that does not find a transaction by its hash, yet or any more
        raise ProviderFault(f"block {number}: some of its receipts are not there", Kind.NOT_THERE_YET)
    if not _objects(receipts):
        raise ProviderFault(f"block {number}: its receipts are no list of objects")
    for index, receipt in enumerate(receipts):
        if not _objects(receipt.get("logs")):
            raise ProviderFault(f"block {number}: the logs of receipt {index} are no list of objects")
    if profile.beside is Beside.STATE_SYNC:
        return BlockData(number, block, receipts, state_sync=bool(transactions) and is_state_sync(transactions[-1]))
    if profile.beside is Beside.BLOCK_RECEIPT and len(receipts) == len(transactions) + 1:
        if receipts[-1].get("transactionHash") != block.get("hash"):
            raise ProviderFault(f"block {number}: the receipt without a transaction is not the block's")
        return BlockData(number, block, receipts[:-1], block_receipt=receipts[-1])
    return BlockData(number, block, receipts)


def is_state_sync(source: Json) -> bool:
    """Whether a transaction, or a receipt, is of Polygon's state-sync kind: from nobody to nobody, without gas."""
    if type(source) is not dict:
        return False
    if source.get("type") == STATE_SYNC_TYPE:
        return True
    gas = source.get("gasUsed", source.get("gas"))
    return source.get("from") == source.get("to") == ZERO_ADDRESS and gas == "0x0"


def _objects(values: Json) -> bool:
    return type(values) is list and set(map(type, values)) <= {dict}
