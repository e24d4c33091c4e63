"""Whether other providers of a pool have a reorg too: only one that has come as far as the stored tip can know.

One that lags neither confirms nor denies, since it has not heard of what was replaced: a chain that became shorter
looks to it as it always did, and its own blocks may be of the branch that was left. It has come as far where its
head has, or where it has the old tip by its hash, off the chain that it shows. Each provider that knows has one
vote, and so has the one that is followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from operators.chain.calls import block_call, hash_call
from operators.chain.faults import Kind, ProviderFault
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
    if len(voters) == 1:
        return Verdict.CONFIRMED, []
    confirming = 0
    denying: list[str] = []
    behind: list[str] = []
    silent: list[str] = []
    for other in voters[:_VOTERS]:
        try:
            said = pool.ask(other, lambda one: _vote(one, new, old))
        except ProviderFault as fault:
            # A block that it has not yet is one that it cannot vote on. What else ails it is no objection, and the
            # pool keeps it in mind.
            (behind if fault.kind is Kind.NOT_THERE_YET else silent).append(other.name)
            continue
        if said is Verdict.PENDING or (said is Verdict.DENIED and pool.lags(other)):
            behind.append(other.name)  # or it is on a fork that it does not go on with, or far from the head
        elif said is Verdict.DENIED:
            denying.append(other.name)
        else:
            confirming += 1
    if denying and confirming <= len(denying):
        return Verdict.DENIED, denying
    # One that confirms is where the reorg was seen; it takes another, unless nobody else can know sooner or later.
    if confirming > 1 or (confirming and not behind):
        return Verdict.CONFIRMED, []
    return Verdict.PENDING, behind or silent


def _vote(provider: Provider, new: Block, old: Block) -> Verdict:
    """One provider's. Raises ProviderFault."""
    calls = [block_call(height, full=False) for height in ("latest", new.number, old.number)]
    # In one request, so that of several nodes behind one address one answers it all.
    latest, at_new, at_old, known = provider.batch([*calls, hash_call(old.block_hash)])
    head = -1 if latest is None else number_and_hash(latest)[0]
    if head < new.number or at_new is None or (head < old.number and known is None):
        return Verdict.PENDING
    if number_and_hash(at_new)[1] != new.block_hash:
        return Verdict.DENIED
    # A chain that became shorter: a provider that still has the old tip has not seen that.
    return (
        Verdict.DENIED if at_old is not None and number_and_hash(at_old)[1] == old.block_hash else Verdict.CONFIRMED
    )
