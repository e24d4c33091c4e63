"""What a provider may do wrong, and which answer means what.

JSON-RPC says which codes there are, and providers and nodes say the same thing in many codes, statuses and words.
All that is known of them is one table: the first row whose conditions hold gives the kind, and each kind has one
reaction (`provider` for sizes of batches, `standing` and `pool` for everything else). Messages name a provider by
its position in the pool, never by its URL, which holds a key.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What helps against a fault; the value is how it is said to a user."""

    METHOD_MISSING = "method missing"
    BATCHES_NOT_TAKEN = "batches not taken"
    BATCH_TOO_LARGE = "batch too large"
    RESPONSE_TOO_LARGE = "response too large"
    RATE_LIMITED = "rate limited"
    NOT_THERE_YET = "not there yet"
    PRUNED = "pruned"
    WRONG_CHAIN = "wrong chain"
    NOT_AUTHORISED = "not authorised"
    MOVED = "moved"
    UNREACHABLE = "unreachable"
    MALFORMED = "malformed"
    REFUSED = "refused"


class ProviderFault(Exception):
    """A provider did not answer, or its answer is unusable. Another one, or the same one later, may do better.

    `words`: what is wrong, redacted and bounded. `said`: the status or code it came with, such as `HTTP 401`.
    `provider`: its name in the pool, where known. `retry_after`: seconds that the provider asks to be left alone.
    """

    def __init__(
        self,
        words: str,
        kind: Kind = Kind.MALFORMED,
        *,
        provider: str = "",
        said: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(words)
        self.words = words
        self.kind = kind
        self.provider = provider
        self.said = said
        self.retry_after = retry_after

    def __str__(self) -> str:
        # Pure rules raise it without knowing whose answer they look at; the pool adds that.
        parts = (self.provider, self.said, self.kind.value, self.words) if self.provider else (self.words,)
        return ": ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table: it holds where every condition that it has holds.

    `words`: a regular expression in the message, in any case. `codes`: JSON-RPC's. `statuses`: HTTP's. `methods`:
    all that the error may be about are among these. `array`: the request was an array of several calls, refused as
    one.
    """

    kind: Kind
    source: str
    words: str = ""
    codes: Collection[int] = ()
    statuses: Collection[int] = ()
    methods: Collection[str] = ()
    array: bool = False

    def holds(self, status: int, code: object, message: str, methods: Collection[str], array: bool) -> bool:
        """Whether each of its conditions does."""
        # A provider may send anything as a code, also what cannot be a member of a set.
        of_code = not self.codes or (isinstance(code, int) and code in self.codes)
        of_method = not self.methods or (bool(methods) and all(method in self.methods for method in methods))
        of_words = not self.words or re.search(self.words, message, re.IGNORECASE) is not None
        return of_code and of_method and of_words and (array or not self.array) and self._status(status)

    def _status(self, status: int) -> bool:
        return not self.statuses or status in self.statuses


_BLOCK_RECEIPTS = ("eth_getBlockReceipts",)
_ANY_CODE = range(-100_000, 100_000)

RULES: Sequence[Rule] = (
    Rule(Kind.RATE_LIMITED, "RFC 6585, 4; Alchemy, QuickNode, Chainstack", statuses={429}),
    # The words first: providers agree more in them than in codes.
    Rule(
        Kind.BATCHES_NOT_TAKEN,
        "jsonrpsee BATCHES_NOT_SUPPORTED (-32005); 0xPolygon/cdk-validium-node#50 (HTTP 400 in plain text); "
        "hiero-ledger/hiero-json-rpc-relay#2078 (-32202)",
        words=r"batch(ed|ing)?( json-?rpc)?( requests?| calls?)? (is |are )?(disabled|unsupported"
        r"|not (supported|allowed|enabled|permitted))|(not|n't) (support|allow|accept) (json-?rpc )?batch",
    ),
    Rule(
        Kind.BATCHES_NOT_TAKEN,
        "agnosticeng/clickhouse-evm#4 (Alchemy)",
        words=r"unsupported methods? .*in batch",
    ),
    Rule(
        Kind.RESPONSE_TOO_LARGE,
        "ethereum/go-ethereum#33814 (-32003); hyperliquid-dex/node#65 (-32008); paritytech/jsonrpsee#1107; "
        "ponder-sh/ponder#407 (Alchemy, HTTP 400 with -32600)",
        words=r"(batch )?response( size)?( is| was)? (too (large|big)|larger than|should not|exceed)"
        r"|max(imum)? response size|exceeds? (the )?(max|limit)[^.]* response",
    ),
    Rule(
        Kind.BATCH_TOO_LARGE,
        "base/node#234 (geth, -32600); erigontech/erigon#7072 (-32000); NethermindEth/nethermind#5122; "
        "AlphaWallet/alpha-wallet-ios#5021 (-32600); AcalaNetwork/bodhi.js#383; paritytech/jsonrpsee#1107; "
        "hemilabs/ui-monorepo#887 (HTTP 500 for more than three calls)",
        words=r"^(?!.*(\brate\b|second)).*((max|limit|exceed|over|many|more|large|big)\w*\b.*\bbatch"
        r"|\bbatch\b.*\b(max|limit|exceed|over|too|more)\w*)",
    ),
    Rule(
        Kind.RATE_LIMITED,
        "Infura, 'Avoid rate limiting'; erpc/erpc error_normalizer.go; base/node#368 (-32016); web3/web3.js#7103; "
        "latticexyz/mud#1522 (Alchemy 429, QuickNode -32012); KyberNetwork/kyberswap-interface#3253 (402)",
        words=r"rate.?limit|too many requests|request (rate|limit|count) (exceeded|reached)|requests? limited to"
        r"|credits limited|request limit|compute units|(exceeded|reached) the quota|quota exceeded|over rate"
        r"|under too much load|capacity (limit|exceeded)|throttl|server is busy",
    ),
    Rule(
        Kind.PRUNED,
        "EIP-4444, ethereum/execution-apis#636; paradigmxyz/reth#22874; NethermindEth/nethermind#12089; "
        "nblockchain/geewallet#142",
        words=r"pruned|missing trie node|history (is )?(unavailable|not available|expired)|no historical rpc"
        r"|archive (node|data|request)|receipts? not available",
    ),
    Rule(Kind.PRUNED, "EIP-4444, ethereum/execution-apis#636", codes={4444}),
    Rule(
        Kind.NOT_AUTHORISED,
        "Alchemy and QuickNode, 'Error reference'; erpc/erpc error_normalizer.go",
        words=r"unauthori[sz]ed|must authenticate|not allowed to access|authentication (is )?required"
        r"|(invalid|missing|wrong|unknown|disabled) (api ?key|project id|token)|reached the free tier",
    ),
    Rule(
        Kind.METHOD_MISSING,
        "geth ('does not exist/is not available'); paradigmxyz/cryo#93 (-32001, Optimism); base/node#153; "
        "ava-labs/avalanchego#4614; erpc/erpc error_normalizer.go",
        words=r"\b(method|module)\b.*(not (found|exist|supported|available|whitelisted|allowed|enabled|implemented)"
        r"|n't exist|unavailable|unsupported|disabled|unknown|not included)|(unsupported|unknown|no such) method"
        r"|not included in your (current )?plan",
    ),
    Rule(Kind.METHOD_MISSING, "JSON-RPC 2.0, 'Error object'; EIP-1474 (-32004)", codes={-32601, -32004}),
    Rule(
        Kind.NOT_THERE_YET,
        "besu-eth/besu#8007; ethereum/go-ethereum#31949; erpc/erpc error_normalizer.go; DeFiCh/ain#2120",
        words=r"(header|block|transaction|receipts?)\b.*\b(not (yet )?(found|available|exist)|cannot be found)"
        r"|(unknown|cannot find) (block|header|transaction)|after last accepted block|greater than (the )?latest"
        r"|missing data|not (yet )?(synced|indexed)|still syncing|indexing is in progress",
    ),
    Rule(Kind.NOT_THERE_YET, "EIP-1474, 'resource not found' and 'resource unavailable'", codes={-32001, -32002}),
    # Codes and statuses that mean one thing whatever is said.
    Rule(Kind.RESPONSE_TOO_LARGE, "go-ethereum -32003; jsonrpsee -32008, -32011", codes={-32003, -32008, -32011}),
    Rule(Kind.BATCH_TOO_LARGE, "jsonrpsee -32010; RFC 9110, 15.5.14", codes={-32010}),
    Rule(Kind.BATCH_TOO_LARGE, "RFC 9110, 15.5.14 (content too large)", statuses={413}),
    Rule(
        Kind.RATE_LIMITED,
        "EIP-1474 'limit exceeded'; Infura; Alchemy 429; BlockVision -32605",
        codes={-32005, 429, -32605},
    ),
    # A method that not every node has is missing however it is refused: with other parameters, for a plan, broken.
    Rule(
        Kind.METHOD_MISSING,
        "graphprotocol/graph-node#5341 (Moonbeam, -32602); celo-org/celo-blockchain#2293 (-32000)",
        codes=_ANY_CODE,
        statuses={200, 400, 500},
        methods=_BLOCK_RECEIPTS,
    ),
    Rule(
        Kind.METHOD_MISSING,
        "ethers-io/ethers.js#4123 (HTTP 405); QuickNode, 'Error reference' (403, 404)",
        statuses={400, 403, 404, 405, 501},
        methods=_BLOCK_RECEIPTS,
    ),
    # An array that is refused for reasons nobody listed may still be taken in parts.
    Rule(
        Kind.BATCH_TOO_LARGE,
        "JSON-RPC 2.0, 'Batch': a refusal as a whole is a single object",
        codes=_ANY_CODE,
        statuses={200},
        array=True,
    ),
    Rule(
        Kind.BATCH_TOO_LARGE,
        "hiero-ledger/hiero-json-rpc-relay#1802 (HTTP 400); ethers-io/ethers.js#4123 (HTTP 405)",
        statuses={400, 403, 405, 415, 422, 500, 501},
        array=True,
    ),
    Rule(
        Kind.NOT_AUTHORISED,
        "RFC 9110, 15.5.2 to 15.5.4; QuickNode, Chainstack (credentials, an unpaid bill)",
        statuses={401, 402, 403, 407},
    ),
    Rule(
        Kind.MOVED,
        "RFC 9110, 15.4 (redirects are not followed: they would carry the key elsewhere)",
        statuses=range(300, 400),
    ),
    Rule(Kind.MOVED, "RFC 9110, 15.5.5 and 15.5.11; QuickNode, Chainstack (wrong URL)", statuses={404, 410}),
    Rule(Kind.UNREACHABLE, "RFC 9110, 15.6", statuses={408, *range(500, 600)}),
)


def classify(
    status: int, code: object = None, message: str = "", methods: Collection[str] = (), *, array: bool = False
) -> Kind:
    """The kind of a refusal: HTTP's status, the JSON-RPC error's code and message where there is one.

    `methods`: what the error may be about. `array`: it is the answer to an array of several calls as a whole.
    """
    return next((rule.kind for rule in RULES if rule.holds(status, code, message, methods, array)), Kind.REFUSED)
