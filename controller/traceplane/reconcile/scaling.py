"""How many worker pods a job should have, and which of them.

A worker runs one task at a time, so the backlog (queued and running tasks) is the number of workers that could
be of use; `minWorkers`, `maxWorkers`, `maxConcurrency` and the job's strategy bound it. Scaling down is not the
controller's work: a worker that has been idle for `idleTimeout` leaves by itself, which no race can turn into
the death of a busy one.

Workers stand in numbered slots, and a slot's number is part of the pod's name. Two controllers, or one with a
stale view, thus ask for the same name, and the API server lets only one through.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """What the wanted number of workers of one job depends on. Counts of tasks and of pods."""

    queued: int
    running: int
    min_workers: int
    max_workers: int
    max_concurrency: int | None
    one_at_a_time: bool
    """A PerUpdate job runs one task at a time, however many wait."""
    paused: bool


def wanted_workers(demand: Demand) -> int:
    """Workers of use now, never more than the bounds. A paused job keeps those that run and starts none."""
    backlog = demand.running if demand.paused else demand.queued + demand.running
    if demand.max_concurrency is not None:
        backlog = min(backlog, demand.max_concurrency)
    if demand.one_at_a_time:
        backlog = min(backlog, 1)
    least = 0 if demand.paused else demand.min_workers
    return min(max(backlog, least), demand.max_workers)


def free_slots(wanted: int, alive: int, occupied: Collection[int], max_workers: int) -> tuple[int, ...]:
    """Slots to start workers in: the lowest numbers below `max_workers` that no pod's name occupies.

    `alive` pods work or will; `occupied` holds also the slots of pods that are ending, whose names are taken.
    """
    missing = max(0, wanted - alive)
    return tuple(slot for slot in range(max_workers) if slot not in occupied)[:missing]


def restart_delay(failures: int) -> float:
    """Seconds to wait with new workers after `failures` in a row: 10 s doubling to 5 min, as kubelet restarts."""
    return 0.0 if failures <= 0 else min(300.0, 10.0 * 2.0 ** (min(failures, 12) - 1))
