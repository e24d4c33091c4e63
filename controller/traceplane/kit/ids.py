"""Identifiers that sort by the time they were made.

UUIDv7 (RFC 9562, section 5.7): 48 bits of milliseconds since 1970, then random bits. New rows go to the right
end of an index instead of to random pages. The state database makes the same ids with `trace_uuid7()`.
"""

from __future__ import annotations

import os
import time
import uuid

_EVENT_NAMESPACE = uuid.UUID("0f6f9a52-6a30-5d0e-9b1e-9d5f0c3b7a11")


def uuid7(milliseconds: int | None = None, random: bytes | None = None) -> uuid.UUID:
    """A UUIDv7 of `milliseconds` since 1970 and ten `random` bytes; now and the system's own where None."""
    millis = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    noise = int.from_bytes(os.urandom(10) if random is None else random, "big")
    rand_a = noise >> 68 & 0xFFF
    rand_b = noise & ((1 << 62) - 1)
    return uuid.UUID(int=(millis & ((1 << 48) - 1)) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)


def event_id(task_id: uuid.UUID | str, attempt: int, index: int) -> uuid.UUID:
    """The id of the `index`-th event of one attempt: the same cause gives the same id, so a repeat is a no-op."""
    return uuid.uuid5(_EVENT_NAMESPACE, f"{task_id}/{attempt}/{index}")
