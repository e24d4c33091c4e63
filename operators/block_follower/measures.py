"""What a follower measures, by name: the worker shows each as gauge `trace_<name>`, a reference page lists them.

Those that begin with `source_provider_` have the label `provider`: its place in the pool, from 0.
"""

from __future__ import annotations

MEASURES = {
    "source_healthy": "1 while the follower goes on, 0 where it has not got on for a minute.",
    "source_head_block": "The newest block that a provider named.",
    "source_cursor_block": "The newest block that is stored.",
    "source_lag_blocks": "Blocks between the two.",
    "source_reorgs": "Reorgs applied since the run began.",
    "source_reorg_depth_blocks": "How many stored blocks the last reorg replaced.",
    "source_reorg_unconfirmed_seconds": "How long a reorg waits for other providers to confirm it; 0: none waits.",
    "source_provider_head_block": "The newest block that this provider named.",
    "source_provider_in_use": "1 while blocks are asked of this provider.",
    "source_provider_left_alone_seconds": "How long this provider is not asked yet, after a fault.",
    "source_provider_fault": "1 for the kind of fault that this provider's last request had, or `none`.",
    "source_provider_faults": "Faults of this provider in a row.",
    "source_provider_batch_calls": "Calls in one request to this provider at most, as it was found out.",
    "source_provider_latency_seconds": "How long this provider takes to answer, on average.",
    "source_provider_requests_per_second": "What this provider is asked at most, since it asked for less.",
}


def labels_of(name: str) -> tuple[str, ...]:
    """Labels of a measure."""
    if name == "source_provider_fault":
        return ("kind", "provider")
    return ("provider",) if name.startswith("source_provider_") else ()
