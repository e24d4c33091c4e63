"""Named places where a test may end the process as a power cut would.

Drills must kill a process between any two of its writes. A process armed with a point's name leaves with
`os._exit` the moment it passes that point for the n-th time: no cleanup, no flush, nothing a real crash would
not do. Unarmed, a point is one comparison with None. Points are declared when their module is imported, so
that a drill can enumerate all of them and none is forgotten.
"""

from __future__ import annotations

import os

EXIT_CODE = 137
"""As the kernel's SIGKILL shows in a shell, so supervisors treat it alike."""

_declared: set[str] = set()
_armed: str | None = None
_remaining = 0


def declare(name: str) -> str:
    """Register a crash point; returns `name` so that a module can keep it as a constant."""
    _declared.add(name)
    return name


def declared() -> tuple[str, ...]:
    """All points of the modules imported so far, sorted."""
    return tuple(sorted(_declared))


def arm(spec: str) -> None:
    """Arm `name` or `name:n` (n-th pass, from 1). Raises ValueError for a name nobody declared."""
    global _armed, _remaining
    name, _, count = spec.partition(":")
    if name not in _declared:
        raise ValueError(f"no crash point {name!r}; known: {', '.join(declared())}")
    _armed, _remaining = name, int(count or 1)


def point(name: str) -> None:
    """Leave at once if `name` is armed and this is the pass it was armed for."""
    global _remaining
    if _armed is None or _armed != name:
        return
    _remaining -= 1
    if _remaining <= 0:
        os._exit(EXIT_CODE)
