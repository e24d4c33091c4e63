"""kopf's watches: thin handlers that pass each event on to the controller, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

# Importing kopf imports the `kubernetes` client where it is installed, for its types alone: 45 MB of memory that
# nothing here uses. It is hidden during the import; kopf is made to work without it.
_hidden = [name for name in ("kubernetes", "kubernetes.client") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_hidden))  # type: ignore[arg-type]  # None: "import fails", by the import protocol
import kopf  # noqa: E402

for _name in _hidden:
    del sys.modules[_name]

from traceplane.drivers.kube import ASSETS, BUNDLES, DAGS, DEPLOYMENTS, JOBS, PODS, Kube, Resource  # noqa: E402
from traceplane.reconcile import names  # noqa: E402
from traceplane.reconcile.health import watch_trace  # noqa: E402

WATCHED: tuple[Resource, ...] = (DAGS, JOBS, ASSETS, BUNDLES, PODS, DEPLOYMENTS)
LABELLED = frozenset({PODS, DEPLOYMENTS})
"""Kinds of which only objects that the controller owns are watched."""

Observe = Callable[[str, str | None, dict[str, Any]], Awaitable[None]]
"""(kind, event type, object)"""


Beat = Callable[[str, str], None]
"""(namespace, name): a sign of life"""


def registry(kube: Kube, beat: Beat, observe: Observe, answered: Callable[[], None]) -> kopf.OperatorRegistry:
    """Every handler there is. `answered` is called whenever a watch is opened."""
    found = kopf.OperatorRegistry()

    # kopf gets a session of the controller's, so that every watch that is answered is noted (`watch_trace`).
    @kopf.on.login(registry=found)
    async def login(**_: Any) -> kopf.AiohttpSession:
        session = kube.open_session([watch_trace(beat, answered)])
        return kopf.AiohttpSession(
            server=kube.access.server, aiohttp_session=session, default_namespace=kube.namespace
        )

    for resource in WATCHED:
        _watch(found, resource, observe)
    return found


def _watch(found: kopf.OperatorRegistry, resource: Resource, observe: Observe) -> None:
    group, _, version = resource.group_version.rpartition("/")

    # Only `on.event`: kopf's other handlers are edge-triggered, keep their progress in annotations of the object,
    # and add finalizers that block its deletion while the controller is down.
    @kopf.on.event(group, version, resource.plural, registry=found, id=f"observe-{resource.plural}")
    async def seen(event: Any, **_: Any) -> None:
        await observe(resource.kind, event["type"], dict(event["object"]))


def settings(stale_seconds: float) -> kopf.OperatorSettings:
    """kopf's settings, each for a reason."""
    found = kopf.OperatorSettings()
    found.scanning.disabled = True  # least privilege: no listing of namespaces and CRDs
    found.posting.enabled = False  # kopf would post its log as Events
    found.networking.request_timeout = 30.0
    found.networking.connect_timeout = 10.0
    # Each watch ends and is reopened inside the liveness limit; a silent socket is given up soon after.
    found.watching.server_timeout = max(1, int(min(60.0, stale_seconds / 3)))
    found.watching.client_timeout = found.watching.server_timeout + 10
    found.watching.chunk_size = 500
    # A worker that waits for more about its object keeps its place among the 64: others' events would wait for it.
    found.queueing.worker_limit, found.queueing.idle_timeout = 64, 0.05
    for resource in LABELLED:
        group, _, version = resource.group_version.rpartition("/")
        found.watching.label_selectors[group, version, resource.plural] = names.OWNED
    return found


async def run(
    found: kopf.OperatorRegistry, configured: kopf.OperatorSettings, namespaces: Sequence[str], stop: Any
) -> None:
    """Watch until `stop` is set or kopf gives up."""
    # Without an identity kopf takes the name of the system's user, and a pod's user has no entry in passwd.
    identity: Any = "trace-controller"
    # `standalone`: kopf's peering is no leader election. The Lease is (`leader`).
    await kopf.operator(
        registry=found,
        settings=configured,
        standalone=True,
        namespaces=namespaces,
        stop_flag=stop,
        identity=identity,
    )
