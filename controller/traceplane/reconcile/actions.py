"""What a decision about one DAG is made from, and what it comes to.

`Input` is everything that was gathered, as of one moment; `Plan` is everything to be done. Between them are pure
functions, so a table of inputs and plans tests the whole controller without a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from traceplane.drivers.kube import Object, Resource
from traceplane.graph.model import Graph
from traceplane.reconcile.podfacts import PodFact
from traceplane.reconcile.podspec import Platform
from traceplane.store.statements.controller_facts import DagFacts
from traceplane.versions.readiness import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One DAG and all that bears on it. Objects are as the API server shows them."""

    now: datetime
    dag: Object
    graph: Graph | None
    """The spec as applied, if it is valid."""
    problems: tuple[str, ...] = ()
    """Why it is not: one line each, `Kind/name: path: message`."""
    rollout: Rollout | None = None
    """How the staged version stands; None where nothing is staged."""
    facts: DagFacts | None
    """How the DAG stands in state; None where it was never deployed."""
    jobs: Mapping[str, Object] = field(default_factory=dict)
    """Every Job object of the namespace, by object name."""
    assets: Mapping[str, Object] = field(default_factory=dict)
    """Every Asset of the namespace, by name."""
    pods: tuple[Object, ...] = ()
    """Pods with the label of this DAG."""
    deployments: tuple[Object, ...] = ()
    """Deployments with the label of this DAG."""
    warnings: Mapping[str, Sequence[Object]] = field(default_factory=dict)
    """By uid of a pod that does not start: Events in which its kubelet says why."""
    platform: Platform
    rpc_pools: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the job's `shown`: the pools that its operator reads."""

    @property
    def name(self) -> str:
        """The DAG's name."""
        return str(self.dag["metadata"]["name"])

    @property
    def uid(self) -> str:
        """The uid of this life of the DAG."""
        return str(self.dag["metadata"]["uid"])

    @property
    def current(self) -> bool:
        """Whether the spec as applied is the running version."""
        return (
            self.graph is not None
            and self.facts is not None
            and self.facts.deleted_at is None
            and self.facts.active_spec_hash == self.graph.spec_hash
        )

    @property
    def held(self) -> bool:
        """Whether the spec as applied is held off, since somebody rolled it back."""
        if self.graph is None or self.facts is None:
            return False
        return self.facts.holds(spec_hash=self.graph.spec_hash, written_hash=self.graph.written_hash)


@dataclass(frozen=True, slots=True)
class Apply:
    """Make an object as wanted. `live` is what is there now, None where nothing is."""

    resource: Resource
    wanted: Object
    live: Object | None


@dataclass(frozen=True, slots=True)
class Create:
    """Start a pod; one of that name that exists already is as good."""

    job: str
    pod: Object


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove exactly this object."""

    resource: Resource
    live: Object
    why: str
    last: bool = False
    """Only when everything that belongs to it is gone, as its pods to a Deployment."""
    now: bool = False
    """Without grace: what it was for has ended, and its name is wanted."""


@dataclass(frozen=True, slots=True)
class Disown:
    """Leave a projected Asset to the user who took it over: the DAG's ownerReference and labels go."""

    live: Object


@dataclass(frozen=True, slots=True)
class Release:
    """End the lease of a worker that is known to have ended."""

    worker_id: str
    reason: str
    message: str
    blameless: bool
    """Its end spends no attempt."""


@dataclass(frozen=True, slots=True)
class Note:
    """A Kubernetes Event: a transition that a user would look for."""

    regarding: Object
    type: str
    """Normal | Warning"""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class WorkerView:
    """The pods of one job after the plan: what its status shows."""

    wanted: int = 0
    actual: int = 0
    pending: int = 0
    ready: int = 0
    trouble: tuple[PodFact, ...] = ()
    """Pods that failed or cannot start."""


@dataclass(slots=True)
class Plan:
    """Everything to do about one DAG, in the order of the fields."""

    releases: list[Release] = field(default_factory=list)
    deletes: list[Delete] = field(default_factory=list)
    disowned: list[Disown] = field(default_factory=list)
    applies: list[Apply] = field(default_factory=list)
    creates: list[Create] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    workers: dict[str, WorkerView] = field(default_factory=dict)
    """By the job's `shown`."""
    next_in: float | None = None
    """Seconds after which to look again though nothing happens."""

    def again_in(self, seconds: float) -> None:
        """Look again in `seconds`, or earlier."""
        self.next_in = seconds if self.next_in is None else min(self.next_in, seconds)


@dataclass(frozen=True, slots=True)
class Status:
    """The status that an object should show."""

    resource: Resource
    live: Object
    status: Object
