"""One controller at a time: a Lease, held by renewing it.

Two kinds of Leases are held so. One elects among the controllers of an installation. And in each namespace that is
served one names the installation that serves it, so that a second one that is to serve it as well stands by.

A controller that cannot renew in time must stop before another may start, so it trusts its lease for less time
than it asked for: it gives up a safety margin before the others may take over. Clocks of two machines are never
compared: a candidate measures, on its own clock, how long the Lease has not changed. Should two act at once all
the same, no harm is done (names are deterministic, state is transactional); the Lease keeps them from undoing
each other's work.

Outside source: the algorithm of client-go's leaderelection, on `coordination.k8s.io/v1` Lease.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from traceplane.drivers.kube import LEASES, Conflict, Kube, KubeError, Missing, Object
from traceplane.errors import Unavailable
from traceplane.observe import reconcile_metrics as metrics

log = structlog.get_logger()


class Leadership:
    """The Lease `name`, as `identity` sees it. Durations are seconds."""

    def __init__(
        self,
        kube: Kube,
        name: str,
        identity: str,
        *,
        duration: float,
        renew: float,
        show: Callable[[int], None] = metrics.is_leader.set,
    ) -> None:
        self._kube = kube
        self._name = name
        self._identity = identity
        self._duration = duration
        self._renew = renew
        self._show = show
        """Called with 1 when the Lease is held, and with 0 when it no longer is."""
        self._seen: tuple[str, float] = ("", 0.0)
        """The Lease's resourceVersion, and when it was first seen."""
        self._taken = False
        """Whether another holder was seen at the last attempt."""

    @property
    def trusted(self) -> float:
        """How long a renewal is good for: two thirds of the lease, as a margin for pauses and slow answers."""
        return self._duration * 2 / 3

    async def acquire(self, stop: asyncio.Event) -> bool:
        """Wait until the Lease is held; False where `stop` was set first."""
        while not stop.is_set():
            if await self._tried():
                log.info("leading", lease=self._name, identity=self._identity)
                self._show(1)
                return True
            await _pause(self._renew * (0.8 + 0.4 * random.random()), stop)  # noqa: S311
        return False

    async def hold(self, stop: asyncio.Event) -> bool:
        """Renew until `stop` is set (True), or until the Lease can be trusted no longer (False: stop at once)."""
        now = asyncio.get_running_loop().time
        good_until = now() + self.trusted
        while not stop.is_set():
            await _pause(min(self._renew, max(0.1, good_until - now())), stop)
            started = now()
            try:
                async with asyncio.timeout(max(0.1, good_until - started)):
                    renewed = await self._tried()
            except TimeoutError:
                renewed = False
            if renewed:
                good_until = started + self.trusted
            elif now() >= good_until or self._taken:
                self._show(0)
                log.error("lease lost", lease=self._name, identity=self._identity)
                return False
        return True

    async def release(self) -> None:
        """Let the next one start at once; best effort, since the Lease ends by itself."""
        self._show(0)
        try:
            lease = await self._kube.get(LEASES, self._name)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._kube.replace(LEASES, lease)
        except (KubeError, Unavailable) as error:
            log.warning("lease not released", error=error.message)

    async def _tried(self) -> bool:
        """One attempt to take or renew the Lease. False where it is another's, or the answer did not come."""
        try:
            try:
                lease = await self._kube.get(LEASES, self._name)
            except Missing:
                await self._kube.create(LEASES, self._claimed(None))
                return True
            if not self._free(lease):
                return False
            await self._kube.replace(LEASES, self._claimed(lease))
            return True
        except Conflict:
            return False  # another was quicker
        except (KubeError, Unavailable) as error:
            log.warning("lease not renewed", lease=self._name, error=error.message)
            return False

    def _free(self, lease: Object) -> bool:
        """Whether the Lease is unheld, held by this controller, or was not renewed for its whole duration."""
        spec, version = lease["spec"], lease["metadata"]["resourceVersion"]
        holder = spec.get("holderIdentity")
        self._taken = holder not in (self._identity, "", None)
        if not self._taken:
            return True
        now = asyncio.get_running_loop().time()
        if self._seen == ("", 0.0):
            log.info("standing by", lease=self._name, namespace=self._kube.namespace, holder=holder)
        if self._seen[0] != version:
            self._seen = (version, now)
        return bool(now - self._seen[1] > float(spec.get("leaseDurationSeconds") or self._duration))

    def _claimed(self, lease: Object | None) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: Object = dict(lease["spec"]) if lease else {}
        if spec.get("holderIdentity") != self._identity:
            spec |= {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + bool(lease)}
        spec |= {"holderIdentity": self._identity, "renewTime": now, "leaseDurationSeconds": round(self._duration)}
        metadata = lease["metadata"] if lease else {"name": self._name}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
