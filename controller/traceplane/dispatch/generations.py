"""Job generations as the hot routes use them: read once, kept as ready-made JSON.

What decides a generation's output never changes, so its part of a task payload and of a capability token is
encoded once and copied into every answer. A deploy may change neutral parts in place: it says so by notification,
upon which everything is forgotten, and what is older than a minute is read again in case that was missed. What is
kept is bounded; the least recently used goes first.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson

from traceplane.errors import NotFound
from traceplane.identity.grants import Grants, Prefixes, grants
from traceplane.store.engine import Database
from traceplane.store.statements import generations as statements

KEPT = 1024
KEPT_SECONDS = 60.0
PER_UPDATE = "PerUpdate"


@dataclass(frozen=True)
class Generation:
    """A job generation and the fragments made from it."""

    facts: statements.GenerationRow

    @property
    def id(self) -> UUID:
        """Id of the generation."""
        return self.facts.id

    @property
    def key(self) -> tuple[str, str, str]:
        """Namespace, DAG and name of the job."""
        return self.facts.namespace, self.facts.dag, self.facts.name

    @property
    def newest_only(self) -> bool:
        """Whether one run reads everything past the cursor, so that older tasks are superseded."""
        return self.facts.execution_strategy == PER_UPDATE

    @property
    def is_source(self) -> bool:
        """Whether its runs go on without end and renew their token."""
        return self.facts.activation == "Source"

    @cached_property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """Outputs by name."""
        return {output["name"]: output for output in self.facts.outputs}

    @cached_property
    def payload(self) -> bytes:
        """The fields of a task payload that all tasks share: `"org_id":...,"job":...,...` without braces."""
        facts = self.facts
        shared = {
            "org_id": str(facts.org_id),
            "job": {"id": str(facts.id), "namespace": facts.namespace, "dag": facts.dag, "name": facts.name},
            "operator": facts.operator,
            "config": facts.config,
            "update_strategy": facts.update_strategy,
        }
        return orjson.dumps(shared)[1:-1]

    @cached_property
    def output_fragment(self) -> bytes:
        """All outputs as a JSON list, while none of them has relocated ranges."""
        return orjson.dumps(self.facts.outputs)

    @cached_property
    def input_versions(self) -> frozenset[str]:
        """Dataset versions the job reads."""
        return frozenset(given["version"] for given in self.facts.inputs)

    @cached_property
    def input_fragments(self) -> tuple[bytes, ...]:
        """Each input's fields that all tasks share, as an object without its closing brace."""
        return tuple(orjson.dumps(given)[:-1] for given in self.facts.inputs)

    @cached_property
    def prefixes(self) -> Prefixes:
        """Where in object storage its inputs and outputs lie."""
        read = [item["location"] for item in self.facts.inputs if item["storage"] == "S3"]
        write = [item["location"] for item in self.facts.outputs if item["storage"] == "S3"]
        return Prefixes(read, write)

    @cached_property
    def grants(self) -> Grants:
        """What a token of this generation allows, without relocated inputs."""
        return self.grants_with(())

    def grants_with(self, cold_locations: tuple[str, ...]) -> Grants:
        """What a token allows when inputs were relocated to further `cold_locations`."""
        used = [*self.facts.inputs, *self.facts.outputs]
        versions = list(dict.fromkeys((item["dataset"], item["version"]) for item in used))
        own = self.prefixes
        return grants(versions, own.read_prefixes, own.write_prefixes, cold_locations)


class Generations:
    """The job generations this process met lately."""

    def __init__(self, state: Database, org_id: UUID, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._org_id = org_id
        self._clock = clock
        self._known: OrderedDict[UUID, tuple[float, Generation]] = OrderedDict()

    def forget(self) -> None:
        """Read every generation again: a deploy may have changed neutral parts of one."""
        self._known.clear()

    async def get(self, job_id: UUID) -> Generation:
        """The generation. Raises NotFound."""
        read_at, job = self._known.get(job_id, (0.0, None))
        if job is None or self._clock() - read_at > KEPT_SECONDS:
            now = self._clock()
            async with self._state.autocommit() as conn:
                facts = await statements.generation(conn, org_id=self._org_id, job_id=job_id)
            if facts is None:
                raise NotFound(f"no job generation {job_id}", code="UnknownJob")
            job = Generation(facts)
            self._known[job_id] = (now, job)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(job_id)
        return job
