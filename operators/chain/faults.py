"""What a provider may do wrong, and which answer means what.

The class of a fault says what helps: another provider, a smaller batch, another method. Messages name a provider by
its position in the pool, never by its URL, which holds a key.
"""

from __future__ import annotations

from http import HTTPStatus

_METHOD_NOT_FOUND = -32601
"""JSON-RPC 2.0, "Error object"."""
_LIMIT_CODES = frozenset({-32005, -32003, -32011})
"""EIP-1474's "limit exceeded", and what common providers answer where a batch or its answer is too large."""


class ProviderFault(Exception):
    """A provider did not answer, or its answer is unusable. Another one, or the same one later, may do better."""


class BatchTooLarge(ProviderFault):
    """The provider, or our bound on a response, refuses the size of this batch: a smaller one may pass."""


class MethodMissing(ProviderFault):
    """The provider does not have the method."""


class WrongChain(Exception):
    """Every provider of the pool serves another chain than the configured one."""


def classify(status: int, code: object = None) -> type[ProviderFault]:
    """The class of a failed request: `status` is HTTP's, `code` the JSON-RPC error's where there is one."""
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return BatchTooLarge
    if code == _METHOD_NOT_FOUND:
        return MethodMissing
    # A provider may send anything as a code, also what cannot be a member of a set.
    if isinstance(code, int) and code in _LIMIT_CODES:
        return BatchTooLarge
    return ProviderFault
