"""Whether other providers of a pool have a reorg too: only one whose head has reached the height can know.

One that lags neither confirms nor denies, since it may not have heard of the new blocks or of the old. Each
provider that knows has one vote, and so has the one that is followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from operators.chain.calls import block_call
from operators.chain.faults import ProviderFault
from operators.chain.head import number_and_hash
from operators.chain.pool import ProviderPool
from operators.chain.provider import Provider

_VOTERS = 5
"""Providers that are asked, at most."""


class Verdict(StrEnum):
    """What the others say of a reorg."""

    CONFIRMED = "confirmed"
    DENIED = "denied"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Block:
    """A height and a hash."""

    number: int
    block_hash: str


def verdict(pool: ProviderPool, new: Block, old: Block) -> tuple[Verdict, list[str]]:
    """Whether `new` took the place of the tip `old`, and the names of the providers that deny it, or cannot know
    yet.

    Confirmed where nobody else can be asked: a pool of one provider could never confirm.
    """
    voters = pool.usable()
    confirming, denying, behind = 0, [], []
    for other in voters[:_VOTERS] if len(voters) > 1 else []:
        try:
            said = pool.ask(other, lambda one: _vote(one, new, old))
        except ProviderFault:
            continue  # no answer is no objection, and the pool keeps the fault in mind
        if said is Verdict.PENDING:
            behind.append(other.name)
        elif said is Verdict.DENIED and pool.lags(other):
            behind.append(other.name)  # it is on a fork that it does not go on with, or far from the head
        elif said is Verdict.DENIED:
            denying.append(other.name)
        else:
            confirming += 1
    if denying and confirming <= len(denying):
        return Verdict.DENIED, denying
    # One that confirms is where the reorg was seen; it takes another, unless nobody else can know sooner or later.
    return (Verdict.PENDING, behind) if behind and confirming < 2 else (Verdict.CONFIRMED, [])


def _vote(provider: Provider, new: Block, old: Block) -> Verdict:
    """One provider's. Raises ProviderFault."""
    heights = ("latest", new.number, old.number)
    latest, at_new, at_old = provider.batch([block_call(height, full=False) for height in heights])
    if latest is None or number_and_hash(latest)[0] < new.number or at_new is None:
        return Verdict.PENDING
    if number_and_hash(at_new)[1] != new.block_hash:
        return Verdict.DENIED
    # A chain that became shorter: a provider that still has the old tip has not seen that.
    return (
        Verdict.DENIED if at_old is not None and number_and_hash(at_old)[1] == old.block_hash else Verdict.CONFIRMED
    )
