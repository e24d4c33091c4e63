"""Which rules hold on which chain: a profile is data, and a chain without one has Ethereum's.

A rule that is off is not checked by anybody: the asset's status lists it as unverified. So a profile switches off
only what a report shows that the chain breaks, and says which report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Rule(StrEnum):
    """Rules that a profile may switch off. The others hold on every chain: see `checks` and `links`."""

    FIELDS = "fields"
    TRANSACTION_TYPES = "transaction_types"
    LOG_INDEXES = "log_indexes"
    RECEIPT_BLOOMS = "receipt_blooms"
    HEADER_BLOOM = "header_bloom"
    GAS = "gas"
    CONSECUTIVE_HEIGHTS = "consecutive_heights"


class Beside(StrEnum):
    """What a chain has beside the receipts of ordinary transactions: see `block_data`."""

    NOTHING = "nothing"
    BLOCK_RECEIPT = "a receipt without a transaction"
    STATE_SYNC = "state-sync transactions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The rules of a kind of chain."""

    name: str
    chain_ids: tuple[int, ...] = ()
    """Known chains of the kind, after the registry ethereum-lists/chains."""
    off: frozenset[Rule] = frozenset()
    may_lack: frozenset[str] = frozenset()
    """JSON-RPC fields that the rule `fields` does not demand here; their columns are NULL where they lack."""
    beside: Beside = Beside.NOTHING
    notes: tuple[str, ...] = ()
    """What cannot be verified though its rule is on."""
    sources: tuple[str, ...] = ()
    """Reports that the above was taken from: GitHub's owner/repository#number."""

    @property
    def sparse(self) -> bool:
        """Whether heights without a block are part of the chain."""
        return Rule.CONSECUTIVE_HEIGHTS in self.off

    @property
    def unverified(self) -> tuple[str, ...]:
        """What the asset's status lists as not verified, in a fixed order."""
        lacking = (f"{Rule.FIELDS.value}: {', '.join(sorted(self.may_lack))}",) if self.may_lack else ()
        return (*sorted(rule.value for rule in self.off), *lacking, *self.notes)


_ALL = (
    Profile(
        name="Ethereum",
        # Mainnet, Sepolia, Holesky, Hoodi, Gnosis, Chiado, and the development chains of anvil and geth.
        chain_ids=(1, 11155111, 17000, 560048, 100, 10200, 31337, 1337),
    ),
    Profile(
        name="OpStack",
        # OP, Base, Unichain, Ink, Soneium, World, Mode, Zora, opBNB, and testnets.
        chain_ids=(10, 8453, 130, 57073, 1868, 480, 34443, 7777777, 204, 11155420, 84532, 1301, 763373),
        sources=("ethereum-optimism/op-geth#51", "paradigmxyz/reth#6547", "blockscout/blockscout#7963"),
    ),
    Profile(
        name="Arbitrum",
        chain_ids=(42161, 42170, 421614),  # One, Nova, Sepolia
        # Blocks of before Nitro have receipts that used more gas than their cumulative gas says.
        off=frozenset({Rule.GAS}),
        sources=("OffchainLabs/nitro#3407", "OffchainLabs/arbitrum-docs#689", "blockscout/blockscout#9061"),
    ),
    Profile(
        name="PolygonPos",
        chain_ids=(137, 80002),
        beside=Beside.STATE_SYNC,
        notes=("state-sync transactions of before Madhugiri",),
        sources=(
            "0xPolygon/bor#90",
            "0xPolygon/bor#1654",
            "erigontech/erigon#6276",
            "erigontech/erigon#6730",
            "0xPolygon/erigon#40",
        ),
    ),
    Profile(name="Bsc", chain_ids=(56, 97), sources=("sei-protocol/sei-chain#4018", "bnb-chain/bsc#2979")),
    Profile(name="Avalanche", chain_ids=(43114, 43113), sources=("ava-labs/coreth#57",)),
    Profile(
        name="ZkStack",
        # ZKsync Era, Abstract, Lens, Cronos zkEVM, Sophon, and testnets.
        chain_ids=(324, 2741, 232, 388, 50104, 300, 11124, 37111, 240),
        # Receipts have cumulativeGasUsed 0 and no bloom; a block without transactions may have one.
        off=frozenset({Rule.GAS, Rule.RECEIPT_BLOOMS, Rule.HEADER_BLOOM}),
        sources=("matter-labs/zksync-era#4580",),
    ),
    Profile(
        name="Filecoin",
        chain_ids=(314, 314159),
        # Null rounds have no block; every header has the full bloom; receipts count no gas of those before them.
        off=frozenset({Rule.CONSECUTIVE_HEIGHTS, Rule.HEADER_BLOOM, Rule.GAS}),
        sources=(
            "filecoin-project/lotus#10909",
            "filecoin-project/lotus#12633",
            "filecoin-project/lotus#13694",
            "blockscout/blockscout#8803",
            "ChainSafe/forest#7276",
        ),
    ),
    Profile(
        name="Celo",
        chain_ids=(42220, 44787, 11142220),
        may_lack=frozenset({"difficulty", "gasLimit", "sha3Uncles", "uncles"}),
        beside=Beside.BLOCK_RECEIPT,
        sources=(
            "celo-org/celo-blockchain#1945",
            "celo-org/celo-blockchain#2214",
            "celo-org/celo-blockchain#1628",
            "celo-org/celo-blockchain#2295",
        ),
    ),
)

PROFILES: Mapping[str, Profile] = MappingProxyType({profile.name: profile for profile in _ALL})
"""By name. `Custom` is none of them: it is made of what a job's config switches off."""
ETHEREUM = PROFILES["Ethereum"]
CUSTOM = "Custom"
_BY_CHAIN_ID = MappingProxyType({chain_id: profile for profile in _ALL for chain_id in profile.chain_ids})


def profile_of(chain_id: int, name: str | None, skip: Sequence[Rule] = ()) -> Profile:
    """The named profile, or the one that `chain_id` is known to have, or Ethereum's; `skip` is for Custom."""
    if name == CUSTOM:
        return Profile(name=CUSTOM, off=frozenset(skip))
    return PROFILES[name] if name is not None else _BY_CHAIN_ID.get(chain_id, ETHEREUM)


_AT_REST = (31337, 1337)
"""Development chains, which make a block when somebody sends something."""


def never_rests(chain_id: int) -> bool:
    """Whether the chain is a public one, known to make blocks all the time."""
    # Some make no block while nobody sends anything; those that the table has are never without users.
    return is_known(chain_id) and chain_id not in _AT_REST


def is_known(chain_id: int) -> bool:
    """Whether the table of profiles has the chain."""
    return chain_id in _BY_CHAIN_ID
