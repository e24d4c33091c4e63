"""What a process lends to every attempt that it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from traceplane_sdk.context import Context, Measure, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds that bound an attempt. The last two count from the moment at which the process began to drain."""

    heartbeat: float
    """Longest time between two renewals; a third of the lease where that is shorter."""
    lease: float
    """How long a lease holds at most, where the claim does not say."""
    finish: float
    """How long a run may go on that ends by itself. A source's run never does: it is asked to stop at once."""
    hand_back: float
    """When the task of a run that still has not stopped is handed back, so that there is time left to do so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The process around an attempt."""

    worker_id: str
    times: Times
    data_dsn: Callable[[], str]
    """Asked anew for each connection: the file behind it changes while the process lives."""
    rpc_dir: Path | None
    """Holds `<pool>/urls`, one provider URL a line; None where the process has none mounted."""
    query_url: str | None
    """None where runs of this process may not reach the query service."""
    scratch_dir: Path | None
    """None where the process has no disk to lend."""
    own: Mapping[str, Callable[[Context], Result]] = field(default_factory=dict)
    """What runs in this process alone, by the operator's name that its tasks have; no job can name it."""
    measure: Measure = lambda _name, _value, _labels: None
    beat: Callable[[], None] = lambda: None
    """Called by the supervising thread several times a minute: liveness, where a probe looks at it."""
