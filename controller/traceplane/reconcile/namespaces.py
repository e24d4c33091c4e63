"""The namespaces that one controller process serves, each by reconcilers of its own that know of no other.

They share what is the process's: the connections to the API server and to state, one queue and its workers (so that
a reconcile never waits long for a connection), and the metrics. A namespace whose objects cannot be listed, or that
another installation serves, waits by itself, and the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping

from traceplane.drivers.kube import Kube, Object
from traceplane.graph import Checker
from traceplane.observe import reconcile_metrics as metrics
from traceplane.reconcile.controller import Controller, report_run
from traceplane.reconcile.queue import Key, WorkQueue
from traceplane.settings import ControllerSettings
from traceplane.store.engine import Database
from traceplane_sdk.operator import Operator


class Namespaces:
    """The controllers of a process, by namespace."""

    def __init__(
        self,
        settings: ControllerSettings,
        operators: Mapping[str, Operator],
        kube: Kube,
        database: Database,
        identity: str,
        checker: Checker,
    ) -> None:
        self._database = database
        self.lag = metrics.Lag()
        self.pods = metrics.PodCounts(settings.metrics_names)
        self.queue = WorkQueue(self._reconcile, report_run, pause=0.5)
        metrics.named.most = settings.metrics_names
        self._controllers = {
            name: Controller(
                settings, operators, kube.beside(name), database, identity, checker, self.queue, self.lag, self.pods
            )
            for name in settings.served
        }

    async def close(self) -> None:
        """End every connection to state."""
        await self._database.close()

    @property
    def controllers(self) -> list[Controller]:
        """One for each namespace."""
        return list(self._controllers.values())

    async def observe(self, kind: str, event: str | None, obj: Object) -> None:
        """One event of a watch, for the namespace that its object is in."""
        await self._controllers[obj["metadata"]["namespace"]].observe(kind, event, obj)

    def beat(self, namespace: str, name: str) -> None:
        """A sign of life of one namespace."""
        self._controllers[namespace].pulse.beat(name)

    def notify(self, channel: str, payload: str) -> None:
        """A notification of the state database, which each namespace reads for itself."""
        for controller in self._controllers.values():
            controller.notify(channel, payload)

    def waiting(self) -> list[str]:
        """Namespaces whose objects were not listed yet."""
        return [name for name, controller in self._controllers.items() if not controller.pulse.synced]

    def silent(self) -> list[str]:
        """What should have shown life, with its namespace."""
        return [
            f"{name}: {what}"
            for name, controller in self._controllers.items()
            for what in controller.pulse.silent()
        ]

    def watch_ages(self) -> dict[str, float]:
        """Seconds since a watch of a resource was answered, in the namespace where that is longest ago."""
        found: dict[str, float] = {}
        for controller in self._controllers.values():
            for name, age in controller.pulse.ages().items():
                if name.startswith("watch "):
                    resource = name.removeprefix("watch ")
                    found[resource] = max(age, found.get(resource, 0.0))
        return found

    async def _reconcile(self, key: Key) -> float | None:
        return await self._controllers[key.namespace].reconcile(key)
